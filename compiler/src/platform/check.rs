//! Check a plan against the releases that it is for.

use nodeplan::{
    applies::{Architecture, KernelRange, OcpVersion},
    hook::Hook,
    plan::NodePlan,
};

use super::table::{self, Disruption, Feature, Known, NEWEST, OLDEST};
use crate::{
    check::{Checked, Program, place::Place},
    diag::{Code, Diagnostic, Diagnostics},
    source::Span,
};

/// Judges a stream by the releases of `--ocp`; without any, by those of its own `appliesTo.ocp`; else not at all.
pub fn check(plan: &NodePlan, checked: &Checked, wanted: &[OcpVersion], diags: &mut Diagnostics) {
    let range = plan.applies_to.ocp.as_ref();
    let place = checked.applies_to_spans.ocp.unwrap_or(checked.stream.span);
    let mut releases = wanted.to_vec();
    if let Some(range) = range {
        let known: Vec<_> = table::releases().collect();
        let asked = if wanted.is_empty() { &known } else { wanted };
        releases = asked.iter().copied().filter(|release| range.contains(*release)).collect();
        if releases.is_empty() {
            diags.push(nowhere(&range.to_string(), wanted, place));
        }
    }
    releases.retain(|release| (OLDEST..=NEWEST).contains(release));
    kernels(plan.applies_to.kernel.as_ref(), &releases, checked, diags);
    features(plan, checked, &releases, diags);
}

/// Judges what was asked for with `--ocp`, whatever the manifests: once per run.
pub fn check_releases(releases: &[OcpVersion], diags: &mut Diagnostics) {
    outside(releases, diags);
    disruption(releases, diags);
}

/// Releases that the table does not have.
pub fn outside(releases: &[OcpVersion], diags: &mut Diagnostics) {
    let asked = |releases: &[OcpVersion]| {
        format!("nodebpf is for OpenShift {OLDEST} to {NEWEST}; `--ocp` asks for {}", words(releases))
    };
    let old: Vec<_> = releases.iter().copied().filter(|release| *release < OLDEST).collect();
    if !old.is_empty() {
        diags.push(
            Diagnostic::error(Code::OldRelease, asked(&old))
                .note("older kernels lack TCX, and nothing was made for them or tried on them")
                .help(format!("give `--ocp {OLDEST}-{NEWEST}` or a part of it")),
        );
    }
    let new: Vec<_> = releases.iter().copied().filter(|release| *release > NEWEST).collect();
    if !new.is_empty() {
        diags.push(
            Diagnostic::warning(Code::UnknownRelease, asked(&new))
                .note("newer releases are not in its table: nothing was checked for them")
                .help("look for a newer nodebpf, and try the stream on one node of a canary pool"),
        );
    }
}

fn nowhere(range: &str, wanted: &[OcpVersion], place: Span) -> Diagnostic {
    if wanted.is_empty() {
        return Diagnostic::error(Code::NeverOnRelease, format!("`{range}` holds on none of {OLDEST} to {NEWEST}"))
            .at(place, "of these releases")
            .help(format!("write for example `ocp: \">={OLDEST}\"`"));
    }
    Diagnostic::error(Code::NeverOnRelease, format!("`{range}` does not hold on `--ocp` {}", words(wanted)))
        .at(place, "nodes of that release would say notApplicable")
        .help("give `--ocp` of a release in the range, or widen the range")
}

/// A range of kernels that no kernel of a release can be in.
fn kernels(range: Option<&KernelRange>, releases: &[OcpVersion], checked: &Checked, diags: &mut Diagnostics) {
    let Some(range) = range else { return };
    let never = |release: &OcpVersion| !table::bases(*release).any(|(_, kernel)| may_hold(range, kernel));
    let never: Vec<_> = releases.iter().copied().filter(never).collect();
    if never.is_empty() {
        return;
    }
    let mut bases: Vec<_> = never.iter().flat_map(|release| table::bases(*release)).collect();
    bases.dedup();
    let bases: Vec<_> = bases.iter().map(|(rhel, kernel)| format!("{kernel} (RHEL {rhel})")).collect();
    diags.push(
        Diagnostic::warning(
            Code::NeverOnKernel,
            format!("`{range}` holds on no kernel of OpenShift {}", words(&never)),
        )
        .at(checked.applies_to_spans.kernel.unwrap_or(checked.stream.span), "nodes would say notApplicable")
        .note(format!("kernels there: {}", bases.join(", ")))
        .help("compare with `oc get nodes -o wide`; if it is meant, narrow `appliesTo.ocp`"),
    );
}

