//! Manifests together: which of them a node gets decides what is a conflict.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;

use support::{fail, succeed, workdir};

/// A manifest with six of the twelve programs of `odd.bpf.o` on one interface.
fn six(stream: &str, first: u16, applies_to: &str) -> String {
    let program = |at: u16| {
        format!(
            "    - {{name: slot{at}, object: odd.bpf.o, attach: [{{xdp: {{interfaces: [{{name: eth0}}], priority: {}}}}}]}}\n",
            first + at
        )
    };
    let programs: String = (0..6).map(program).collect();
    format!(
        "apiVersion: nodebpf.io/v1alpha1\nkind: BpfManifest\nmetadata: {{name: netops-{stream}, owner: netops, revision: 1}}\n\
         spec:\n  intent: feature\n  pools: [worker]\n  appliesTo: {{{applies_to}}}\n  programs:\n{programs}"
    )
}

/// Twelve programs have no room on one interface, but no node gets all of them unless some kernel is in both ranges.
#[test]
fn programs_that_never_meet_share_a_dispatcher() {
    let directory = workdir();
    let write = |name: &str, text: String| fs::write(directory.path().join(name), text).unwrap();
    write("old.yaml", six("old", 100, "kernel: \"<5.14.0-500\""));
    for (applies_to, meets) in
        [("kernel: \">=5.14.0-500\"", false), ("kernel: \">=5.14.0-499\"", true), ("ocp: \">=4.16\"", true)]
    {
        write("new.yaml", six("new", 200, applies_to));
        if meets {
            let text = fail(directory.path(), "check old.yaml new.yaml", 1);
            assert!(text.contains("NB0401") && text.contains("12 XDP programs"), "{applies_to}: {text}");
        } else {
            succeed(directory.path(), "check old.yaml new.yaml");
        }
    }
}
