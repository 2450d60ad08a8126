//! `nodebpf init`: write a commented manifest to start from.
//!
//! In:   paths of objects. Out: a new file, or text on stdout.
//! May fail with: what the system says, a file that is there already; NB0205, NB0208 for an object that no manifest can
//! use.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use nodeplan::limits;

use super::{Exit, args::InitArgs, io, session::Session};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown, shown_up_to},
    init::{self, Start},
    inspect,
    object::{self, ObjectFacts},
};

pub(super) fn run(args: &InitArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let to_stdout = args.out == Path::new("-");
    if !to_stdout && args.out.symlink_metadata().is_ok() {
        bail!("`{}` exists already; choose another name: `nodebpf init -o FILE`", args.out.display());
    }
    let parent = args.out.parent().filter(|parent| !to_stdout && *parent != Path::new(""));
    let directory = parent.unwrap_or(Path::new("."));
    let mut objects = Vec::new();
    for path in &args.objects {
        let bytes = io::read_file(path, limits::OBJECT_MAX_BYTES)?;
        let Some((facts, refused)) = read(path, &bytes, &mut session.diags) else { continue };
        objects.push((from_directory(path, directory)?, facts, refused));
    }
    if session.diags.has_errors() {
        return Ok(Exit::Errors);
    }
    let starts: Vec<_> = objects.iter().map(|(path, facts, refused)| Start { path, facts, refused }).collect();
    let text = init::starter(&starts);
    if to_stdout {
        io::print(text.as_bytes())?;
        return Ok(Exit::Done);
    }
    io::write_new(&args.out, text.as_bytes())?;
    let name = args.out.display();
    io::print(format!("wrote {name}; edit the lines marked EDIT, then `nodebpf check {name}`\n").as_bytes())?;
    Ok(Exit::Done)
}

/// What an object offers, and which programs of it would be refused, with why; `None` after a report.
fn read(path: &Path, bytes: &[u8], diags: &mut Diagnostics) -> Option<(ObjectFacts, Vec<(String, String)>)> {
    let name = shown(&path.display().to_string());
    let found = object::read(bytes).and_then(|facts| Ok((facts, inspect::object::inspect(bytes, 1, &[])?)));
    let (facts, seen) = match found {
        Ok(found) => found,
        Err(error) => {
            let report = Diagnostic::error(Code::NotAnObject, format!("object `{name}` cannot be used"));
            diags.push(
                report
                    .note(shown_up_to(&error.to_string(), 200))
                    .help("compile with `clang -g -O2 -target bpfel -c`, and strip with `llvm-strip -g` only"),
            );
            return None;
        }
    };
    for why in &seen.refused {
        let message = format!("object `{name}` would be refused: {}", shown_up_to(why, 200));
        diags.push(Diagnostic::error(Code::NotAnObject, message).help(format!("look at `nodebpf inspect {name}`")));
    }
    let refused: Vec<_> = seen
        .programs
        .iter()
        .filter_map(|program| Some((program.name.clone(), program.refused.first()?.clone())))
        .collect();
    if seen.refused.is_empty() && refused.len() == facts.programs.len() {
        let report = match refused.first() {
            None => Diagnostic::error(Code::NoHook, format!("object `{name}` has no programs"))
                .note("maps without a program that uses them are of no use to a node"),
            Some((program, why)) => {
                let message = format!("object `{name}` has no program that nodebpf can run");
                Diagnostic::error(Code::NoHook, message).note(format!(
                    "`{}`: {}",
                    shown(program),
                    shown_up_to(why, 200)
                ))
            }
        };
        diags.push(report.help("compile a C file with a program, such as SEC(\"xdp\") int NAME(struct xdp_md *ctx)"));
    }
    seen.refused.is_empty().then_some((facts, refused))
}

/// `path` as it is written in a manifest in `directory`. Manifests name objects beside them or below.
fn from_directory(path: &Path, directory: &Path) -> anyhow::Result<String> {
    let real = |path: &Path| path.canonicalize().with_context(|| format!("finding `{}`", path.display()));
    let (object, base) = (real(path)?, real(directory)?);
    let Ok(below) = object.strip_prefix(&base) else {
        bail!(
            "`{}` is not below `{}`, where the manifest will be; copy it there first",
            path.display(),
            directory.display()
        );
    };
    let parts: Option<Vec<_>> = below
        .components()
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
        })
        .collect();
    match parts {
        Some(parts) => Ok(parts.join("/")),
        None => bail!("`{}` is not a name that a manifest can have: it is not UTF-8", PathBuf::from(below).display()),
    }
}
