//! `appliesTo`: which kernels and architectures a stream is for.

use std::{cmp::Ordering, fmt};

use serde::Serialize;

use crate::json;

/// Machine architecture, in Go's and OpenShift's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// `x86_64`.
    Amd64,
    /// `aarch64`.
    Arm64,
}

impl Architecture {
    /// From `uname -m`; `None` for one that nodebpf does not know.
    pub fn from_machine(machine: &str) -> Option<Self> {
        match machine {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// The word used in manifests and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// Kernel release as `uname -r` prints it, split for comparison in RPM order.
///
/// The flavour behind `+` (`+rt`, `+64k`, Debian's `+deb12-…`) and a trailing architecture are ignored:
/// `5.14.0-427.13.1.el9_4.x86_64+rt` is version `5.14.0`, release `427.13.1.el9_4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRelease {
    version: String,
    release: Option<String>,
}

impl KernelRelease {
    /// Splits `text`; every text has a meaning here.
    pub fn parse(text: &str) -> Self {
        let plain = text.split('+').next().unwrap_or_default();
        let plain = [".x86_64", ".aarch64", ".ppc64le", ".s390x"]
            .iter()
            .find_map(|suffix| plain.strip_suffix(suffix))
            .unwrap_or(plain);
        match plain.split_once('-') {
            Some((version, release)) => Self { version: version.to_owned(), release: Some(release.to_owned()) },
            None => Self { version: plain.to_owned(), release: None },
        }
    }

    /// RPM order; a side without release equals every release of its version, as in RPM dependencies.
    fn compare(&self, other: &Self) -> Ordering {
        rpm_version_order(&self.version, &other.version).then_with(|| match (&self.release, &other.release) {
            (Some(a), Some(b)) => rpm_version_order(a, b),
            _ => Ordering::Equal,
        })
    }
}

/// RPM's order of version texts (`rpmvercmp`, rpm `rpmio/rpmvercmp.c`) without its `~` and `^`, which `uname -r`
/// does not use: runs of digits and runs of letters are compared in turn, digits beat letters, more runs beat fewer.
fn rpm_version_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (runs(a), runs(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (Some(_), None) => return Ordering::Greater,
            (None, Some(_)) => return Ordering::Less,
            (Some(x), Some(y)) => {
                let digits = (x.as_bytes()[0].is_ascii_digit(), y.as_bytes()[0].is_ascii_digit());
                let order = match digits {
                    (true, true) => {
                        let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
                        x.len().cmp(&y.len()).then_with(|| x.cmp(y))
                    }
                    (false, false) => x.cmp(y),
                    (true, false) => Ordering::Greater,
                    (false, true) => Ordering::Less,
                };
                if order.is_ne() {
                    return order;
                }
            }
        }
    }
}

/// Runs of ASCII digits and of ASCII letters; everything else only separates.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(|c: char| c.is_ascii_alphanumeric())?;
        let tail = &rest[start..];
        let digit = tail.as_bytes()[0].is_ascii_digit();
        let end = tail.find(|c: char| !c.is_ascii_alphanumeric() || c.is_ascii_digit() != digit).unwrap_or(tail.len());
        rest = &tail[end..];
        Some(&tail[..end])
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparator {
    AtLeast,
    Above,
    AtMost,
    Below,
    Exactly,
}

/// A range of kernels: comparisons that must all hold, such as `>=5.14.0-427 <5.14.0-570.30.1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct KernelRange {
    text: String,
    comparisons: Vec<(Comparator, KernelRelease)>,
}

/// Text that is not a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelRangeError {
    /// No comparison.
    #[error("is empty; write for example `>=5.14.0-427 <5.14.0-570.30.1`")]
    Empty,
    /// One part is no comparison.
    #[error("has `{0}`, which is not a comparison; write >=, >, <=, < or = directly before a kernel release")]
    Comparison(String),
}

impl KernelRange {
    /// Whether the kernel whose `uname -r` is `release` lies in the range.
    pub fn contains(&self, release: &str) -> bool {
        let kernel = KernelRelease::parse(release);
        self.comparisons.iter().all(|(comparator, bound)| comparator.holds(kernel.compare(bound)))
    }

    /// Whether no kernel lies in the range, such as `>=6 <5`.
    pub fn is_empty(&self) -> bool {
        let lower = self.comparisons.iter().filter(|(comparator, _)| comparator.is_lower());
        lower.into_iter().any(|(low, from)| {
            self.comparisons.iter().filter(|(comparator, _)| comparator.is_upper()).any(|(high, to)| {
                match (from.compare(to), from.release.is_some(), to.release.is_some()) {
                    (Ordering::Greater, ..) => true,
                    (Ordering::Less, ..) => false,
                    // A bound without release equals all releases of its version: only it can leave none of them.
                    (Ordering::Equal, false, true) => low.is_strict(),
                    (Ordering::Equal, true, false) => high.is_strict(),
                    (Ordering::Equal, true, true) | (Ordering::Equal, false, false) => {
                        low.is_strict() || high.is_strict()
                    }
                }
            })
        })
    }
}

