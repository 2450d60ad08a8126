//! `nodebpf install`: what brings both binaries, units and trust file to nodes, and keeps nodes from being drained for it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Exit, args::InstallArgs, beside, front, io, session::Session, write};
use crate::{
    emit::{
        self, Format, OutputFile,
        delivery::{Delivery, Formats},
    },
    lower::{
        disruption,
        install::{self, Binary},
        tree,
        unit::{self, Carrier},
    },
};

/// Largest binary, in bytes. Ours; what nodes get has a smaller limit, on the MachineConfig.
const BINARY_MAX_BYTES: usize = 16 * 1024 * 1024;

pub(super) fn run(args: &InstallArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let path = match &args.loader {
        Some(path) => path.clone(),
        None => beside_us()?,
    };
    let loader = io::read_file(&path, BINARY_MAX_BYTES)?;
    session.diags.extend(install::refuse_binary("loader", &path.display().to_string(), &loader));
    let diag = read_diag(args, &path, session)?;
    let trust = front::read_trust(&args.trust, session)?;
    let (Some((_, trust)), false) = (trust, session.diags.has_errors()) else { return Ok(session.exit()) };
    let formats = Formats::new(args.formats.iter().copied().map(Format::from));
    let delivery = delivery(args, &loader, diag.as_deref(), &trust)?;
    let written = delivery.emit(&formats, &mut session.diags);
    beside::kustomization(&args.out_dir, &written, session)?;
    beside::installation(&args.out_dir, &args.pools, &written.files, session)?;
    if session.sound(args.strict) {
        write::delivery(&args.out_dir, &written)?;
    }
    Ok(session.exit())
}

/// The binary of the commands that only look, unless it is to be left out.
fn read_diag(args: &InstallArgs, loader: &Path, session: &mut Session) -> anyhow::Result<Option<Vec<u8>>> {
    if args.no_diag {
        return Ok(None);
    }
    let path = args.diag.clone().unwrap_or_else(|| loader.with_file_name("nodebpf-diag"));
    let bytes = io::read_file(&path, BINARY_MAX_BYTES)
        .context("looking for nodebpf-diag: name it with `--diag FILE`, or leave it out with `--no-diag`")?;
    session.diags.extend(install::refuse_binary("diag", &path.display().to_string(), &bytes));
    Ok(Some(bytes))
}

fn delivery(args: &InstallArgs, loader: &[u8], diag: Option<&[u8]>, trust: &[u8]) -> anyhow::Result<Delivery> {
    let units = unit::units(Carrier::MachineConfig).context("making units")?;
    let image_units = unit::units(Carrier::Image).context("making units")?;
    let rule = unit::udev_rule().context("making the udev rule")?;
    let mut pools = args.pools.clone();
    pools.sort();
    pools.dedup();
    let mut delivery = Delivery::default();
    let policy = emit::to_yaml(&disruption::machine_configuration(&units));
    delivery.document(OutputFile {
        name: disruption::FILE_NAME.to_owned(),
        bytes: [disruption::COMMENT.as_bytes(), &policy].concat(),
    });
    let (packed_loader, packed_diag) = (Binary::pack(loader), diag.map(Binary::pack));
    for pool in &pools {
        let configs =
            [install::units(pool, &rule, &units), install::loader(pool, &packed_loader), install::trust(pool, trust)];
        let diag_config = packed_diag.as_ref().map(|diag| install::diag(pool, diag));
        for config in configs.into_iter().chain(diag_config) {
            delivery.config(pool, config, None);
        }
        delivery.tree(pool, tree::install(loader, diag, trust, &rule, &image_units));
    }
    Ok(delivery)
}

fn beside_us() -> anyhow::Result<PathBuf> {
    let ours = std::env::current_exe().context("looking for nodebpf-loader beside nodebpf")?;
    let loader = ours.with_file_name("nodebpf-loader");
    anyhow::ensure!(
        loader.is_file(),
        "looking for nodebpf-loader beside nodebpf: there is no `{}`; give `--loader FILE`",
        loader.display()
    );
    Ok(loader)
}
