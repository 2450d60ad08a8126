//! `nodebpf check`: report the problems of manifests, write nothing.

use super::{
    Exit,
    args::CheckArgs,
    front::{self, Judge},
    session::Session,
};

pub(super) fn run(args: &CheckArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if let Ok(rules) = front::rules(&args.rules, session)? {
        let judge = Judge {
            rules: rules.as_ref(),
            moment: front::moment(args.rules.at),
            pools: &[],
            releases: front::releases(&args.target),
        };
        front::load(&args.manifests, &judge, session)?;
    }
    session.sound(args.strict);
    Ok(session.exit())
}
