//! `nodebpf check`: report the problems of manifests, write nothing.

use super::{Exit, args::CheckArgs, front, session::Session};

pub(super) fn run(args: &CheckArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if let Ok(rules) = front::rules(&args.rules, session)? {
        let releases = front::releases(&args.target, session);
        for manifest in &args.manifests {
            if let Some(front) = front::load(manifest, rules.as_ref(), session)? {
                front::platform(&front, &releases, session);
            }
        }
    }
    session.sound(args.strict);
    Ok(session.exit())
}
