//! Describe: a node plan in plain words, and what changes from one plan to another.
//!
//! In:   a [`NodePlan`], or two. Out: facts, lines of text, [`diff::Change`]s; equal plans give equal text.
//! Cannot fail.
//!
//! A plan is first taken apart into facts: what it is about, which property, which value. Text is made of facts, and
//! changes are the difference of two sets of facts; so nothing can be shown that would not also be compared.

pub mod class;
pub mod diff;
pub mod trust;
pub mod types;
pub mod values;

pub use types::Types;

use nodeplan::{
    digest::{Sha256Digest, to_hex},
    hook::{Attachment, Chained, TcVerdict},
    json,
    name::{Audience, MapName, PoolName},
    plan::{Ending, FailurePolicy, Intent, Map, NodePlan, ObjectRef, Objects, Program, Stage},
    priority::Priority,
    selector::Selector,
    xdp::XdpAction,
};

/// Entries of a map that are written out; all of them are counted and covered by the digest of the entries.
const ENTRIES_SHOWN: usize = 16;

/// One thing a plan says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// `stream`, `order`, `program NAME` or `map NAME`.
    pub about: String,
    /// Property; unique within `about`.
    pub what: String,
    /// Value, on one line.
    pub value: String,
}

/// Everything that `plan` says, in the order in which it is shown. No two facts have equal `about` and `what`. Values are
/// shown by their types, where `types` has them, with the bytes behind.
pub fn facts(plan: &NodePlan, types: &Types) -> Vec<Fact> {
    let mut facts = stream(plan);
    for program in &plan.programs {
        self::program(program, types, &mut facts);
    }
    order(plan, &mut facts);
    for (name, map) in &plan.maps {
        self::map(name, map, types, &mut facts);
    }
    facts
}

/// `plan` in words, one line each: a heading per subject, its facts below it.
pub fn lines(plan: &NodePlan, types: &Types) -> Vec<String> {
    let mut lines = Vec::new();
    let mut about = String::new();
    for fact in facts(plan, types) {
        if fact.about != about {
            let heading = if fact.about == "stream" { format!("stream {}", plan.stream) } else { fact.about.clone() };
            lines.push(heading);
            about = fact.about;
        }
        lines.push(format!("  {:<18} {}", fact.what, fact.value));
    }
    lines
}

fn stream(plan: &NodePlan) -> Vec<Fact> {
    let none = || "none".to_owned();
    let rows = [
        ("name", plan.stream.to_string()),
        ("owner", plan.owner.to_string()),
        ("revision", plan.revision.to_string()),
        ("intent", intent(plan.intent).to_owned()),
        ("reference", plan.reference.as_deref().map_or_else(none, one_line)),
        ("pools", list(plan.pools.iter().map(PoolName::as_str))),
        ("audience", list(plan.audience.iter().map(Audience::as_str))),
        ("kernels", plan.applies_to.kernel.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string)),
        ("openshift", plan.applies_to.ocp.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string)),
        (
            "architectures",
            match plan.applies_to.architectures.as_slice() {
                [] => "all".to_owned(),
                some => list(some.iter().map(|architecture| architecture.as_str())),
            },
        ),
        ("expires", plan.expires.map_or_else(|| "never".to_owned(), |time| time.to_string())),
        ("at expiry", ending(plan.on_expiry).to_owned()),
        ("when removed", ending(plan.on_removal).to_owned()),
        (
            "rollback floor",
            plan.rollback_floor.map_or_else(none, |floor| format!("revisions below {floor} are refused")),
        ),
        ("if it fails", failure(plan.failure_policy).to_owned()),
        ("attached", stage(plan.stage).to_owned()),
        ("plan version", plan.plan_version.to_string()),
    ];
    rows.into_iter().map(|(what, value)| Fact { about: "stream".to_owned(), what: what.to_owned(), value }).collect()
}

fn program(program: &Program, types: &Types, facts: &mut Vec<Fact>) {
    let about = format!("program {}", program.name);
    let mut push = |what: String, value: String| facts.push(Fact { about: about.clone(), what, value });
    match &program.object {
        Objects::One(one) => push("object".to_owned(), object(one)),
        Objects::PerArchitecture(objects) => {
            for (architecture, one) in objects {
                push(format!("object {}", architecture.as_str()), object(one));
            }
        }
    }
    for attachment in &program.attach {
        push(place(attachment), terms(attachment));
    }
    if program.attach.is_empty() {
        push("attached".to_owned(), "nowhere; reached by tail calls".to_owned());
    }
    for (name, value) in &program.globals {
        let bytes = format!("0x{}", to_hex(value.as_bytes()));
        let value = types.global(program, name.as_str(), value.as_bytes());
        push(
            format!("global {name}"),
            value.map_or_else(|| bytes.clone(), |value| format!("{value}  (bytes {bytes})")),
        );
    }
}

fn object(object: &ObjectRef) -> String {
    if object.sha256 == object.source_sha256 {
        format!("sha256 {}", object.sha256)
    } else {
        format!("sha256 {}, lowered by the compiler from {}", object.sha256, object.source_sha256)
    }
}

