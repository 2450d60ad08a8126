//! The first half of `check`, `compile` and `lock`: from paths to plans that were judged together.
//!
//! In:   paths of manifests, of a policy or trust file. Out: [`Front`]s.
//! May fail with: `NB01xx` to `NB04xx`, and I/O.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use nodeplan::{
    applies::OcpVersion,
    limits,
    name::PoolName,
    plan::NodePlan,
    time::Timestamp,
    trust::{Trust, TrustDocument},
};

use super::{
    args::{PolicyArgs, TargetArgs},
    io::{self, DiskFiles},
    session::{Session, WrongUsage},
};
use crate::{
    check::{
        self, Checked, authorize,
        desk::{self, Moment},
        kernels,
    },
    diag::{Code, Diagnostic, Diagnostics, shown},
    plan, platform,
    policy::{self, Policy},
    recover::{self, Recovery},
    relocate::Kernel,
    resolve::Resolved,
    set::{self, Member, Set},
};

/// A manifest that is sound for itself.
pub(super) struct Front {
    pub(super) checked: Checked,
    pub(super) plan: NodePlan,
    /// Where it was read from.
    pub(super) path: PathBuf,
    /// Programs and what the kernels of `--btf` lack of them.
    pub(super) rows: Vec<kernels::Row>,
}

impl Front {
    /// As a member of a [`Set`].
    pub(super) fn member(&self) -> Member<'_> {
        Member { checked: &self.checked, plan: &self.plan }
    }
}

/// What manifests are judged by.
pub(super) struct Rules {
    /// What nodes obey.
    pub(super) trust: TrustDocument,
    /// The whole policy, unless only a trust file was given.
    pub(super) policy: Option<Policy>,
}

/// How to judge.
pub(super) struct Judge<'a> {
    pub(super) rules: Option<&'a Rules>,
    pub(super) moment: Moment,
    /// Pools that objects are written for: those of `--pool`, empty for all; `None` if nothing is written.
    pub(super) written: Option<&'a [PoolName]>,
    /// Those of `--ocp`; empty for those that a manifest names.
    pub(super) releases: Vec<OcpVersion>,
    /// Those of `--btf`.
    pub(super) kernels: &'a [Kernel<'a>],
}

/// The releases of `--ocp`, with what is to be said about them; once per run.
pub(super) fn releases(target: &TargetArgs, session: &mut Session) -> Vec<OcpVersion> {
    let releases = platform::target::releases(&target.ocp);
    platform::check_releases(&releases, &mut session.diags);
    releases
}

/// A problem was reported; there is nothing to go on with.
#[derive(Debug)]
pub(super) struct Reported;

/// The rules to judge by; `Ok(None)` if none were given, `Err` after a report.
pub(super) fn rules(args: &PolicyArgs, session: &mut Session) -> anyhow::Result<Result<Option<Rules>, Reported>> {
    if let Some(path) = &args.policy {
        return Ok(policy(path, session)?.map(Some));
    }
    match &args.trust {
        Some(path) => Ok(read_trust(path, session)?
            .map(|(trust, _)| Some(Rules { trust: trust.document().clone(), policy: None }))
            .ok_or(Reported)),
        None => Ok(Ok(None)),
    }
}

/// The rules of a policy.
pub(super) fn policy(path: &Path, session: &mut Session) -> anyhow::Result<Result<Rules, Reported>> {
    let input = io::read_input(path)?;
    let files = DiskFiles::from(&input.directory);
    let policy = policy::parse(&input.name, &input.bytes, &files, &mut session.sources, &mut session.diags);
    Ok(policy.map(|policy| Rules { trust: policy.trust.clone(), policy: Some(policy) }).ok_or(Reported))
}

/// The moment to judge times by: the one of `--at`, or now. The only clock of the compiler.
pub(super) fn moment(at: Option<Timestamp>) -> Moment {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Moment { at: at.unwrap_or_else(|| Timestamp::from_unix_seconds(now())), stated: at.is_some() }
}

