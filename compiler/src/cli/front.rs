//! The first half of `check` and `compile`: from a path to a plan.
//!
//! In:   path of a manifest, policy or trust file. Out: [`Front`].
//! May fail with: `NB01xx` to `NB04xx`, and I/O.

use nodeplan::{
    applies::OcpVersion,
    limits,
    plan::NodePlan,
    trust::{Trust, TrustDocument},
};

use super::{
    args::{PolicyArgs, TargetArgs},
    io::{self, DiskFiles},
    session::Session,
};
use crate::{
    check::{self, Checked, authorize},
    diag::{Code, Diagnostic, shown},
    manifest, plan, platform, policy, resolve,
};

/// A manifest that passed all checks.
pub(super) struct Front {
    pub(super) checked: Checked,
    pub(super) plan: NodePlan,
}

/// The rules to judge by; `Ok(None)` if none were given, `Err(None)` after a report.
pub(super) fn rules(
    args: &PolicyArgs,
    session: &mut Session,
) -> anyhow::Result<Result<Option<TrustDocument>, Reported>> {
    if let Some(path) = &args.policy {
        let input = io::read_input(path)?;
        let files = DiskFiles::from(&input.directory);
        let document = policy::parse(&input.name, &input.bytes, &files, &mut session.sources, &mut session.diags);
        return Ok(document.map(Some).ok_or(Reported));
    }
    match &args.trust {
        Some(path) => Ok(read_trust(path, session)?.map(|(trust, _)| Some(trust.document().clone())).ok_or(Reported)),
        None => Ok(Ok(None)),
    }
}

/// The releases of `--ocp`, with what is to be said about them; once per run.
pub(super) fn releases(target: &TargetArgs, session: &mut Session) -> Vec<OcpVersion> {
    let releases = platform::target::releases(&target.ocp);
    platform::check_releases(&releases, &mut session.diags);
    releases
}

/// Judges a manifest by the releases it is for.
pub(super) fn platform(front: &Front, releases: &[OcpVersion], session: &mut Session) {
    platform::check(&front.plan, &front.checked, releases, &mut session.diags);
}

/// A problem was reported; there is nothing to go on with.
#[derive(Debug)]
pub(super) struct Reported;

/// Reads a trust file; `None` after a report.
pub(super) fn read_trust(path: &std::path::Path, session: &mut Session) -> anyhow::Result<Option<(Trust, Vec<u8>)>> {
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

/// Takes one manifest through parse, resolve, check, plan and, with rules, authorize; `None` after a report.
pub(super) fn load(
    path: &std::path::Path,
    rules: Option<&TrustDocument>,
    session: &mut Session,
) -> anyhow::Result<Option<Front>> {
    let input = io::read_input(path)?;
    let files = DiskFiles::below(&input.directory);
    let Session { sources, diags, .. } = session;
    let front = manifest::parse(&input.name, &input.bytes, sources, diags)
        .and_then(|manifest| resolve::resolve(manifest, &files, diags))
        .and_then(|resolved| check::check(&resolved, diags))
        .and_then(|checked| plan::plan(&checked, diags).map(|plan| Front { checked, plan }));
    if let Some(front) = &front {
        let beyond = front.plan.beyond_this_release();
        if !beyond.is_empty() {
            diags.push(
                Diagnostic::warning(
                    Code::LoaderLacks,
                    format!("the loader of this release refuses the plan: it has no {}", beyond.join(", ")),
                )
                .at(front.checked.stream_span(), "of this stream")
                .note("nodes would keep what they run and report NB1203"),
            );
        }
    }
    if let (Some(front), Some(rules)) = (&front, rules) {
        authorize::authorize(&front.plan, &front.checked, rules, diags);
    }
    Ok(front)
}
