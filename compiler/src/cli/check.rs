//! `nodebpf check`: report the problems of manifests, write nothing.

use super::{Exit, args::CheckArgs, btf, front, io, session::Session};
use crate::check::kernels;

pub(super) fn run(args: &CheckArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let blobs = btf::read(&args.kernels)?;
    let kernels = btf::parse(&blobs, &mut session.diags);
    if let Ok(rules) = front::rules(&args.rules, session)? {
        let mut rows = Vec::new();
        for manifest in &args.manifests {
            let front = front::load(manifest, rules.as_ref(), &kernels, session)?;
            rows.extend(front.into_iter().flat_map(|front| front.rows));
        }
        io::print(kernels::table(&kernels, &rows).as_bytes())?;
    }
    session.sound(args.strict);
    Ok(session.exit())
}