/// Reads a trust file; `None` after a report.
pub(super) fn read_trust(path: &Path, session: &mut Session) -> anyhow::Result<Option<(Trust, Vec<u8>)>> {
    let bytes = io::read_file(path, limits::TRUST_MAX_BYTES)?;
    match Trust::parse(&bytes) {
        Ok(trust) => Ok(Some((trust, bytes))),
        Err(error) => {
            let message = format!("`{}` is not a trust file: {error}", shown(&path.display().to_string()));
            session.diags.push(
                Diagnostic::error(Code::BadTrust, message)
                    .help("make it with `nodebpf trust build policy.yaml -o trust.json`"),
            );
            Ok(None)
        }
    }
}

/// A manifest that went through all phases, perhaps without its broken parts.
struct Judged {
    front: Front,
    recovery: Recovery,
}

/// Takes manifests through parse, resolve, check and plan, and judges them alone and together. Those that are not sound
/// for themselves are missing from the result, after a report; what is left of them is judged all the same.
pub(super) fn load(paths: &[PathBuf], judge: &Judge<'_>, session: &mut Session) -> anyhow::Result<Vec<Front>> {
    if paths.iter().filter(|path| *path == Path::new("-")).count() > 1 {
        return Err(WrongUsage("reading stdin: `-` can be given once".to_owned()).into());
    }
    let mut judged = Vec::new();
    for path in paths {
        judged.extend(load_one(path, judge, session)?);
    }
    let policy = judge.rules.and_then(|rules| rules.policy.as_ref());
    let mut found = Diagnostics::default();
    let (known, nameless): (Vec<_>, Vec<_>) = judged.iter().partition(|one| one.recovery.has_identity());
    let members: Vec<_> = known.iter().map(|one| one.front.member()).collect();
    set::judge(&Set::new(&members, policy), policy, judge.written, &mut found);
    // Whose stream it is cannot be told: it meets nobody but itself.
    for member in nameless.iter().map(|one| one.front.member()) {
        set::judge(&Set::new(&[member], policy), policy, judge.written, &mut found);
    }
    let invented = |item: &Diagnostic| judged.iter().any(|one| one.recovery.explains(item));
    session.diags.extend(found.into_iter().filter(|item| !invented(item)));
    Ok(judged.into_iter().filter(|one| one.recovery.is_whole()).map(|one| one.front).collect())
}

fn load_one(path: &Path, judge: &Judge<'_>, session: &mut Session) -> anyhow::Result<Option<Judged>> {
    let input = io::read_input(path)?;
    let files = DiskFiles::below(&input.directory);
    let Session { sources, diags, .. } = session;
    let phases =
        |resolved: &Resolved, whole: bool, diags: &mut Diagnostics| phases(path, resolved, whole, judge, diags);
    let judged = recover::judge(&input.name, &input.bytes, &files, sources, diags, phases);
    Ok(judged.map(|(front, recovery)| Judged { front, recovery }))
}

/// What follows once files are read.
fn phases(path: &Path, resolved: &Resolved, whole: bool, judge: &Judge<'_>, diags: &mut Diagnostics) -> Option<Front> {
    let checked = check::check(resolved, diags)?;
    let rows = kernels::check(resolved, &checked, judge.kernels, diags);
    let plan = if whole { plan::plan(&checked, diags)? } else { plan::of_parts(&checked) };
    let front = Front { checked, plan, path: path.to_path_buf(), rows };
    if let Some(rules) = judge.rules {
        authorize::authorize(&front.plan, &front.checked, &rules.trust, diags);
    }
    let policy = judge.rules.and_then(|rules| rules.policy.as_ref());
    platform::check(&front.plan, &front.checked, &judge.releases, diags);
    desk::judge(&front.plan, &front.checked, policy, judge.moment, diags);
    Some(front)
}