impl Comparator {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::AtLeast => order.is_ge(),
            Self::Above => order.is_gt(),
            Self::AtMost => order.is_le(),
            Self::Below => order.is_lt(),
            Self::Exactly => order.is_eq(),
        }
    }

    fn is_lower(self) -> bool {
        matches!(self, Self::AtLeast | Self::Above | Self::Exactly)
    }

    fn is_upper(self) -> bool {
        matches!(self, Self::AtMost | Self::Below | Self::Exactly)
    }

    fn is_strict(self) -> bool {
        matches!(self, Self::Above | Self::Below)
    }

    /// The sign in front of `part`, and what follows it.
    fn strip(part: &str) -> Option<(Self, &str)> {
        use Comparator::{Above, AtLeast, AtMost, Below, Exactly};
        // Two-byte signs first: `>` is a prefix of `>=`.
        let signs = [(">=", AtLeast), ("<=", AtMost), (">", Above), ("<", Below), ("=", Exactly)];
        signs.iter().find_map(|(sign, comparator)| Some((*comparator, part.strip_prefix(sign)?)))
    }
}

fn comparison(part: &str) -> Option<(Comparator, KernelRelease)> {
    let (comparator, rest) = Comparator::strip(part)?;
    let plausible = rest.starts_with(|c: char| c.is_ascii_digit())
        && rest.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    plausible.then(|| (comparator, KernelRelease::parse(rest)))
}

impl TryFrom<&str> for KernelRange {
    type Error = KernelRangeError;

    fn try_from(text: &str) -> Result<Self, KernelRangeError> {
        let mut comparisons = Vec::new();
        for part in text.split_ascii_whitespace() {
            comparisons.push(comparison(part).ok_or_else(|| KernelRangeError::Comparison(part.to_owned()))?);
        }
        if comparisons.is_empty() {
            return Err(KernelRangeError::Empty);
        }
        Ok(Self { text: text.to_owned(), comparisons })
    }
}

impl TryFrom<String> for KernelRange {
    type Error = KernelRangeError;

    fn try_from(text: String) -> Result<Self, KernelRangeError> {
        Self::try_from(text.as_str())
    }
}

impl From<KernelRange> for String {
    fn from(range: KernelRange) -> Self {
        range.text
    }
}

impl fmt::Display for KernelRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An OpenShift minor release, such as `4.18`: what a node knows of the cluster's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct OcpVersion {
    /// 4 or 5.
    pub major: u16,
    /// Minor release.
    pub minor: u16,
}

/// Text that is not an OpenShift minor release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an OpenShift minor release such as 4.18, not `{0}`")]
pub struct OcpVersionError(String);

impl TryFrom<&str> for OcpVersion {
    type Error = OcpVersionError;

    fn try_from(text: &str) -> Result<Self, OcpVersionError> {
        let parsed = text
            .split_once('.')
            .and_then(|(major, minor)| Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? }));
        match parsed {
            Some(version) if version.to_string() == text => Ok(version),
            _ => Err(OcpVersionError(text.to_owned())),
        }
    }
}

