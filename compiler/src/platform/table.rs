//! Facts about OpenShift releases, one line each with its source.
//!
//! In:   nothing. Out: [`TABLE`] and questions to it; `docs/machineconfig.md` shows it. Cannot fail.
//!
//! A line says `Known::Unknown` where nobody has looked: that is worth a warning, never a guess. Lines were gathered in
//! November 2026; none of them was tried on RHCOS.

use std::fmt;

use nodeplan::applies::OcpVersion;

/// First release that nodebpf is for.
pub const OLDEST: OcpVersion = OcpVersion { major: 4, minor: 16 };

/// Last release of which the table knows something.
pub const NEWEST: OcpVersion = OcpVersion { major: 4, minor: 22 };

/// Whether a release has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It has.
    Yes,
    /// It has not.
    No,
    /// Nobody has looked.
    Unknown,
}

/// Something of the kernel that programs need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Programs that replace a function of another one: each XDP program behind a dispatcher.
    Freplace,
    /// TC programs in order, without qdisc.
    Tcx,
    /// Programs of a cgroup held by a link.
    CgroupLink,
    /// Tracepoints and kprobes held by a link.
    PerfLink,
    /// Programs at the entry and return of kernel functions, on `x86_64`.
    Trampoline,
    /// The same, and [`Feature::Freplace`], on aarch64.
    TrampolineArm64,
    /// `bpf` among the active security modules.
    BpfLsm,
    /// `bpf_override_return` in kprobes.
    KprobeOverride,
    /// Network devices of type netkit.
    Netkit,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Freplace,
        Self::Tcx,
        Self::CgroupLink,
        Self::PerfLink,
        Self::Trampoline,
        Self::TrampolineArm64,
        Self::BpfLsm,
        Self::KprobeOverride,
        Self::Netkit,
    ];
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Freplace => "replacement of functions (freplace)",
            Self::Tcx => "TCX",
            Self::CgroupLink => "links of cgroups",
            Self::PerfLink => "links of tracepoints and kprobes",
            Self::Trampoline => "trampolines at kernel functions",
            Self::TrampolineArm64 => "trampolines and freplace on arm64",
            Self::BpfLsm => "`bpf` among its security modules",
            Self::KprobeOverride => "`bpf_override_return` in kprobes",
            Self::Netkit => "netkit devices",
        })
    }
}

/// How far node disruption policies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disruption {
    /// Behind a feature gate that makes a cluster unsupported.
    TechPreview,
    /// On by default.
    Default,
}

/// One fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Newest Ignition version that the machine config operator reads; it reads 3.0.0 and all between, too.
    Ignition(&'static str),
    /// A RHEL whose packages RHCOS has, and the version of its kernel without the last part.
    Base {
        /// Minor release of RHEL.
        rhel: &'static str,
        /// What `uname -r` starts with, before a dot.
        kernel: &'static str,
    },
    /// Whether the kernel has something.
    Feature(Feature, Known),
    /// Whether file content may be gzip.
    Gzip(Known),
    /// Whether the drift monitor also looks at whether units are enabled.
    UnitDrift(Known),
    /// Whether changes can go without reboot.
    Disruption(Disruption),
}

/// A fact about some releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// First minor release of 4.
    pub from: u16,
    /// Last minor release of 4.
    pub to: u16,
    /// What is so.
    pub fact: Fact,
    /// Where it was read.
    pub source: &'static str,
}

const fn line(from: u16, to: u16, fact: Fact, source: &'static str) -> Line {
    Line { from, to, fact, source }
}

use Fact::{Base, Disruption as Policy, Feature as Has, Gzip, Ignition, UnitDrift};

const RHEL_9_4: Fact = Base { rhel: "9.4", kernel: "5.14.0-427" };
const RHEL_9_6: Fact = Base { rhel: "9.6", kernel: "5.14.0-570" };

