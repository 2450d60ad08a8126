//! Targets: the releases of `--ocp`.
//!
//! In:   what was typed. Out: [`Target`]s. Fails with [`TargetError`], a usage error.

use nodeplan::applies::OcpVersion;

/// Most minor releases in one range: more is a slip of the hand.
const RANGE_MAX: u16 = 50;

/// One `--ocp`: a release, or a range of releases of one major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    from: OcpVersion,
    to: OcpVersion,
}

/// Text that is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a minor release such as 4.18, or a range such as 4.16-4.22")]
pub struct TargetError;

impl TryFrom<&str> for Target {
    type Error = TargetError;

    fn try_from(text: &str) -> Result<Self, TargetError> {
        let ends = ["..=", "..", "…", "-"].iter().find_map(|sign| text.split_once(sign)).unwrap_or((text, text));
        let version = |end: &str| OcpVersion::try_from(end.trim()).map_err(|_| TargetError);
        let (from, to) = (version(ends.0)?, version(ends.1)?);
        let sound = from.major == to.major && from <= to && to.minor - from.minor < RANGE_MAX;
        if sound { Ok(Self { from, to }) } else { Err(TargetError) }
    }
}

/// All releases of all `targets`, rising, each once.
pub fn releases(targets: &[Target]) -> Vec<OcpVersion> {
    let all = |target: &Target| {
        let major = target.from.major;
        (target.from.minor..=target.to.minor).map(move |minor| OcpVersion { major, minor })
    };
    let mut releases: Vec<_> = targets.iter().flat_map(all).collect();
    releases.sort_unstable();
    releases.dedup();
    releases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_and_ranges() {
        for (texts, want) in [
            (&["4.18"][..], "4.18"),
            (&["4.16-4.18"], "4.16 4.17 4.18"),
            (&["4.16..4.17"], "4.16 4.17"),
            (&["4.16…4.17"], "4.16 4.17"),
            (&["4.20", "4.9-4.10", "4.20"], "4.9 4.10 4.20"),
        ] {
            let targets: Vec<_> = texts.iter().map(|text| Target::try_from(*text).unwrap()).collect();
            let found: Vec<_> = releases(&targets).iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), want, "case: {texts:?}");
        }
        for bad in ["", "4", "4.16.1", "v4.16", "4.18-4.16", "4.16-5.0", "4.0-4.9999", "4.16-", "4.16 4.17"] {
            assert_eq!(Target::try_from(bad), Err(TargetError), "case: {bad}");
        }
    }
}
