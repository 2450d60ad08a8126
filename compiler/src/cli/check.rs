//! `nodebpf check`: report the problems of manifests, write nothing.

use super::{
    Exit,
    args::CheckArgs,
    btf,
    front::{self, Judge},
    io,
    session::Session,
};
use crate::{
    check::kernels,
    diag::{AnyCode, Code, Diagnostic, Severity},
};

pub(super) fn run(args: &CheckArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let blobs = btf::read(&args.kernels)?;
    let kernels = btf::parse(&blobs, &mut session.diags);
    let rules = front::rules(&args.rules, session)?;
    let judge = Judge {
        rules: rules.as_ref().ok().and_then(Option::as_ref),
        moment: front::moment(args.rules.at),
        written: None,
        releases: front::releases(&args.target, session),
        kernels: &kernels,
    };
    let known = std::mem::take(&mut session.diags);
    let fronts = front::load(&args.manifests, &judge, session)?;
    let found = std::mem::replace(&mut session.diags, known);
    // Without the policy that was asked for, only what no policy changes can be told.
    let told = |item: &Diagnostic| rules.is_ok() || !may_be_allowed(item);
    session.diags.extend(found.into_iter().filter(told));
    let rows: Vec<_> = fronts.into_iter().flat_map(|front| front.rows).collect();
    io::print(kernels::table(&kernels, &rows).as_bytes())?;
    session.sound(args.strict);
    Ok(session.exit())
}

/// Whether a policy could make the report go away.
fn may_be_allowed(item: &Diagnostic) -> bool {
    item.severity != Severity::Error || item.code == AnyCode::Compiler(Code::ClosedPool)
}
