//! Check of interface selectors.
//!
//! In:   raw selectors. Out: [`Selector`]s with their places, in written order.
//! May fail with: NB0301 (names), NB0305 (empty list), NB0306 (listed twice), NB0323 (not one selector), NB0381 (needs the
//! network), NB0382 (excludes everything), NB0383 (also means internal interfaces).

use nodeplan::{
    glob,
    name::{DriverName, IfGlob, IfName},
    plan::Stage,
    selector::{MacAddress, Selector, Target},
};

use super::{all, name, not_empty, unique};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    manifest::raw::{self, AnyAttach},
    source::{Span, Spanned},
    yaml::types::{List, Text},
};

/// Checks a list of selectors; each means something else.
pub(super) fn check(list: &List<raw::Selector>, diags: &mut Diagnostics) -> Option<Vec<Spanned<Selector>>> {
    let sound = not_empty(list, "interfaces", diags);
    all(list.value.iter().map(|raw| check_one(raw, list.span, diags))).filter(|_| sound)
}

fn check_one(raw: &raw::Selector, list: Span, diags: &mut Diagnostics) -> Option<Spanned<Selector>> {
    let mut targets: Vec<(Span, Option<Target>)> = Vec::new();
    if let Some(text) = &raw.name {
        targets.push((text.span, name::<IfGlob>(text, "interface", diags).map(|glob| Target::Name(glob.value))));
    }
    if let Some(flag) = &raw.primary {
        if !flag.value {
            diags.push(
                Diagnostic::error(Code::BadSelector, "`primary` is false, which selects nothing")
                    .at(flag.span, "must be true")
                    .help("write `primary: true`, or remove the selector"),
            );
        }
        targets.push((flag.span, flag.value.then_some(Target::Primary)));
    }
    if let Some(text) = &raw.driver {
        targets.push((text.span, name::<DriverName>(text, "driver", diags).map(|driver| Target::Driver(driver.value))));
    }
    if let Some(text) = &raw.mac {
        targets.push((text.span, mac(text, diags).map(Target::Mac)));
    }
    if let Some(text) = &raw.members_of {
        targets.push((text.span, name::<IfName>(text, "bond", diags).map(|bond| Target::MembersOf(bond.value))));
    }
    let exclude = match &raw.exclude {
        Some(list) => exclude(list, diags),
        None => Some(Vec::new()),
    };
    let count = targets.len();
    match targets.into_iter().next() {
        Some((span, target)) if count == 1 => {
            let selector = Selector { target: target?, exclude: exclude? };
            if let Some(place) = raw.exclude.as_ref().and_then(|list| excludes_all(&selector, list)) {
                diags.push(nothing_left(&selector, span, place));
                return None;
            }
            Some(Spanned::new(selector, span))
        }
        first => {
            let span = first.map_or(raw.exclude.as_ref().map_or(list, |exclude| exclude.span), |(span, _)| span);
            let message =
                format!("a selector has {count} of name, primary, driver, mac and membersOf; it must have one");
            diags.push(
                Diagnostic::error(Code::BadSelector, message)
                    .at(span, "")
                    .note("an interface is meant if any selector of the list means it")
                    .help("write one list item each, for example `[{name: \"ens*\"}, {driver: mlx5_core}]`"),
            );
            None
        }
    }
}

fn mac(text: &Text, diags: &mut Diagnostics) -> Option<MacAddress> {
    // People paste what their switch shows; plans have one spelling.
    let mac = MacAddress::try_from(text.value.to_lowercase().replace('-', ":").as_str());
    if let Err(error) = &mac {
        diags.push(
            Diagnostic::error(Code::BadName, format!("MAC address `{}` {error}", shown(&text.value))).at(text.span, ""),
        );
    }
    let mac = mac.ok()?;
    // The lowest bit of the first byte: IEEE 802-2014, 8.2.2. Broadcast is one of them.
    let why = match mac.bytes() {
        [first, ..] if first & 1 == 1 => "is a multicast address",
        [0, 0, 0, 0, 0, 0] => "is the address of nothing",
        _ => return Some(mac),
    };
    diags.push(
        Diagnostic::error(Code::BadSelector, format!("MAC address `{mac}` {why}; no interface has it"))
            .at(text.span, "selects nothing")
            .help("write the address that `ip link` shows behind `link/ether`"),
    );
    None
}

/// The place of an `exclude` that leaves nothing of the selector.
fn excludes_all(selector: &Selector, written: &List<Text>) -> Option<Span> {
    let all = |text: &str| match &selector.target {
        _ if text.bytes().all(|byte| byte == b'*') => true,
        // A glob is inside another if the other matches its text, with stars standing for stars.
        Target::Name(name) => {
            let stars = text.contains('?') && name.as_str().contains('*');
            text == name.as_str() || (!stars && glob::matches(text, name.as_str()))
        }
        Target::Primary | Target::Driver(_) | Target::Mac(_) | Target::MembersOf(_) => false,
    };
    written.value.iter().find(|item| all(&item.value)).map(|item| item.span)
}

fn nothing_left(selector: &Selector, span: Span, exclude: Span) -> Diagnostic {
    let bare = Selector { target: selector.target.clone(), exclude: Vec::new() };
    Diagnostic::error(Code::ExcludesAll, format!("the selector `{bare}` excludes everything that it means"))
        .at(exclude, "leaves nothing")
        .also(span, "of this")
        .help("narrow `exclude`, or remove the selector")
}

