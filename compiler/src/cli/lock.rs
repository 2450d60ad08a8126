//! `nodebpf lock`: manifests and a policy to the agreed order of everything.
//!
//! In:   all manifests of a cluster, its policy, the lock that was agreed on. Out: the lock.
//! May fail with: what [`super::front`] and [`crate::lock`] report, and I/O.

use std::path::{Path, PathBuf};

use super::{
    Exit,
    args::LockArgs,
    front::{self, Front, Judge},
    io,
    session::{Session, WrongUsage},
    write,
};
use crate::{
    diag::{Code, Diagnostic, shown},
    lock::{
        FILE_NAME, LOCK_MAX_BYTES, Lock,
        drift::{self, Scope},
    },
    policy::Policy,
    set::Set,
};

pub(super) fn run(args: &LockArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let Ok(rules) = front::policy(&args.policy, session)? else { return Ok(session.exit()) };
    let judge = Judge {
        rules: Some(&rules),
        moment: front::moment(args.at),
        written: None,
        releases: Vec::new(),
        kernels: &[],
    };
    let fronts = front::load(&args.manifests, &judge, session)?;
    if !session.sound(args.strict) {
        return Ok(session.exit());
    }
    let path = path(args.out.as_deref(), &args.manifests);
    let to_stdout = path == Path::new("-");
    if to_stdout && args.check {
        return Err(WrongUsage("`--check` compares with a file, and `-o -` is stdout".to_owned()).into());
    }
    let command = command(Some(&args.policy));
    let bytes = with_set(&fronts, rules.policy.as_ref(), |set| {
        let fresh = Lock::of(set);
        if args.check {
            compare(&path, &fresh, set, Scope::Whole, &command, session)?;
            return Ok(None);
        }
        let old = if to_stdout { None } else { io::read_if_present(&path, LOCK_MAX_BYTES)? };
        // What is no lock is refused, never replaced: it may be an input, or hold what was agreed.
        if let Some(old) = old.and_then(|bytes| Lock::parse_former(&name(&path), &bytes, &mut session.diags)) {
            drift::revisions(&old, &fresh, set, &mut session.diags);
            drift::lost(&old, &fresh, &command, &mut session.diags);
        }
        anyhow::Ok(Some(fresh.to_yaml()))
    })?;
    if let (Some(bytes), true) = (bytes, session.sound(args.strict)) {
        if to_stdout {
            io::print(&bytes)?;
        } else {
            write::replace(&path, &bytes)?;
        }
    }
    Ok(session.exit())
}

fn with_set<T>(fronts: &[Front], policy: Option<&Policy>, use_it: impl FnOnce(&Set<'_>) -> T) -> T {
    let members: Vec<_> = fronts.iter().map(Front::member).collect();
    use_it(&Set::new(&members, policy))
}

/// For `compile --locked`: the streams must be those of the lock.
pub(super) fn check_streams(
    fronts: &[Front],
    policy: Option<&Policy>,
    manifests: &[PathBuf],
    lock: Option<&Path>,
    session: &mut Session,
) -> anyhow::Result<()> {
    let path = path(lock, manifests);
    let command = command(None);
    with_set(fronts, policy, |set| compare(&path, &Lock::of(set), set, Scope::Streams, &command, session))
}

fn compare(
    path: &Path,
    fresh: &Lock,
    set: &Set<'_>,
    scope: Scope,
    command: &str,
    session: &mut Session,
) -> anyhow::Result<()> {
    let Some(bytes) = io::read_if_present(path, LOCK_MAX_BYTES)? else {
        session.diags.push(
            Diagnostic::error(Code::NoLock, format!("there is no lock `{}`", shown(&name(path))))
                .help(format!("write it: {command}")),
        );
        return Ok(());
    };
    if let Some(lock) = Lock::parse(&name(path), &bytes, &mut session.diags) {
        drift::report(&lock, fresh, set, scope, command, &mut session.diags);
    }
    Ok(())
}

/// The lock's path: as given, or beside the first manifest.
fn path(given: Option<&Path>, manifests: &[PathBuf]) -> PathBuf {
    let beside = manifests.first().and_then(|manifest| manifest.parent());
    given.map_or_else(|| beside.unwrap_or(Path::new("")).join(FILE_NAME), Path::to_path_buf)
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// What to type to write the lock anew. Those given may be a part of the manifests, and a lock of a part loses the rest.
fn command(policy: Option<&Path>) -> String {
    let policy = policy.map_or_else(|| "policy.yaml".to_owned(), name);
    format!("`nodebpf lock */bpf.yaml --policy {policy}`, with all manifests of the cluster")
}
