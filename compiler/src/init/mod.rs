//! Init: a commented manifest to start from.
//!
//! In:   what objects offer, or nothing. Out: the text of a `bpf.yaml`. Cannot fail.
//!
//! The text explains every key of the schema. What a person must decide is marked `EDIT`; all else can be kept. With
//! objects it passes `nodebpf check` as it is: a program that `check` would refuse is left out, with a comment that says
//! why.

mod hooks;
mod literal;
mod maps;

use std::collections::BTreeSet;

use crate::{
    diag::{shown, shown_up_to},
    object::{ObjectFacts, ProgramFacts, globals::GlobalFacts},
};

/// An object to start from.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Its path as it will stand in the manifest.
    pub path: &'a str,
    /// What it offers.
    pub facts: &'a ObjectFacts,
    /// Programs that nodebpf would refuse, with why.
    pub refused: &'a [(String, String)],
}

/// Column at which comments begin behind short lines.
const COMMENT_COLUMN: usize = 46;

/// First priority, and the distance to the next: room for others between.
const PRIORITIES: (usize, usize) = (500, 5);

/// The text of a manifest.
pub fn starter(objects: &[Start<'_>]) -> String {
    let mut text = Text::default();
    head(&mut text, objects);
    text.line("  # Programs and where they run.", "");
    text.line("  programs:", "");
    let mut count = 0;
    let (mut used, mut names) = (Vec::new(), BTreeSet::new());
    for object in objects {
        if let Some((map, other)) = shared_map(object, &used) {
            let (path, other) = (shown(object.path), shown(other));
            text.line(
                &format!("    # {path}: its map `{}` is also in {other}; give it a manifest of its own.", shown(map)),
                "",
            );
            continue;
        }
        let before = count;
        // The variables are the object's: one of its programs sets them for all.
        let mut globals = object.facts.globals.as_slice();
        for program in &object.facts.programs {
            if let Some(why) = left_out(object, program, &names) {
                text.line(&format!("    # {}: {}.", shown(&program.name), shown_up_to(&why, 200)), "");
            } else if program_lines(&mut text, *object, program, globals, count) {
                globals = &[];
                count += 1;
                names.insert(program.name.as_str());
            }
        }
        if count > before {
            used.push(*object);
        }
    }
    if count == 0 {
        text.block(NO_PROGRAM);
    }
    text.line("", "");
    maps::lines(&mut text, &used);
    text.block(REFERENCE);
    text.0
}

/// A map of `object` that one of `used` has too, and the path of that one: a stream's maps are told apart by name.
fn shared_map<'a>(object: &Start<'a>, used: &[Start<'a>]) -> Option<(&'a str, &'a str)> {
    let has = |other: &&Start<'a>, name: &str| other.facts.maps.iter().any(|map| map.name == name);
    object
        .facts
        .maps
        .iter()
        .find_map(|map| Some((map.name.as_str(), used.iter().find(|other| has(other, &map.name))?.path)))
}

/// Why a program is not written down; `None` if it is.
fn left_out(object: &Start<'_>, program: &ProgramFacts, names: &BTreeSet<&str>) -> Option<String> {
    if names.contains(program.name.as_str()) {
        return Some(format!("`{}` has it, too, and a stream has one program of a name", shown(object.path)));
    }
    let (_, why) = object.refused.iter().find(|(name, _)| *name == program.name)?;
    Some(format!("nodebpf refuses it: {why}"))
}

/// Lines with comments at one column.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str, comment: &str) {
        self.0.push_str(line);
        if !comment.is_empty() {
            let used = line.chars().count();
            self.0.push_str(&" ".repeat(COMMENT_COLUMN.saturating_sub(used).max(2)));
            self.0.push_str("# ");
            self.0.push_str(comment);
        }
        self.0.push('\n');
    }

    fn block(&mut self, block: &str) {
        self.0.push_str(block);
    }
}

