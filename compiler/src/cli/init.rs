//! `nodebpf init`: write a commented manifest to start from.
//!
//! In:   paths of objects. Out: a new file, or text on stdout.
//! May fail with: what the system says, an object that cannot be read, a file that is there already.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use nodeplan::limits;

use super::{Exit, args::InitArgs, io};
use crate::{
    init::{self, Start},
    object,
};

pub(super) fn run(args: &InitArgs) -> anyhow::Result<Exit> {
    let to_stdout = args.out == Path::new("-");
    if !to_stdout && args.out.symlink_metadata().is_ok() {
        bail!("`{}` exists already; choose another name: `nodebpf init -o FILE`", args.out.display());
    }
    let directory = args.out.parent().filter(|parent| !to_stdout && *parent != Path::new(""));
    let mut objects = Vec::new();
    for path in &args.objects {
        let bytes = io::read_file(path, limits::OBJECT_MAX_BYTES)?;
        let facts = object::read(&bytes).with_context(|| format!("reading `{}`", path.display()))?;
        objects.push((from_directory(path, directory.unwrap_or(Path::new(".")))?, facts));
    }
    let starts: Vec<_> = objects.iter().map(|(path, facts)| Start { path, facts }).collect();
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
