//! `nodebpf trust build`: a policy to a trust file.

use nodeplan::limits;

use super::{
    Exit,
    args::TrustBuildArgs,
    compile::read_keys,
    io::{self, DiskFiles},
    session::Session,
    write,
};
use crate::{
    policy,
    sign::{Signer, chain},
};

pub(super) fn build(args: &TrustBuildArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let input = io::read_input(&args.policy)?;
    let files = DiskFiles::from(&input.directory);
    let policy = policy::parse(&input.name, &input.bytes, &files, &mut session.sources, &mut session.diags);
    let keys = read_keys(&args.root_keys, session)?;
    let (Some(policy::Policy { trust: document, .. }), false) = (policy, session.diags.has_errors()) else {
        return Ok(session.exit());
    };
    let old = io::read_if_present(&args.out, limits::TRUST_MAX_BYTES)?;
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    let bytes = chain::extend(&document, old.as_deref(), &signers, &mut session.diags);
    if let (Some(bytes), true) = (bytes, session.sound(args.strict)) {
        write::replace(&args.out, &bytes)?;
    }
    Ok(session.exit())
}