/// Names on every OpenShift node that are nobody's uplink, with what they are. Source: Linux; Open vSwitch;
/// OVN-Kubernetes `go-controller/pkg/types/const.go`; pods' names are made by it and by CNI's `bridge` plugin.
const INTERNAL: &[(&str, &str)] = &[
    ("lo", "lo"),
    ("ovs-system", "ovs-system"),
    ("br-ex", "br-ex"),
    ("br-int", "br-int"),
    ("ovn-k8s-mp0", "ovn-k8s-mp0"),
    ("genev_sys_6081", "genev_sys_6081"),
    ("veth1a2b3c4d", "veth*"),
    ("0a1b2c3d4e5f6a7", "the interfaces of pods"),
];

/// Who spells out the beginning, as in `br-*` or `veth*`, means them.
fn is_spelled_out(name: &IfGlob) -> bool {
    name.as_str().find(['*', '?']).is_none_or(|wild| wild >= 2)
}

/// Whether a warning of this file says already that the selector means a port of Open vSwitch.
pub(crate) fn tells_of_switch(selector: &Selector, xdp: bool) -> bool {
    let Target::Name(name) = &selector.target else { return false };
    !is_spelled_out(name) || (xdp && switch_of(selector).is_some())
}

/// Warns of a glob that also means interfaces that carry no traffic of their own.
pub(super) fn warn_wide(selectors: &[Spanned<Selector>], diags: &mut Diagnostics) {
    for selector in selectors {
        let Target::Name(name) = &selector.value.target else { continue };
        if is_spelled_out(name) {
            continue;
        }
        let meant = |sample: &str| name.matches(sample) && !selector.value.excludes(sample);
        let found: Vec<_> = INTERNAL.iter().filter(|(sample, _)| meant(sample)).map(|(_, shown)| *shown).collect();
        if found.is_empty() {
            continue;
        }
        let message = format!("`{name}` also means {}", found.join(", "));
        // Who writes `*` alone says "all of them", and may mean it.
        let diagnostic = if name.as_str() == "*" {
            Diagnostic::note_only(Code::WideGlob, message)
        } else {
            Diagnostic::warning(Code::WideGlob, message)
        };
        diags.push(
            diagnostic
                .at(selector.span, "means more than uplinks")
                .note("every OpenShift node has such interfaces; packets cross several of them")
                .help("write `primary: true` or `driver: …`, a narrower glob such as `ens*`, or `exclude: [lo, \"veth*\", …]`"),
        );
    }
}

/// The port of Open vSwitch that a selector by name means, if it is one of those by intent.
fn switch_of(selector: &Selector) -> Option<(&IfGlob, &'static str)> {
    let Target::Name(name) = &selector.target else { return None };
    let own = name.is_exact() || name.as_str().starts_with("br-") || name.as_str().starts_with("ovs");
    let switches = ["br-ex", "br-int", "ovs-system", "ovs-netdev", "br-ex1"];
    let switch = switches.into_iter().find(|switch| own && name.matches(switch))?;
    (!selector.excludes(switch)).then_some((name, switch))
}

/// XDP on a switch's own port sees what the switch hands to the node, not what comes in.
pub(super) fn warn_switch(selectors: &[Spanned<Selector>], diags: &mut Diagnostics) {
    for selector in selectors {
        let Some((name, switch)) = switch_of(&selector.value) else { continue };
        diags.push(
            Diagnostic::warning(Code::Switch, format!("`{name}` means `{switch}`, a port of Open vSwitch"))
                .at(selector.span, "packets from outside do not pass XDP here")
                .note("Open vSwitch takes packets from the uplink below; its own port has no native XDP")
                .help("write `primary: true`: the uplink below br-ex"),
        );
    }
}

/// Before the network is up only an interface's own name, driver and MAC address can be told.
pub(super) fn early(manifest: &raw::Manifest, diags: &mut Diagnostics) {
    let Some(stage) = manifest.spec.stage.as_ref().filter(|word| word.0.value == Stage::Early) else { return };
    let programs = manifest.spec.programs.value.iter().flat_map(|program| &program.attach);
    for attach in programs.flat_map(|list| &list.value).flat_map(raw::Attach::named) {
        let interfaces = match attach.value {
            AnyAttach::Xdp(xdp) => &xdp.interfaces,
            AnyAttach::Tc(tc) => &tc.interfaces,
            AnyAttach::Cgroup(_)
            | AnyAttach::Tracepoint(_)
            | AnyAttach::RawTracepoint(_)
            | AnyAttach::BtfTracepoint(_)
            | AnyAttach::Kprobe(_)
            | AnyAttach::Kretprobe(_)
            | AnyAttach::Fentry(_)
            | AnyAttach::Fexit(_)
            | AnyAttach::Lsm(_) => continue,
        };
        for selector in &interfaces.value {
            let primary = selector.primary.as_ref().map(|flag| ("primary", flag.span));
            let members = selector.members_of.as_ref().map(|bond| ("membersOf", bond.span));
            for (kind, span) in primary.into_iter().chain(members) {
                diags.push(
                    Diagnostic::error(Code::NotEarly, format!("stage `early` cannot tell `{kind}` interfaces"))
                        .at(span, "is known once the network is up")
                        .also(stage.0.span, "runs before the network")
                        .help("write `name`, `driver` or `mac`, or remove `stage: early`"),
                );
            }
        }
    }
}

fn exclude(list: &List<Text>, diags: &mut Diagnostics) -> Option<Vec<IfGlob>> {
    let sound = not_empty(list, "exclude", diags);
    unique(
        list.value.iter().map(|item| (&item.value, item.span)),
        |item| format!("interface `{}`", shown(item)),
        diags,
    );
    let globs = all(list.value.iter().map(|item| name::<IfGlob>(item, "interface", diags)));
    let mut globs: Vec<_> = globs.filter(|_| sound)?.into_iter().map(|glob| glob.value).collect();
    globs.sort();
    globs.dedup();
    Some(globs)
}
