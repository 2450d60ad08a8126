//! `nodebpf inspect`: what is in objects, bundles and `MachineConfig`s.

use std::path::Path;

use super::{Exit, args::InspectArgs, btf, io, session::Session, verify};
use crate::{
    diag::{Code, Diagnostic, visible},
    inspect::{Content, File, Report, bundle, object, text},
    relocate::Kernel,
    sign::carrier::{self, Unreadable},
};

pub(super) fn run(args: &InspectArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let blobs = btf::read(&args.kernels)?;
    let kernels = btf::parse(&blobs, &mut session.diags);
    let mut report = Report { files: Vec::new() };
    for path in &args.files {
        let bytes = io::read_file(path, verify::FILE_MAX_BYTES)?;
        match inspect(path, &bytes, args.cpus, &kernels) {
            Ok(content) => report.files.push(File { file: path.display().to_string(), content }),
            Err((code, why)) => {
                let message = format!("`{}` cannot be shown: {}", visible(&path.display().to_string()), why);
                session.diags.push(Diagnostic::error(code, message));
            }
        }
    }
    let out = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { text::print(&report) };
    io::print(out.as_bytes())?;
    Ok(session.exit())
}

fn inspect(path: &Path, bytes: &[u8], cpus: u32, kernels: &[Kernel<'_>]) -> Result<Content, (Code, String)> {
    if bytes.starts_with(b"\x7fELF") {
        let object = object::inspect(bytes, cpus, kernels);
        return object.map(Content::Object).map_err(|error| (Code::NotAnObject, error.to_string()));
    }
    let found = carrier::bundles(path, bytes).map_err(|error| match error {
        Unreadable::Ours(why) | Unreadable::Foreign(why) => (Code::NotInspectable, why),
    })?;
    if found.is_empty() {
        return Err((Code::NotInspectable, "it has no bundle".to_owned()));
    }
    let bundles = found.iter().map(|found| bundle::inspect(&found.bytes, cpus, kernels)).collect::<Result<_, _>>();
    bundles.map(Content::Bundles).map_err(|why| (Code::NotInspectable, why))
}
