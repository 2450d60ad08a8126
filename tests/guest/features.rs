//! Features of a kernel that tests need, and which kernels are known to lack them.
//!
//! In:  the `needs` of a test, `uname -r`, the running kernel.
//! Out: run the test, or refuse it with the kernel's own words.
//! May fail with: a feature that is absent though expected, or present though [`LACKING`] says otherwise. So the
//! table is true on every kernel that the tests ran on, and nothing is skipped in silence.

use std::{fs, io, os::fd::AsFd as _};

use anyhow::{Context as _, Result, bail};

use crate::bpf::{self, AttachType, Kind};

/// Something that a kernel may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// Replacing a function of a loaded XDP program by another program.
    Freplace,
    /// The TC hook that takes BPF links.
    Tcx,
    /// BPF among the active security modules.
    BpfLsm,
}

/// What kernels lack, by the beginning of `uname -r`. Written before the tests run; a kernel that is not here is
/// expected to have everything (`cargo xtask vm --lacks` adds to it).
const LACKING: &[(&str, &[Feature])] = &[
    // TCX came with 6.6.
    ("6.1.", &[Feature::Tcx]),
    ("6.12.", &[]),
];

const ALL: [Feature; 3] = [Feature::Freplace, Feature::Tcx, Feature::BpfLsm];

impl Feature {
    /// The name on command lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Feature::Freplace => "freplace",
            Feature::Tcx => "tcx",
            Feature::BpfLsm => "bpf-lsm",
        }
    }

    /// The feature with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|feature| feature.name() == name)
    }

    /// All names, for messages.
    pub(crate) fn names() -> String {
        ALL.map(Feature::name).join(", ")
    }

    /// Asks the kernel. The error is for a probe that itself went wrong.
    fn probe(self) -> Result<Presence> {
        match self {
            Feature::Freplace => probe_freplace(),
            Feature::Tcx => probe_tcx(),
            Feature::BpfLsm => probe_bpf_lsm(),
        }
    }
}

/// What the kernel answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Presence {
    Present,
    /// The kernel's answer in words.
    Absent(String),
}

/// What becomes of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Run,
    Refuse(String),
}

/// Decides over a test with these needs.
pub(crate) fn judge(needs: &[Feature], also_lacking: &[Feature]) -> Result<Verdict> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading the release of the kernel")?;
    for feature in needs {
        let lacking = also_lacking.contains(feature) || known_to_lack(&release, *feature);
        let presence = feature.probe().with_context(|| format!("probing `{}`", feature.name()))?;
        if let Verdict::Refuse(reason) = decide(feature.name(), lacking, presence, release.trim())? {
            return Ok(Verdict::Refuse(reason));
        }
    }
    Ok(Verdict::Run)
}

fn known_to_lack(release: &str, feature: Feature) -> bool {
    LACKING.iter().any(|(beginning, lacking)| release.starts_with(beginning) && lacking.contains(&feature))
}

fn decide(name: &str, lacking: bool, presence: Presence, release: &str) -> Result<Verdict> {
    match (lacking, presence) {
        (false, Presence::Present) => Ok(Verdict::Run),
        (true, Presence::Absent(answer)) => Ok(Verdict::Refuse(format!("no {name}, as expected: {answer}"))),
        (true, Presence::Present) => {
            bail!("kernel {release} has `{name}`, which LACKING in tests/guest/features.rs denies")
        }
        (false, Presence::Absent(answer)) => {
            bail!("kernel {release} lacks `{name}`, which LACKING in tests/guest/features.rs does not say: {answer}")
        }
    }
}

/// Loads a program, replaces it and runs it: what counts is what it then returns.
fn probe_freplace() -> Result<Presence> {
    let target = bpf::load_xdp("target", bpf::XDP_PASS)?;
    let replacement = match bpf::load_replacement("replacement", bpf::XDP_DROP, target.as_fd()) {
        Ok(program) => program,
        Err(error) => return absent(&error, "loading a program that replaces another"),
    };
    let _link = match bpf::link_replacement(replacement.as_fd(), target.as_fd()) {
        Ok(link) => link,
        Err(error) => return absent(&error, "linking a program that replaces another"),
    };
    match bpf::test_run(target.as_fd(), &[0; 64])? {
        bpf::XDP_DROP => Ok(Presence::Present),
        verdict => bail!("the replaced program returned {verdict}"),
    }
}

fn probe_tcx() -> Result<Presence> {
    match bpf::query_interface(1, AttachType::TcxIngress) {
        Ok(()) => Ok(Presence::Present),
        Err(error) => absent(&error, "querying TCX on lo"),
    }
}

fn probe_bpf_lsm() -> Result<Presence> {
    let active = fs::read_to_string("/sys/kernel/security/lsm").context("reading the active security modules")?;
    if active.trim().split(',').any(|module| module == "bpf") {
        return Ok(Presence::Present);
    }
    Ok(Presence::Absent(format!("active security modules: {}", active.trim())))
}

/// "Operation is not supported", an errno that the kernel keeps for itself and BPF lets out all the same.
const ENOTSUPP: i32 = 524;

/// The errors by which a kernel says that it does not know something; others are errors of the probe.
fn absent(error: &io::Error, doing: &str) -> Result<Presence> {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EPERM | libc::ENOSYS | libc::E2BIG | ENOTSUPP) => {
            Ok(Presence::Absent(format!("{doing}: {error}")))
        }
        _ => bail!("{doing}: {error}"),
    }
}

/// Loads the smallest program of a kind, for tests that only want one.
pub(crate) fn smallest(kind: Kind, name: &str, verdict: i32) -> io::Result<std::os::fd::OwnedFd> {
    bpf::load(&bpf::Program { kind, name, verdict, replaces: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_expected_absence_is_refused() {
        let absent = || Presence::Absent("errno 22".to_owned());
        assert_eq!(decide("tcx", false, Presence::Present, "6.12.1").unwrap(), Verdict::Run);
        let refused = decide("tcx", true, absent(), "6.1.0").unwrap();
        assert_eq!(refused, Verdict::Refuse("no tcx, as expected: errno 22".to_owned()));
        assert!(decide("tcx", true, Presence::Present, "6.1.0").is_err());
        assert!(decide("tcx", false, absent(), "6.12.1").is_err());
    }

    #[test]
    fn the_table_tells_6_1_from_6_12() {
        assert!(known_to_lack("6.1.0-56-cloud-amd64", Feature::Tcx));
        assert!(!known_to_lack("6.12.1+deb12-cloud-amd64", Feature::Tcx));
        assert!(!known_to_lack("5.14.0-503.el9.x86_64", Feature::Tcx));
    }

    #[test]
    fn features_are_found_by_their_names() {
        assert!(ALL.iter().all(|feature| Feature::named(feature.name()) == Some(*feature)));
        assert_eq!(Feature::named("no such feature"), None);
    }
}
