//! Check of interface selectors.
//!
//! In:   raw selectors. Out: [`Selector`]s with their places, in written order.
//! May fail with: NB0301 (names), NB0305 (empty list), NB0306 (listed twice), NB0323 (not one selector).

use nodeplan::{
    name::{DriverName, IfGlob, IfName},
    selector::{MacAddress, Selector, Target},
};

use super::{all, name, not_empty, unique};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    manifest::raw,
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
        Some((span, target)) if count == 1 => Some(Spanned::new(Selector { target: target?, exclude: exclude? }, span)),
        first => {
            let span = first.map_or(raw.exclude.as_ref().map_or(list, |exclude| exclude.span), |(span, _)| span);
            let message =
                format!("a selector has {count} of name, primary, driver, mac and membersOf; it must have one");
            diags.push(
                Diagnostic::error(Code::BadSelector, message)
                    .at(span, "")
                    .note("an interface is meant if any selector of the list means it")
                    .help("write one list item each, for example `- name: ens*` and `- driver: mlx5_core`"),
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
    mac.ok()
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
