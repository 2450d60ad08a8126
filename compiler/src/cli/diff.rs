//! `nodebpf diff`: what changes from one set of compiled output to another.

mod read;

use std::path::Path;

use super::{
    Exit,
    args::{DiffArgs, DiffTarget},
    io,
    session::Session,
    verify::FILE_MAX_BYTES,
};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, visible},
    diff::{self, Options, markdown, text},
    mco::{document::documents, policy::Policy},
    platform::{self, target},
};

/// Word of `--policy` for a cluster without one.
const NO_POLICY: &str = "none";

pub(super) fn run(args: &DiffArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let releases = target::releases(&args.ocp.ocp);
    platform::outside(&releases, &mut session.diags);
    let old = read::side(&args.old, &mut session.diags)?;
    let new = read::side(&args.new, &mut session.diags)?;
    let policy = match &args.policy {
        None => None,
        Some(path) if path == Path::new(NO_POLICY) => Some(Policy::default()),
        Some(path) => read_policy(path, &mut session.diags)?,
    };
    if session.diags.has_errors() {
        return Ok(Exit::Errors);
    }
    let options = Options { policy, releases, on_cluster_layering: args.target == DiffTarget::Ocl };
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
    let documents = match documents(&bytes) {
        Ok(documents) => documents,
        Err(why) => return refuse(&why),
    };
    let mut found: Option<Policy> = None;
    for document in &documents {
        let Some(policy) = Policy::read(document) else { continue };
        match policy {
            Err(why) => return refuse(&format!("cannot be read: {why}")),
            Ok(_) if found.is_some() => return refuse("has several MachineConfigurations; a cluster has one"),
            Ok(policy) => found = Some(policy),
        }
        if let Err(why) = Policy::refuse_name(document) {
            return refuse(&why);
        }
    }
    if found.is_none() { refuse("has no MachineConfiguration") } else { Ok(found) }
}
