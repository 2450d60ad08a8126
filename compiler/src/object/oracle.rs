//! Oracle: an object as a node will see it, read by code that is not ours.
//!
//! In:   the bytes that ship. Out: nothing. May fail with: what aya-obj, or the kernel's rules for BTF, refuse.
//!
//! Runs everything of a load that needs no kernel: reading, completing BTF, linking maps and calls.

use std::{collections::HashSet, os::fd::RawFd};

use aya_obj::{
    Object,
    btf::{Btf, BtfFeatures},
};

use super::kernel_rules;

/// Reads `bytes` as a loader would.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut object = Object::parse(bytes).map_err(|error| text(&error))?;
    let features = BtfFeatures::new(true, true, true, true, true, true, true, true);
    let btf = object.fixup_and_sanitize_btf(&features).map_err(|error| text(&error))?.map(Btf::to_bytes);
    if let Some(blob) = btf {
        kernel_rules::check(&blob).map_err(|why| format!("kernel: BPF_BTF_LOAD refuses its BTF: {why}"))?;
    }
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let maps = std::mem::take(&mut object.maps);
    let descriptors = (1..).zip(&maps).map(|(fd, (name, map)): (RawFd, _)| (name.as_str(), fd, map));
    object.relocate_maps(descriptors, &sections).map_err(|error| text(&error))?;
    object.relocate_calls(&sections).map_err(|error| text(&error))
}

/// An error with what caused it, on one line.
fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
