//! `nodebpf diff`: what changes from one set of compiled output to another.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Exit,
    args::{DiffArgs, DiffTarget},
    io,
    session::Session,
    verify::{self, FILE_MAX_BYTES},
};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, visible},
    diff::{self, Options, markdown, side::Side, text},
    mco::policy::Policy,
    platform::target,
    sign::carrier,
};

/// Word of `--policy` for a cluster without one.
const NO_POLICY: &str = "none";

pub(super) fn run(args: &DiffArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let old = read(&args.old, &mut session.diags)?;
    let new = read(&args.new, &mut session.diags)?;
    let policy = match &args.policy {
        None => None,
        Some(path) if path == Path::new(NO_POLICY) => Some(Policy::default()),
        Some(path) => read_policy(path, &mut session.diags)?,
    };
    if session.diags.has_errors() {
        return Ok(Exit::Errors);
    }
    let options = Options {
        policy,
        releases: target::releases(&args.ocp.ocp),
        on_cluster_layering: args.target == DiffTarget::Ocl,
    };
    let report = diff::diff(&old, &new, &options, &mut session.diags);
    let out = if args.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else if args.markdown {
        markdown::print(&report)
    } else {
        text::print(&report)
    };
    io::print(out.as_bytes())?;
    match session.exit() {
        Exit::Done if args.exit_code && !report.is_empty() => Ok(Exit::Errors),
        exit => Ok(exit),
    }
}

fn read(path: &Path, diags: &mut Diagnostics) -> anyhow::Result<Side> {
    let mut side = Side::default();
    if !path.is_dir() {
        let bytes = io::read_file(path, FILE_MAX_BYTES)?;
        add(&mut side, path, &bytes, true, diags);
        return Ok(side);
    }
    let (mut files, mut skipped) = (Vec::<PathBuf>::new(), 0);
    verify::walk(path, &mut files, &mut skipped)?;
    for file in &files {
        let wanted = verify::is_carrier(file);
        let small = fs::metadata(file).is_ok_and(|metadata| metadata.len() <= FILE_MAX_BYTES as u64);
        if wanted || small {
            let bytes = io::read_file(file, FILE_MAX_BYTES)?;
            if wanted || carrier::is_archive(&bytes) {
                add(&mut side, file, &bytes, false, diags);
            }
        }
    }
    Ok(side)
}

fn add(side: &mut Side, path: &Path, bytes: &[u8], named: bool, diags: &mut Diagnostics) {
    if let Err(why) = side.add(path, bytes, named) {
        let name = visible(&path.display().to_string());
        diags.push(
            Diagnostic::error(Code::NotComparable, format!("`{name}` {why}"))
                .note("nothing is said of what cannot be read")
                .help("give compiled output: directories, MachineConfigs, Ignition configs or bundles"),
        );
    }
}

fn read_policy(path: &Path, diags: &mut Diagnostics) -> anyhow::Result<Option<Policy>> {
    let bytes = io::read_file(path, FILE_MAX_BYTES)?;
    let mut refuse = |why: &str| {
        let name = visible(&path.display().to_string());
        diags.push(
            Diagnostic::error(Code::BadDisruptionPolicy, format!("`{name}` {why}"))
                .help("oc get machineconfiguration.operator.openshift.io cluster -o yaml > policy.yaml")
                .help("or `--policy none`, for a cluster without one"),
        );
        Ok(None)
    };
    let Ok(documents) = carrier::documents(&bytes) else { return refuse("is neither YAML nor JSON") };
    match documents.iter().find_map(Policy::read) {
        None => refuse("has no MachineConfiguration"),
        Some(Err(why)) => refuse(&format!("cannot be read: {why}")),
        Some(Ok(policy)) => Ok(Some(policy)),
    }
}
