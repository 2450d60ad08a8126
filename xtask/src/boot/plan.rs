//! Which boots there are, and which checks each of them runs.
//!
//! In:  `tests/boot/checks` (the first boot of a node), `tests/boot/boots/<name>` (later boots of a broken one), a filter.
//! Out: the boots that have a check to run, the longest first.
//! May fail with: a filter that no check fits.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::{run, setup::children};

/// What a boot begins with, beside its checks.
const FAULTS: &str = "faults";

/// A file of this tree, by its name.
type Named = (String, PathBuf);

/// One boot.
pub(crate) struct Boot {
    pub(crate) name: String,
    /// Folder of its files in the guest.
    pub(crate) place: String,
    /// What it adds to the kernel's command line.
    pub(crate) words: String,
    /// What is broken before systemd starts.
    pub(crate) faults: Option<Named>,
    pub(crate) checks: Vec<Named>,
}

/// All of them; with a filter, the checks whose names have one of its parts.
pub(crate) fn boots(filter: Option<&str>) -> Result<Vec<Boot>> {
    let tests = run::root().join("tests/boot");
    let wanted = |name: &str| filter.is_none_or(|parts| parts.split(',').any(|part| name.contains(part)));
    let mut boots = vec![Boot {
        name: "first".to_owned(),
        place: "/bt/checks".to_owned(),
        words: String::new(),
        faults: None,
        checks: named(children(&tests.join("checks")))?,
    }];
    for (name, folder) in named(children(&tests.join("boots")))? {
        let (faults, checks): (Vec<Named>, _) =
            named(children(&folder))?.into_iter().partition(|(file, _)| file == FAULTS);
        ensure!(faults.len() == 1, "`{}` has no file `{FAULTS}`", folder.display());
        boots.push(Boot {
            place: format!("/bt/boots/{name}"),
            // Without a dot: the kernel hands it to the first program.
            words: format!("rdinit=/bt/init bt_boot={name}"),
            faults: faults.into_iter().next(),
            name,
            checks,
        });
    }
    for boot in &mut boots {
        boot.checks.retain(|(name, _)| wanted(name));
    }
    boots.retain(|boot| !boot.checks.is_empty());
    ensure!(!boots.is_empty(), "no check below `{}` has such a name", tests.display());
    Ok(boots)
}

fn named(files: Vec<PathBuf>) -> Result<Vec<Named>> {
    let name = |path: &PathBuf| Some(path.file_name()?.to_str()?.to_owned());
    files.into_iter().map(|path| Ok((name(&path).context("invariant: checks have names of text")?, path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_leaves_boots_without_checks_out() {
        let all = boots(None).unwrap();
        assert_eq!(all[0].name, "first");
        assert!(all[1..].iter().all(|boot| boot.faults.is_some() && boot.words.contains(&boot.name)));
        let some = boots(Some("full-var")).unwrap();
        assert_eq!(
            some.iter().map(|boot| (boot.name.as_str(), boot.checks.len())).collect::<Vec<_>>(),
            [("full-var", 1)]
        );
        assert!(boots(Some("no-such-check")).is_err());
    }
}
