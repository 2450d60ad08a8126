//! Schema of a report: [`nodeplan::report::Report`].

use nodeplan::{hook::Hook, limits, report::Code, xdp::XdpMode};
use serde_json::Value;

use super::{
    dict, digest, flag, format_version, identifier, interface_name, list, may, must, number, priority, program_name,
    record, revision, stream_name, text, u32_number, words,
};

pub(super) fn schema() -> Value {
    record(vec![
        must("reportVersion", "Version of this structure.", format_version()),
        must("loader", "Version of the loader.", text()),
        must("kernel", "`uname -r`.", text()),
        must("trust", "The trust file, or why there is none.", trust()),
        may("problems", "What is wrong with the files as such.", list(&reason())),
        may("streams", "Streams by name.", list(&stream())),
    ])
}

fn reason() -> Value {
    record(vec![
        must("code", "Stable code.", words(Code::ALL.iter().map(|code| code.as_str()))),
        must("message", "One line for people.", text()),
    ])
}

fn trust() -> Value {
    record(vec![
        may("version", "Of the document.", number(0, u64::MAX)),
        may("anchor", "Where its authority comes from.", words(["rootSigned", "coDelivered"])),
        may("reason", "Why there is none.", reason()),
    ])
}

fn stream() -> Value {
    let states =
        ["attached", "pending", "notApplicable", "expired", "held", "refused", "failed", "degraded", "removed"];
    let counters = dict(&identifier(limits::MAP_NAME_MAX_BYTES), &number(0, u64::MAX));
    record(vec![
        must("stream", "From the bundle's file name.", stream_name()),
        must("state", "What became of it.", words(states)),
        may("reason", "Why, if not attached.", reason()),
        may("owner", "If a plan was accepted.", stream_name()),
        may("revision", "That runs, or would run.", revision()),
        may("intent", "If a plan was accepted.", words(["bug-patch", "feature", "observability", "security"])),
        may("statement", "SHA-256 of the statement that runs, or would run.", digest()),
        may("attachments", "Places, in the plan's order.", list(&attachment())),
        may("counters", "Exported counters.", counters),
    ])
}

fn attachment() -> Value {
    record(vec![
        must("hook", "Hook.", words(Hook::ALL.iter().map(|hook| hook.as_str()))),
        may("place", "Place for people, such as `tc ingress`.", text()),
        must("program", "Program.", program_name()),
        may("programId", "Id of the loaded program.", u32_number()),
        may("interface", "Interface, on hooks of interfaces.", interface_name()),
        may("ifindex", "Its index.", u32_number()),
        may("mode", "XDP mode, on XDP.", words([XdpMode::Native.as_str(), XdpMode::Skb.as_str()])),
        may("frags", "Whether a program that takes fragments gets them, on XDP.", flag()),
        may("priority", "Place in the order, on hooks that have one.", priority()),
        may("attached", "Whether it runs now.", flag()),
    ])
}
