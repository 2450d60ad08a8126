//! `nodebpf check`: report the problems of manifests, write nothing.

use super::{
    Exit,
    args::CheckArgs,
    btf,
    front::{self, Judge},
    io,
    session::Session,
};
use crate::check::kernels;

pub(super) fn run(args: &CheckArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let blobs = btf::read(&args.kernels)?;
    let kernels = btf::parse(&blobs, &mut session.diags);
    if let Ok(rules) = front::rules(&args.rules, session)? {
        let judge = Judge {
            rules: rules.as_ref(),
            moment: front::moment(args.rules.at),
            pools: &[],
            releases: front::releases(&args.target, session),
            kernels: &kernels,
        };
        let rows: Vec<_> =
            front::load(&args.manifests, &judge, session)?.into_iter().flat_map(|front| front.rows).collect();
        io::print(kernels::table(&kernels, &rows).as_bytes())?;
    }
    session.sound(args.strict);
    Ok(session.exit())
}