/// All facts.
pub const TABLE: &[Line] = &[
    line(16, 18, Ignition("3.4.0"), "MCO release-4.16 to -4.18, pkg/controller/common/helpers.go, imports"),
    line(19, 22, Ignition("3.5.0"), "MCO release-4.19 to -4.22, pkg/controller/common/helpers.go, imports"),
    line(16, 22, Gzip(Known::Yes), "MCO commit 200cff25a (in 4.10), DecodeIgnitionFileContents"),
    line(16, 17, UnitDrift(Known::No), "MCO release-4.17 has no checkUnitEnabled"),
    line(18, 22, UnitDrift(Known::Yes), "MCO release-4.18, checkUnitEnabled"),
    line(
        16,
        16,
        Policy(Disruption::TechPreview),
        "openshift/api features.go of 4.16: NodeDisruptionPolicy in TechPreviewNoUpgrade",
    ),
    line(17, 22, Policy(Disruption::Default), "openshift/api features.go of 4.17: NodeDisruptionPolicy in Default"),
    line(16, 16, RHEL_9_4, "openshift/installer pull 10277 (boot image 4.16-9.4)"),
    line(17, 17, RHEL_9_4, "OCPSTRAT-1099, OCPSTRAT-1546: 4.16 to 4.18 on RHEL 9.4"),
    line(18, 18, RHEL_9_4, "openshift/installer pull 10294 (boot image 4.18-9.4)"),
    line(19, 19, RHEL_9_6, "openshift/installer pull 10652 (boot image rhel-9.6)"),
    line(20, 20, RHEL_9_6, "openshift/installer pull 10799 (boot image rhel-9.6)"),
    line(21, 21, RHEL_9_6, "openshift/installer pull 10792 (boot image rhel-9.6)"),
    line(22, 22, Base { rhel: "9.8", kernel: "5.14.0-687" }, "openshift/installer pull 10523 (boot image rhel-9.8)"),
    line(22, 22, Base { rhel: "10.2", kernel: "6.12.0-211" }, "openshift/installer pull 10523 (boot image rhel-10.2)"),
    line(16, 22, Has(Feature::Freplace, Known::Yes), "Linux 5.10; every base is 5.14 or later"),
    line(16, 22, Has(Feature::CgroupLink, Known::Yes), "Linux 5.7; every base is 5.14 or later"),
    line(16, 22, Has(Feature::Trampoline, Known::Yes), "Linux 5.5; every base is 5.14 or later"),
    line(
        16,
        18,
        Has(Feature::PerfLink, Known::Yes),
        "Linux 5.15; RHEL 9.4 has the BPF of 6.6 (CentOS Stream 9 kernel MRs 3043, 3201)",
    ),
    line(19, 21, Has(Feature::PerfLink, Known::Yes), "Linux 5.15; RHEL 9.6 release notes: BPF of 6.12"),
    line(22, 22, Has(Feature::PerfLink, Known::Unknown), "Linux 5.15; nothing was read about RHEL 9.8"),
    line(16, 18, Has(Feature::Tcx, Known::Yes), "Linux 6.6; seen on 5.14.0-427.42.1.el9_4 (ptcpdump issue 236)"),
    line(19, 21, Has(Feature::Tcx, Known::Yes), "Linux 6.6; RHEL 9.6 release notes: BPF of 6.12"),
    line(22, 22, Has(Feature::Tcx, Known::Unknown), "Linux 6.6; nothing was read about RHEL 9.8"),
    line(16, 22, Has(Feature::TrampolineArm64, Known::Unknown), "Linux 6.0 on arm64; nothing was read about RHEL"),
    line(
        16,
        22,
        Has(Feature::BpfLsm, Known::Unknown),
        "RHEL 9.2 and RHCOS 4.12 have it by default; later RHCOS was not read",
    ),
    line(16, 21, Has(Feature::KprobeOverride, Known::No), "RHEL 9 features appendix: CONFIG_BPF_KPROBE_OVERRIDE=n"),
    line(22, 22, Has(Feature::KprobeOverride, Known::Unknown), "RHEL 9 has it off; nothing was read about RHEL 10.2"),
    line(16, 21, Has(Feature::Netkit, Known::No), "CentOS Stream 9 redhat/configs: CONFIG_NETKIT is not set"),
    line(22, 22, Has(Feature::Netkit, Known::Unknown), "nothing was read about RHEL 10.2"),
];

