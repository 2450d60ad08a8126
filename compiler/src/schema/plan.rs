//! Schema of a node plan: [`nodeplan::plan::NodePlan`].

use nodeplan::{
    applies::Architecture,
    hook::{CgroupAttachType, Direction, Hook, TcVerdict},
    limits,
    xdp::{XdpAction, XdpMode},
};
use serde_json::{Value, json};

use super::{
    bounded, dict, digest, flag, format_version, identifier, interface_glob, interface_name, list, may, must,
    not_empty, number, one_key, pattern, pool_name, priority, program_name, record, revision, stream_name, text,
    timestamp, u32_number, word, words,
};

pub(super) fn schema() -> Value {
    let ending = || words(["detach", "keep"]);
    record(vec![
        must("planVersion", "Lowest version of this format that has everything the plan says.", format_version()),
        must("stream", "Stream name; also the bundle's file name.", stream_name()),
        must("owner", "Whose keys must have signed.", stream_name()),
        must("revision", "Rises with every change.", revision()),
        must("intent", "Why the stream exists.", words(["bug-patch", "feature", "observability", "security"])),
        may("reference", "Ticket of the bug; required for intent `bug-patch`.", text()),
        must("pools", "Pools that may carry the stream, sorted.", not_empty(&pool_name())),
        may("audience", "Meets one of the node's audiences, sorted.", list(&pool_name())),
        may("appliesTo", "What a node must be.", applies_to()),
        may("expires", "After this moment the stream ends by `onExpiry`.", timestamp()),
        must("onExpiry", "At expiry.", ending()),
        must("onRemoval", "When the bundle is gone from the node.", ending()),
        may("rollbackFloor", "Nodes that ran this plan refuse lower revisions.", revision()),
        may("failurePolicy", "Kubelet waits for the stream. Absent: the node boots all the same.", word("closed")),
        may("stage", "Attached before the network. Absent: after it.", word("early")),
        must("programs", "Programs, sorted by name.", programs()),
        may(
            "maps",
            "What the manifest says of maps, by C variable.",
            dict(&identifier(limits::MAP_NAME_MAX_BYTES), &map()),
        ),
    ])
}

fn architectures() -> [&'static str; 2] {
    [Architecture::Amd64, Architecture::Arm64].map(Architecture::as_str)
}

fn applies_to() -> Value {
    record(vec![
        may("kernel", "Comparisons in RPM order.", text()),
        may("ocp", "Comparisons of minor releases.", text()),
        may("architectures", "Sorted.", list(&words(architectures()))),
    ])
}

fn programs() -> Value {
    let globals = dict(&identifier(limits::PROGRAM_NAME_MAX_BYTES), &hex());
    let program = record(vec![
        must("name", "C function.", program_name()),
        must("object", "The object that holds it.", objects()),
        may("globals", "Values of global variables, in the byte order of the target.", globals),
        may("attach", "Where it is attached. Absent only for a program that a tail call reaches.", list(&attachment())),
    ]);
    json!({ "type": "array", "items": program, "minItems": 1, "maxItems": limits::PLAN_MAX_PROGRAMS })
}

fn objects() -> Value {
    let object = record(vec![
        must("sha256", "Of the bytes in the bundle.", digest()),
        must("sourceSha256", "Of the file that the compiler read.", digest()),
    ]);
    let by_architecture = dict(&words(architectures()), &object);
    json!({ "anyOf": [object, by_architecture] })
}

fn hex() -> Value {
    pattern("^([0-9a-f]{2})+$")
}

fn selector() -> Value {
    let targets = [
        ("name", interface_glob()),
        ("primary", json!({ "const": true })),
        ("driver", bounded("^[A-Za-z0-9_-]+$", limits::DRIVER_NAME_MAX_BYTES)),
        ("mac", pattern("^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")),
        ("membersOf", interface_name()),
    ];
    let exclude = || may("exclude", "Names that are not meant nevertheless, sorted.", list(&interface_glob()));
    let choices =
        targets.map(|(key, schema)| record(vec![must(key, "What makes an interface be meant.", schema), exclude()]));
    json!({ "oneOf": choices })
}

fn attachment() -> Value {
    let interfaces = || must("interfaces", "Every interface that any of these selects.", not_empty(&selector()));
    let place = || must("priority", "Place in the chain; lower runs first.", priority());
    let point = |key| must(key, "Name in the kernel.", bounded("^[A-Za-z0-9_-]+$", limits::SYMBOL_MAX_BYTES));
    let function = || must("function", "Kernel function.", bounded("^[A-Za-z0-9_.$]+$", limits::SYMBOL_MAX_BYTES));
    let verdicts = |words_| not_empty(&words_);
    one_key(
        Hook::ALL
            .into_iter()
            .map(|hook| {
                let schema = match hook {
                    Hook::Xdp => record(vec![
                        interfaces(),
                        must(
                            "mode",
                            "Where in the receive path.",
                            words([XdpMode::Native.as_str(), XdpMode::Skb.as_str()]),
                        ),
                        place(),
                        must("proceedOn", "Sorted.", verdicts(words(XdpAction::ALL.map(XdpAction::as_str)))),
                        may("frags", "Takes packets of several fragments.", flag()),
                    ]),
                    Hook::Tc => record(vec![
                        interfaces(),
                        must(
                            "direction",
                            "Of packets.",
                            words([Direction::Ingress, Direction::Egress].map(Direction::as_str)),
                        ),
                        place(),
                        must("verdicts", "Sorted.", verdicts(words(TcVerdict::ALL.map(TcVerdict::as_str)))),
                        may("before", "Program of somebody else.", program_name()),
                        may("after", "Program of somebody else.", program_name()),
                    ]),
                    Hook::Cgroup => record(vec![
                        must(
                            "path",
                            "From the root of the unified hierarchy.",
                            bounded("^/[!-~]*$", limits::CGROUP_PATH_MAX_BYTES),
                        ),
                        must(
                            "attachType",
                            "In libbpf's words.",
                            words(CgroupAttachType::ALL.iter().map(|one| one.as_str())),
                        ),
                    ]),
                    Hook::Tracepoint => record(vec![point("category"), point("name")]),
                    Hook::RawTracepoint | Hook::BtfTracepoint => record(vec![point("name")]),
                    Hook::Kprobe => record(vec![function(), may("offset", "In bytes.", number(0, u64::MAX))]),
                    Hook::Kretprobe | Hook::Fentry | Hook::Fexit => record(vec![function()]),
                    Hook::Lsm => record(vec![point("hook")]),
                };
                (hook.as_str(), schema)
            })
            .collect(),
    )
}

fn map() -> Value {
    let entry = record(vec![must("key", "As long as the map's keys.", hex()), must("value", "As its values.", hex())]);
    let entries = json!({ "type": "array", "items": entry, "maxItems": limits::MAP_MAX_ENTRIES });
    let slot =
        record(vec![must("index", "In the map.", u32_number()), must("program", "Of this stream.", program_name())]);
    let slots = json!({ "type": "array", "items": slot, "maxItems": limits::MAP_MAX_SLOTS });
    record(vec![
        may("entries", "Content of a config map, sorted by key.", entries),
        may("slots", "Programs that tail calls reach, sorted by index.", slots),
        may("persist", "Survives updates while its shape is equal.", flag()),
        may("maxEntries", "Size instead of the object's.", u32_number()),
        may("counter", "Shown under this name.", identifier(limits::MAP_NAME_MAX_BYTES)),
        may("consumer", "Who reads a ring buffer.", text()),
    ])
}