/// Where: hook and interfaces. Two attachments of a program never share it ([`nodeplan::plan::PlanError::PlaceTwice`]).
fn place(attachment: &Attachment) -> String {
    match attachment.interfaces() {
        [] => attachment.place(),
        interfaces => format!("{} on {}", attachment.place(), selectors(interfaces)),
    }
}

/// How: everything of an attachment that is not its place.
fn terms(attachment: &Attachment) -> String {
    match attachment.chained() {
        Some(Chained::Xdp(xdp)) => format!(
            "priority {}, {} mode{}, the next program runs after {}",
            xdp.priority,
            xdp.mode.as_str(),
            if xdp.frags { " with fragments" } else { "" },
            list(xdp.proceed_on.actions().iter().map(|action: &XdpAction| action.as_str()))
        ),
        Some(Chained::Tc(tc)) => {
            let anchor = |word: &str, name: &Option<nodeplan::name::ProgramName>| {
                name.as_ref().map_or_else(String::new, |name| format!(", {word} {name}"))
            };
            format!(
                "priority {}, may return {}{}{}",
                tc.priority,
                list(tc.verdicts.iter().map(|verdict: &TcVerdict| verdict.as_str())),
                anchor("before", &tc.before),
                anchor("after", &tc.after)
            )
        }
        None => "attached".to_owned(),
    }
}

/// The programs of each ordered hook as they would run if all their interfaces were one.
fn order(plan: &NodePlan, facts: &mut Vec<Fact>) {
    let mut places: Vec<(String, Vec<(u16, String)>)> = Vec::new();
    for program in &plan.programs {
        for (attachment, priority) in program.attach.iter().filter_map(|at| Some((at, at.priority()?))) {
            let item = (Priority::get(priority), program.name.to_string());
            match places.iter_mut().find(|(place, _)| *place == attachment.place()) {
                Some((_, programs)) if programs.contains(&item) => {}
                Some((_, programs)) => programs.push(item),
                None => places.push((attachment.place(), vec![item])),
            }
        }
    }
    places.sort();
    for (place, mut programs) in places {
        programs.sort();
        let value = programs.iter().map(|(priority, name)| format!("{name} ({priority})")).collect::<Vec<_>>();
        facts.push(Fact { about: "order".to_owned(), what: place, value: value.join(", then ") });
    }
}

fn map(name: &MapName, map: &Map, types: &Types, facts: &mut Vec<Fact>) {
    let about = format!("map {name}");
    let mut push = |what: &str, value: String| facts.push(Fact { about: about.clone(), what: what.to_owned(), value });
    push(
        "kind",
        match (map.entries.is_empty(), map.slots.is_empty(), map.persist) {
            (false, _, _) => "config: filled from the manifest, then frozen".to_owned(),
            (true, false, _) => "config: tail calls".to_owned(),
            (true, true, true) => "state: survives updates".to_owned(),
            (true, true, false) => "scratch: new with every bundle".to_owned(),
        },
    );
    if !map.entries.is_empty() {
        // The whole digest: of a shorter one, two contents with the same digits could be made in minutes.
        let content = Sha256Digest::of(&json::to_bytes(&map.entries));
        push("entries", format!("{}, sha256 {content}", map.entries.len()));
        for entry in map.entries.iter().take(ENTRIES_SHOWN) {
            let (key, value) = (to_hex(entry.key.as_bytes()), to_hex(entry.value.as_bytes()));
            match types.entry(name, entry.key.as_bytes(), entry.value.as_bytes()) {
                Some(words) => push(&format!("entry {}", words.0), format!("{}  (bytes {key}: {value})", words.1)),
                None => push(&format!("entry {key}"), value),
            }
        }
        if map.entries.len() > ENTRIES_SHOWN {
            push("more entries", format!("{} are not shown", map.entries.len() - ENTRIES_SHOWN));
        }
    }
    for slot in &map.slots {
        push(&format!("slot {}", slot.index), slot.program.to_string());
    }
    if let Some(max) = map.max_entries {
        push("size", format!("{max} entries"));
    }
    if let Some(counter) = &map.counter {
        push("shown as", format!("counter {counter}"));
    }
    if let Some(consumer) = &map.consumer {
        push("read by", one_line(consumer));
    }
}

/// Free text on one line, whole: what is cut off could change unseen.
fn one_line(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { vec![c] };
    text.chars().flat_map(escape).collect()
}

fn selectors(selectors: &[Selector]) -> String {
    selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn intent(intent: Intent) -> &'static str {
    match intent {
        Intent::BugPatch => "bug-patch: works around a bug",
        Intent::Feature => "feature: part of the platform",
        Intent::Observability => "observability: watches only",
        Intent::Security => "security: enforces",
    }
}

fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Detach => "programs are detached",
        Ending::Keep => "programs stay until the next boot",
    }
}

fn failure(policy: FailurePolicy) -> &'static str {
    match policy {
        FailurePolicy::Open => "the node boots all the same (open)",
        FailurePolicy::Closed => "kubelet waits for it (closed)",
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Early => "before the network (early)",
        Stage::Normal => "after the network, before kubelet",
    }
}