/// All releases of the table, rising.
pub fn releases() -> impl Iterator<Item = OcpVersion> {
    (OLDEST.minor..=NEWEST.minor).map(|minor| OcpVersion { major: OLDEST.major, minor })
}

/// Lines about a release; none for one outside the table.
pub fn about(release: OcpVersion) -> impl Iterator<Item = &'static Line> {
    TABLE.iter().filter(move |line| release.major == 4 && (line.from..=line.to).contains(&release.minor))
}

/// Whether a release has `feature`, and where that was read.
pub fn has(release: OcpVersion, feature: Feature) -> (Known, &'static str) {
    about(release)
        .find_map(|line| match line.fact {
            Fact::Feature(of, known) if of == feature => Some((known, line.source)),
            _ => None,
        })
        .unwrap_or((Known::Unknown, "the release is not in nodebpf's table"))
}

/// Bases of a release: name of the RHEL, start of `uname -r`.
pub fn bases(release: OcpVersion) -> impl Iterator<Item = (&'static str, &'static str)> {
    about(release).filter_map(|line| match line.fact {
        Fact::Base { rhel, kernel } => Some((rhel, kernel)),
        _ => None,
    })
}

/// How far node disruption policies are in a release, and where that was read.
pub fn disruption(release: OcpVersion) -> Option<(Disruption, &'static str)> {
    about(release).find_map(|line| match line.fact {
        Fact::Disruption(policy) => Some((policy, line.source)),
        _ => None,
    })
}

/// The table as Markdown: what `docs/machineconfig.md` shows.
pub fn markdown() -> String {
    use fmt::Write as _;
    let mut out = "| releases | fact | source |\n|---|---|---|\n".to_owned();
    for line in TABLE {
        let releases = if line.from == line.to {
            format!("4.{}", line.from)
        } else {
            format!("4.{} – 4.{}", line.from, line.to)
        };
        let _ = writeln!(out, "| {releases} | {} | {} |", line.fact, line.source);
    }
    out
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "not known",
        })
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignition(newest) => write!(f, "Ignition 3.0.0 to {newest}"),
            Self::Base { rhel, kernel } => write!(f, "RHEL {rhel}, kernel {kernel}"),
            Self::Feature(feature, known) => write!(f, "{feature}: {known}"),
            Self::Gzip(known) => write!(f, "content as gzip: {known}"),
            Self::UnitDrift(known) => write!(f, "drift monitor looks at enabled units: {known}"),
            Self::Disruption(Disruption::TechPreview) => f.write_str("node disruption policies: Technology Preview"),
            Self::Disruption(Disruption::Default) => f.write_str("node disruption policies: on by default"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_has_every_fact_once() {
        for release in releases() {
            for feature in Feature::ALL {
                let count =
                    about(release).filter(|line| matches!(line.fact, Fact::Feature(of, _) if of == feature)).count();
                assert_eq!(count, 1, "{release}: {feature}");
            }
            assert!(bases(release).count() > 0, "{release} has no kernel");
            assert!(disruption(release).is_some(), "{release}");
            let count = |of: fn(&Fact) -> bool| about(release).filter(|line| of(&line.fact)).count();
            assert_eq!(count(|fact| matches!(fact, Fact::Ignition(_))), 1, "{release}");
            assert_eq!(count(|fact| matches!(fact, Fact::Gzip(Known::Yes))), 1, "{release}: all content is gzip");
            assert_eq!(count(|fact| matches!(fact, Fact::UnitDrift(_))), 1, "{release}");
        }
        assert!(TABLE.iter().all(|line| line.from <= line.to && !line.source.is_empty()));
    }

    /// What is written must be read by every release: versions compare as texts as long as all are 3.x.0.
    #[test]
    fn our_ignition_version_is_read_everywhere() {
        for release in releases() {
            let newest = about(release).find_map(|line| match line.fact {
                Fact::Ignition(newest) => Some(newest),
                _ => None,
            });
            assert!(crate::lower::ignition::VERSION <= newest.unwrap(), "{release}");
        }
    }

    #[test]
    fn the_documentation_shows_the_table() {
        let page = include_str!("../../../docs/machineconfig.md");
        assert!(page.contains(&markdown()), "docs/machineconfig.md must hold this table:\n{}", markdown());
    }
}
