//! `nodebpf install`: the `MachineConfig`s that bring loader, units and trust file.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{Exit, args::InstallArgs, front, io, session::Session, write};
use crate::{
    emit::{self, PoolSums},
    lower::{install, unit},
};

/// Largest loader, in bytes. Ours; what nodes get has a smaller limit, on the MachineConfig.
const LOADER_MAX_BYTES: usize = 16 * 1024 * 1024;

pub(super) fn run(args: &InstallArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let path = match &args.loader {
        Some(path) => path.clone(),
        None => beside_us()?,
    };
    let loader = io::read_file(&path, LOADER_MAX_BYTES)?;
    if let Some(problem) = install::refuse_loader(&path.display().to_string(), &loader) {
        session.diags.push(problem);
    }
    let trust = front::read_trust(&args.trust, session)?;
    let (Some((_, trust)), false) = (trust, session.diags.has_errors()) else { return Ok(session.exit()) };
    let units = unit::units().context("making units")?;
    let mut pools = args.pools.clone();
    pools.sort();
    pools.dedup();
    let (mut files, mut sums) = (Vec::new(), PoolSums::default());
    for pool in &pools {
        for config in [install::loader(pool, &loader, &units), install::trust(pool, &trust)] {
            let file = emit::emit(&config, args.format.into(), None, &mut session.diags);
            sums.add(pool, &file);
            files.push(file);
        }
    }
    sums.report(&mut session.diags);
    if session.sound(args.strict) {
        write::all_or_none(&args.out_dir, &files)?;
    }
    Ok(session.exit())
}

fn beside_us() -> anyhow::Result<PathBuf> {
    let ours = std::env::current_exe().context("looking for nodebpf-loader beside nodebpf")?;
    Ok(ours.with_file_name("nodebpf-loader"))
}