fn head(text: &mut Text, objects: &[Start<'_>]) {
    let stem = objects.first().and_then(|object| object.path.rsplit('/').next()).unwrap_or("sample");
    let stem = stem.split('.').next().unwrap_or_default();
    let stem: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let stem = stem.trim_matches('-').chars().take(20).collect::<String>();
    let stem = stem.trim_matches('-');
    let stem = if stem.is_empty() { "sample" } else { stem };
    text.block(HEAD_BEFORE_NAME);
    text.line(&format!("  name: my-team-{stem}"), "EDIT: stream name: a DNS label of at most 40 bytes");
    text.block(HEAD_BEHIND_NAME);
}

/// One program; `false` if no hook takes it, which a comment says then.
fn program_lines(
    text: &mut Text,
    object: Start<'_>,
    program: &ProgramFacts,
    globals: &[GlobalFacts],
    count: usize,
) -> bool {
    let priority = PRIORITIES.0 + PRIORITIES.1 * count;
    let is_name = nodeplan::name::ProgramName::try_from(program.name.as_str()).is_ok();
    let Some(lines) = hooks::attach(&program.section, priority).filter(|_| is_name) else {
        let line =
            format!("    # {}: nodebpf has no hook for section `{}`.", shown(&program.name), shown(&program.section));
        text.line(&line, "");
        return false;
    };
    text.line(
        &format!("    - name: {}", program.name),
        &format!("C function, in section `{}`", shown(&program.section)),
    );
    text.line(&format!("      object: {}", quoted(object.path)), "beside this file or below");
    let settable: Vec<_> = globals.iter().filter(|global| global.is_settable()).collect();
    if !settable.is_empty() {
        text.line("      # globals:", "variables of the object, with the values that they have in it");
    }
    for global in settable {
        global_line(text, global);
    }
    text.line("      attach:", "");
    for (line, comment) in &lines {
        text.line(&format!("        {line}"), comment);
    }
    true
}

fn global_line(text: &mut Text, global: &GlobalFacts) {
    let is_name = nodeplan::name::GlobalName::try_from(global.name.as_str()).is_ok();
    let value = global.initial.as_deref().and_then(|bytes| literal::written(bytes, &global.shape));
    let words = match (global.is_const, global.is_volatile) {
        (true, true) => "const volatile ",
        (true, false) => "const, perhaps compiled in: ",
        (false, _) => "",
    };
    let comment = format!("{words}{}", shown(&global.shape.c_type));
    if is_name {
        text.line(&format!("      #   {}: {}", global.name, value.as_deref().unwrap_or("…")), &comment);
    }
}

/// A path as YAML text.
fn quoted(path: &str) -> String {
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/'))
        && path.starts_with(|c: char| c.is_ascii_alphabetic());
    if plain { path.to_owned() } else { literal::text(path) }
}

const HEAD_BEFORE_NAME: &str = "\
# yaml-language-server: $schema=bpf-manifest-v1alpha1.schema.json
#
# That line gives editors completion and checks; `nodebpf schema > bpf-manifest-v1alpha1.schema.json` writes the schema.
# One manifest is one stream: signed, shipped, updated and removed as a whole. Lines marked EDIT are yours to decide.
# Keys behind `# ` are optional and show their defaults or an example. Then: `nodebpf check THIS-FILE`.
apiVersion: nodebpf.io/v1alpha1
kind: BpfManifest
metadata:
";

const HEAD_BEHIND_NAME: &str = "  \
  owner: my-team                              # EDIT: an owner that the policy knows; its keys must sign
  revision: 1                                 # from 1; rises with every change
spec:
  intent: feature                             # EDIT: bug-patch, feature, observability or security
  # reference: OCPBUGS-12345                  # ticket; needed for bug-patch
  pools: [worker]                             # EDIT: machine config pools that may carry the stream
  # audience: [fleet-prod]                    # must name one of the nodes' audiences; none where nodes have none
  # appliesTo:                                # nodes that do not fit say notApplicable, and run nothing of it
  #   kernel: \">=5.14.0-427 <5.14.0-570.30.1\" # RPM order of `uname -r`, flavour and architecture ignored
  #   ocp: \">=4.16 <4.20\"                     # minor releases
  #   architectures: [amd64, arm64]
  # expires: 2027-03-31T00:00:00Z             # UTC; a bug-patch should have it
  # onExpiry: detach                          # then: detach (default) or keep (default for security)
  # onRemoval: detach                         # when the bundle is gone: detach (default) or keep (default for security)
  # rollbackFloor: 1                          # nodes that ran this revision refuse lower ones from then on
  # stage: normal                             # early: before the network; then select by name, driver or mac only
  # failurePolicy: open                       # closed: kubelet waits for the stream, where policy and trust allow it

";

const NO_PROGRAM: &str = "    \
    - name: my_program                        # EDIT: C function
      object: my_program.bpf.o                # EDIT: beside this file or below
      # globals: {mtu_floor: 1400}            # variables of the object, typed by its BTF
      attach:
        - xdp:
            interfaces: [{primary: true}]     # EDIT: which interfaces
            mode: native                      # native (default) or skb
            priority: 500                     # EDIT: 0 to 1000, lower runs first, inside your band; no default
            proceedOn: [pass]                 # verdicts after which the next program runs
";

const REFERENCE: &str = r#"
# Reference. An interface is meant if any selector of the list means it:
#   - {name: "ens*", exclude: [ens3]}         # by name, with * and ?
#   - {primary: true}                         # the physical uplink below the default route
#   - {driver: mlx5_core}                     # as `ethtool -i` shows it
#   - {mac: "52:54:00:12:34:56"}
#   - {membersOf: bond0}                      # the members of a bond
# One object per architecture: `object: {amd64: count.amd64.o, arm64: count.arm64.o}`. One item of `attach` is one of:
#   - xdp: {interfaces: […], mode: native, priority: 500, proceedOn: [pass]}
#   - tc: {interfaces: […], direction: ingress, priority: 500, verdicts: [next, drop], before: NAME, after: NAME}
#   - cgroup: {path: /kubepods.slice, attachType: connect4}
#   - tracepoint: {category: sched, name: sched_switch}
#   - rawTracepoint: {name: sys_enter}
#   - btfTracepoint: {name: sched_process_exec}
#   - kprobe: {function: tcp_connect, offset: 0}
#   - kretprobe: {function: tcp_connect}
#   - fentry: {function: tcp_retransmit_skb}
#   - fexit: {function: tcp_retransmit_skb}
#   - lsm: {hook: file_open}
# Below `maps:` of `spec` a map is config (entries or slots), state (persist) or scratch (neither):
#   node_ips: {entries: [{key: 10.0.0.1, value: 1}]}    # new with every bundle, frozen
#   stages: {slots: {0: PROGRAM}}                       # tail calls; PROGRAM needs no `attach`
#   flows: {persist: true, maxEntries: 4096}            # survives updates while its shape is equal
#   drops: {export: {counter: dropped_packets}}         # shown by status, in JSON, as a metric
#   events: {consumer: "node agent"}                    # who reads a ring buffer
"#;