impl From<OcpVersion> for String {
    fn from(version: OcpVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for OcpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A range of OpenShift minor releases: comparisons that must all hold, such as `>=4.16 <4.20`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct OcpRange {
    text: String,
    comparisons: Vec<(Comparator, OcpVersion)>,
}

/// Text that is not such a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has `{0}`, which is not a comparison; write for example `>=4.16 <4.20`")]
pub struct OcpRangeError(String);

impl OcpRange {
    /// Whether `version` lies in the range.
    pub fn contains(&self, version: OcpVersion) -> bool {
        self.comparisons.iter().all(|(comparator, bound)| comparator.holds(version.cmp(bound)))
    }

    /// Whether no minor release lies in the range, such as `>4.16 <4.17`.
    pub fn is_empty(&self) -> bool {
        let lower = self.comparisons.iter().filter(|(comparator, _)| comparator.is_lower());
        lower.into_iter().any(|(low, from)| {
            self.comparisons.iter().filter(|(comparator, _)| comparator.is_upper()).any(|(high, to)| {
                // Minor releases are whole numbers; how many a major has is not known.
                let minor = i64::from(from.minor) + i64::from(low.is_strict());
                let last = i64::from(to.minor) - i64::from(high.is_strict());
                (i64::from(from.major), minor) > (i64::from(to.major), last)
            })
        })
    }
}

impl TryFrom<&str> for OcpRange {
    type Error = OcpRangeError;

    fn try_from(text: &str) -> Result<Self, OcpRangeError> {
        let mut comparisons = Vec::new();
        for part in text.split_ascii_whitespace() {
            let parsed = Comparator::strip(part)
                .and_then(|(comparator, rest)| Some((comparator, OcpVersion::try_from(rest).ok()?)));
            comparisons.push(parsed.ok_or_else(|| OcpRangeError(part.to_owned()))?);
        }
        if comparisons.is_empty() {
            return Err(OcpRangeError(text.to_owned()));
        }
        Ok(Self { text: text.to_owned(), comparisons })
    }
}

impl From<OcpRange> for String {
    fn from(range: OcpRange) -> Self {
        range.text
    }
}

impl fmt::Display for OcpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a node must be for a stream to run there. An empty list or absent range means: any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliesTo {
    /// Kernels, in RPM order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelRange>,
    /// OpenShift minor releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ocp: Option<OcpRange>,
    /// Architectures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<Architecture>,
}

json::decode_words!(Architecture { "amd64": Amd64, "arm64": Arm64 });
json::decode_text!(KernelRange, OcpVersion, OcpRange);

impl json::Decode for AppliesTo {
    fn read(value: &json::Value, problem: &mut json::Problem) -> Option<Self> {
        let fields = problem.fields(value, &["kernel", "ocp", "architectures"])?;
        let kernel = problem.take(&fields, "kernel")?;
        let ocp = problem.take(&fields, "ocp")?;
        let architectures = problem.take(&fields, "architectures")?;
        problem.close(&fields);
        Some(Self { kernel, ocp, architectures })
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_kernel_is_outside_the_range() {
        let range = KernelRange::try_from(">=5.14.0-427 <5.14.0-570.30.1").unwrap();
        for (release, want) in [
            ("5.14.0-427.13.1.el9_4.x86_64", true),
            ("5.14.0-427.13.1.el9_4.x86_64+rt", true),
            ("5.14.0-427.13.1.el9_4.aarch64+64k", true),
            ("5.14.0-503.11.1.el9_5.x86_64", true),
            ("5.14.0-570.30.1.el9_6.x86_64", false),
            ("5.14.0-570.29.1.el9_6.x86_64", true),
            ("5.14.0-570.30.1", false),
            ("5.14.0-284.11.1.el9_2.x86_64", false),
            ("5.14.0-1000.el9.x86_64", false),
            ("6.12.0-55.9.1.el10_0.x86_64", false),
            ("4.18.0-372.9.1.el8.x86_64", false),
        ] {
            assert_eq!(range.contains(release), want, "case: {release}");
        }
    }

    #[test]
    fn a_bound_without_release_means_all_its_releases() {
        let range = KernelRange::try_from(">=6.1 <=6.12.117").unwrap();
        for (release, want) in [
            ("6.12.117+deb12-cloud-amd64", true),
            ("6.1.0-53-cloud-amd64", true),
            ("6.18.44", false),
            ("5.14.0-427", false),
        ] {
            assert_eq!(range.contains(release), want, "case: {release}");
        }
    }

    #[test]
    fn what_is_not_a_range() {
        for bad in ["", "  ", "5.14", ">= 5.14", "~5.14", ">=x", ">=5.14,<6"] {
            assert!(KernelRange::try_from(bad).is_err(), "case: {bad}");
        }
    }

    #[test]
    fn ranges_that_hold_nothing() {
        for (range, want) in [
            (">=6 <5", true),
            (">=6 <6", true),
            (">6 <=6", true),
            (">=6 <=6", false),
            ("=6.1 <6.1", true),
            (">=5.14.0-427 <5.14.0-70", true),
            (">=5.14.0-427 <5.14.0-570", false),
            // A version alone equals all its releases.
            (">=5.14.0 <5.14.0-427", false),
            (">5.14.0 <5.14.0-427", true),
            (">=5.14.0-427 <5.14.0", true),
            (">=5.14.0-427 <=5.14.0", false),
            (">=5", false),
            ("<5 <6", false),
        ] {
            assert_eq!(KernelRange::try_from(range).unwrap().is_empty(), want, "case: {range}");
        }
        for (range, want) in [
            (">=4.16 <4.16", true),
            (">4.16 <4.17", true),
            (">4.16 <=4.17", false),
            ("=4.18", false),
            (">=4.18 <5.0", false),
            (">=5.0 <4.20", true),
        ] {
            assert_eq!(OcpRange::try_from(range).unwrap().is_empty(), want, "case: {range}");
        }
    }

    #[test]
    fn minor_releases_have_an_order() {
        let range = OcpRange::try_from(">=4.9 <4.20").unwrap();
        for (version, want) in [("4.8", false), ("4.9", true), ("4.19", true), ("4.20", false), ("5.0", false)] {
            assert_eq!(range.contains(OcpVersion::try_from(version).unwrap()), want, "case: {version}");
        }
        for bad in ["", "4.16", ">=4", ">=4.16.3", ">= 4.16", ">=4.016"] {
            assert!(OcpRange::try_from(bad).is_err(), "case: {bad}");
        }
    }

    #[test]
    fn rpm_order() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, want) in [
            ("1.0", "1.0", Equal),
            ("1.10", "1.9", Greater),
            ("1.09", "1.9", Equal),
            ("1.0", "1.0.1", Less),
            ("1.a", "1.1", Less),
            ("el9_4", "el9_10", Less),
            ("1-1", "1.1", Equal),
        ] {
            assert_eq!(rpm_version_order(a, b), want, "case: {a} {b}");
        }
    }
}