/// Whether some kernel whose release starts with `base` may be in `range`.
///
/// Comparisons are half-lines of one order, so that all of them hold together somewhere between `base` and the next
/// one only if they hold at `base`, at one of their own bounds, or directly behind such a bound.
fn may_hold(range: &KernelRange, base: &str) -> bool {
    let text = range.to_string();
    let bounds = text.split_ascii_whitespace().map(|part| part.trim_start_matches(['<', '>', '=']));
    let inside =
        bounds.filter(|bound| bound.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
    std::iter::once(base).chain(inside).any(|kernel| range.contains(kernel) || range.contains(&format!("{kernel}.0")))
}

/// What the programs need, by release.
/// `bpf_override_return`: linux `include/uapi/linux/bpf.h`.
const OVERRIDE_RETURN: u32 = 58;

fn features(plan: &NodePlan, checked: &Checked, releases: &[OcpVersion], diags: &mut Diagnostics) {
    let arm64 = plan.applies_to.architectures.contains(&Architecture::Arm64);
    for program in &checked.programs {
        let mut judged: Vec<Feature> = Vec::new();
        for place in &program.attach {
            for feature in needs(program, place, arm64) {
                if !judged.contains(&feature) {
                    judged.push(feature);
                    judge(program, place, feature, releases, diags);
                }
            }
        }
    }
}

fn needs(program: &Program, place: &Place, arm64: bool) -> Vec<Feature> {
    let hook = place.attachment.hook();
    let mut needs = match hook {
        Hook::Xdp => vec![Feature::Freplace],
        Hook::Tc => vec![Feature::Tcx],
        Hook::Cgroup => vec![Feature::CgroupLink],
        Hook::Kprobe if program.helpers.contains(&OVERRIDE_RETURN) => vec![Feature::PerfLink, Feature::KprobeOverride],
        Hook::Tracepoint | Hook::Kprobe | Hook::Kretprobe => vec![Feature::PerfLink],
        // Raw tracepoints have had links from the start, and typed ones since they exist: Linux 4.17 and 5.5.
        Hook::RawTracepoint | Hook::BtfTracepoint => Vec::new(),
        Hook::Fentry | Hook::Fexit => vec![Feature::Trampoline],
        Hook::Lsm => vec![Feature::Trampoline, Feature::BpfLsm],
    };
    if arm64 && needs.iter().any(|feature| matches!(feature, Feature::Freplace | Feature::Trampoline)) {
        needs.push(Feature::TrampolineArm64);
    }
    needs
}

fn judge(program: &Program, place: &Place, feature: Feature, releases: &[OcpVersion], diags: &mut Diagnostics) {
    let hook = place.attachment.hook();
    for (known, code) in [(Known::No, Code::ReleaseLacks), (Known::Unknown, Code::ReleaseUncertain)] {
        let those: Vec<_> =
            releases.iter().copied().filter(|release| table::has(*release, feature).0 == known).collect();
        let Some(first) = those.first() else { continue };
        let of = words(&those);
        let name = &program.name.value;
        let diagnostic = if known == Known::No {
            Diagnostic::error(code, format!("`{name}` needs {feature}; OpenShift {of} has it not"))
                .at(place.span, format_args!("this {hook} would be refused on every node"))
                .help(format!("leave {of} out of `--ocp` and `appliesTo.ocp`, or use another hook"))
        } else {
            Diagnostic::warning(code, format!("`{name}` needs {feature}; whether OpenShift {of} has it is not known"))
                .at(place.span, format_args!("this {hook} needs it"))
                .help("try it on one node of a canary pool; `nodebpf-loader status` there says what was missing")
        };
        diags.push(diagnostic.note(format!("source: {}", table::has(*first, feature).1)));
    }
}

/// Where each change of a stream costs a drain and a reboot unless somebody opts in.
fn disruption(releases: &[OcpVersion], diags: &mut Diagnostics) {
    for release in releases {
        if let Some((Disruption::TechPreview, source)) = table::disruption(*release) {
            diags.push(
                Diagnostic::note_only(
                    Code::Reboots,
                    format!("OpenShift {release} drains and reboots nodes for each change of a stream"),
                )
                .note("node disruption policies are Technology Preview there; they are on by default from 4.17")
                .note(format!("source: {source}")),
            );
        }
    }
}

/// `4.16`, `4.16 and 4.18`, `4.16 to 4.18 and 4.20`.
fn words(releases: &[OcpVersion]) -> String {
    let mut runs: Vec<(OcpVersion, OcpVersion)> = Vec::new();
    for release in releases {
        match runs.last_mut() {
            Some((_, last)) if last.major == release.major && last.minor + 1 == release.minor => *last = *release,
            _ => runs.push((*release, *release)),
        }
    }
    let words: Vec<_> =
        runs.iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from} to {to}") }).collect();
    match words.as_slice() {
        [init @ .., last] if !init.is_empty() => format!("{} and {last}", init.join(", ")),
        words => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_kernels_meets_a_base_or_not() {
        for (range, base, want) in [
            (">=5.14.0-427 <5.14.0-570.30.1", "5.14.0-427", true),
            (">=5.14.0-427 <5.14.0-570.30.1", "5.14.0-570", true),
            (">=5.14.0-427 <5.14.0-570.30.1", "5.14.0-687", false),
            (">=5.14.0-427 <5.14.0-570.30.1", "6.12.0-211", false),
            (">5.14.0-427.13.1", "5.14.0-427", true),
            (">=5.14.0-427.13.1 <5.14.0-427.13.1", "5.14.0-427", false),
            ("=5.14.0-427.13.1.el9_4", "5.14.0-427", true),
            ("=5.14.0-4270", "5.14.0-427", false),
            (">=5.14.0", "5.14.0-427", true),
            ("<5.14.0", "5.14.0-427", false),
            (">=6.1", "5.14.0-427", false),
        ] {
            assert_eq!(may_hold(&KernelRange::try_from(range).unwrap(), base), want, "case: {range} on {base}");
        }
    }

    #[test]
    fn releases_in_words() {
        for (minors, want) in [
            (&[16][..], "4.16"),
            (&[16, 18], "4.16 and 4.18"),
            (&[16, 17, 18, 20, 22], "4.16 to 4.18, 4.20 and 4.22"),
            (&[], ""),
        ] {
            let releases: Vec<_> = minors.iter().map(|minor| OcpVersion { major: 4, minor: *minor }).collect();
            assert_eq!(words(&releases), want);
        }
    }
}
