//! Version skew: what earlier releases shipped is read by this one, byte for byte as it was.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use nodebpf_loader::{object::Image, paths::Paths, state};
use nodeplan::{
    applies::Architecture, bundle::Unverified, digest::Sha256Digest, name::StreamName, plan::NodePlan, statement,
    trust::Trust,
};

fn releases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut releases: Vec<_> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    releases.sort();
    assert!(!releases.is_empty());
    releases
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Bundles of a release with their plans, verified by one of its trust files.
fn bundles(release: &Path) -> Vec<(Vec<u8>, NodePlan)> {
    let trusts: Vec<_> = ["trust.json", "trust-audience.json"]
        .map(|name| Trust::parse(&fs::read(release.join(name)).unwrap()).unwrap())
        .into();
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        let verified = trusts.iter().find_map(|trust| {
            let verified = Unverified::decode(&bytes).unwrap().verify(trust.document()).ok()?;
            Some(NodePlan::clone(verified.plan()))
        });
        let plan = verified.unwrap_or_else(|| panic!("{} is refused", path.display()));
        (bytes, plan)
    };
    files(&release.join("bundles")).iter().map(read).collect()
}

/// A fixture that was made anew tests nothing: it is what this build writes.
#[test]
fn fixtures_never_change() {
    for release in releases() {
        let sums = fs::read_to_string(release.join("SHA256SUMS")).unwrap();
        let listed: Vec<_> = sums.lines().map(|line| line.split_once("  ./").unwrap()).collect();
        assert_eq!(listed.len() + 1, files(&release).len(), "{}: a file is not listed", release.display());
        for (sum, name) in listed {
            let digest = Sha256Digest::of(&fs::read(release.join(name)).unwrap());
            assert_eq!(digest.to_string(), sum, "{}/{name}", release.display());
        }
    }
}

#[test]
fn bundles_of_earlier_releases_are_accepted() {
    for release in releases() {
        let bundles = bundles(&release);
        let mut hooks: Vec<_> = bundles
            .iter()
            .flat_map(|(_, plan)| &plan.programs)
            .flat_map(|program| program.attach.iter().map(nodeplan::hook::Attachment::hook))
            .collect();
        hooks.sort_unstable();
        hooks.dedup();
        assert!(hooks.len() >= 11, "{}: only {hooks:?}", release.display());
        for (bytes, plan) in &bundles {
            let parts = Unverified::decode(bytes).unwrap().parts();
            assert_eq!(parts.encode(), *bytes, "{}: other bytes", plan.stream);
            assert_eq!(statement::encode(plan), parts.statement, "{}: another statement", plan.stream);
        }
    }
}

#[test]
fn objects_of_earlier_releases_are_read_by_the_loader() {
    for release in releases() {
        let mut programs = 0;
        for (bytes, plan) in bundles(&release) {
            let parts = Unverified::decode(&bytes).unwrap().parts();
            for program in &plan.programs {
                for architecture in [Architecture::Amd64, Architecture::Arm64] {
                    let Some(object) = program.object.get(architecture) else { continue };
                    let object = parts.objects.get(&object.sha256).unwrap();
                    let globals: Vec<_> =
                        program.globals.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
                    let image = Image::parse(object, &globals).unwrap();
                    assert_ne!(image.section(program.name.as_str()).unwrap(), "", "{}", program.name);
                    programs += 1;
                }
            }
        }
        assert!(programs > 20, "{}: only {programs} programs", release.display());
    }
}

/// The pins of a release are found by the record that its loader left, and by paths that never change.
#[test]
fn pins_of_earlier_releases_are_adopted() {
    for release in releases() {
        let paths = Paths::new(&release.join("node"));
        let records = files(&release.join("node/run/nodebpf/streams"));
        assert!(records.len() >= 5, "{records:?}");
        for record in records {
            let name = StreamName::try_from(record.file_stem().unwrap().to_str().unwrap()).unwrap();
            assert_eq!(paths.record(&name), record);
            let accepted = state::read_record(&record).unwrap_or_else(|| panic!("{} is not read", record.display()));
            assert_eq!(accepted.bytes(), fs::read(&record).unwrap());
        }
    }
    let stream = StreamName::try_from("netops-x").unwrap();
    let digest = Sha256Digest::of(b"x");
    let version = nodebpf_loader::paths::version_pins(&stream, digest);
    assert_eq!(version, Path::new(&format!("/sys/fs/bpf/nodebpf/netops-x/{digest}")));
}
