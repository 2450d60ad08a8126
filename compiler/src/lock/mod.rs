//! Lock: what runs where in which order, as all owners agreed; `bpf.lock.yaml`.
//!
//! In:   a [`Set`] that was judged. Out: [`Lock`] and its text; sorted, so that neither the order of manifests nor the
//!       order in them shows.
//! May fail with: NB0430 (not a lock).
//!
//! Its diff in review is the negotiation between owners. Differences: [`drift`].

pub mod drift;

use std::collections::BTreeMap;

use nodeplan::{
    digest::Sha256Digest,
    hook::{Attachment, Chained},
    name::IfGlob,
    plan::{NodePlan, Objects},
    selector::{Selector, Target},
    statement,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    manifest::API_VERSION,
    set::{Member, Set},
};

/// `kind` of a lock.
const KIND: &str = "BpfLock";

/// File name of a lock.
pub const FILE_NAME: &str = "bpf.lock.yaml";

/// Largest lock, in bytes. Ours: room for 100 000 places.
pub const LOCK_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The agreed order of everything on every hook of every pool. Written by `nodebpf lock`, never by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// Version of this format.
    #[schemars(extend("const" = API_VERSION))]
    pub api_version: String,
    /// What the document is.
    #[schemars(extend("const" = KIND))]
    pub kind: String,
    /// What the nodes of each pool run, with what the pool inherits.
    pub pools: BTreeMap<String, Vec<Chain>>,
    /// Streams by name.
    pub streams: BTreeMap<String, Stream>,
}

/// One stream as it was agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stream {
    /// Whose it is.
    pub owner: String,
    /// Its revision.
    pub revision: u32,
    /// SHA-256 of its statement: the identity of its whole plan.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub statement: String,
    /// SHA-256 of the object of each program.
    pub programs: BTreeMap<String, ObjectDigest>,
}

/// Digest of an object, or one for each architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ObjectDigest {
    /// For every architecture.
    One(String),
    /// By architecture.
    PerArchitecture(BTreeMap<String, String>),
}

/// Programs that meet at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chain {
    /// Hook and place, such as `xdp`, `tc ingress` or `kprobe tcp_connect`.
    pub place: String,
    /// Selector, on hooks of interfaces. The chain of an exact name has the programs of matching globs too; others that
    /// may mean the same interface stand under their own selector, and all run by priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<String>,
    /// In the order in which they run; by name where the hook has no order.
    pub order: Vec<Place>,
}

/// One program at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// Lower runs first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// Stream.
    pub stream: String,
    /// Program.
    pub program: String,
    /// Owner of the stream.
    pub owner: String,
    /// XDP mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// XDP verdicts after which the next program runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proceed_on: Option<Vec<String>>,
    /// TC verdicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdicts: Option<Vec<String>>,
    /// Anchor of TC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Anchor of TC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Lock {
    /// What `set` agrees on.
    pub fn of(set: &Set<'_>) -> Self {
        let streams =
            set.members().iter().map(|member| (member.plan.stream.to_string(), stream(member.plan))).collect();
        let pools = set.by_pool().map(|(pool, members)| (pool.to_string(), chains(&members))).collect();
        Self { api_version: API_VERSION.to_owned(), kind: KIND.to_owned(), pools, streams }
    }

    /// The text of the file.
    pub fn to_yaml(&self) -> Vec<u8> {
        serde_yaml::to_string(self).expect("invariant: a lock has string keys").into_bytes()
    }

    /// Reads a lock; `None` after a report. `name` is the file's, for messages.
    pub fn parse(name: &str, bytes: &[u8], diags: &mut Diagnostics) -> Option<Self> {
        Self::read(name, bytes, &format!("name the file that `nodebpf lock` wrote, usually `{FILE_NAME}`"), diags)
    }

    /// The same of the file that a new lock is to replace.
    pub fn parse_former(name: &str, bytes: &[u8], diags: &mut Diagnostics) -> Option<Self> {
        let shown = shown(name);
        let help = format!("name another file, or move this one away: `mv {shown} {shown}.old`");
        Self::read(name, bytes, &help, diags)
    }

    fn read(name: &str, bytes: &[u8], help: &str, diags: &mut Diagnostics) -> Option<Self> {
        let refused = |why: &str| {
            let why: String = why.lines().next().unwrap_or_default().chars().take(120).collect();
            Diagnostic::error(Code::BadLock, format!("`{}` is not a lock: {}", shown(name), shown_all(&why)))
                .note("a lock is written by `nodebpf lock` only, which replaces nothing but locks")
        };
        if has_conflict(bytes) {
            diags.push(
                refused("it has conflict markers of a merge")
                    .help(format!("take one side: `git checkout --theirs {}`, or `--ours`", shown(name)))
                    .help("then write it anew: `nodebpf lock */bpf.yaml --policy policy.yaml`"),
            );
            return None;
        }
        let refused = |why: &str| refused(why).help(help.to_owned());
        let lock: Self = match crate::yaml::typed::read(bytes, LOCK_MAX_BYTES) {
            Ok(lock) => lock,
            Err(error) => {
                diags.push(refused(&error));
                return None;
            }
        };
        if lock.api_version != API_VERSION || lock.kind != KIND {
            let found = format!("it is a {} of {}", shown(&lock.kind), shown(&lock.api_version));
            diags.push(refused(&found));
            return None;
        }
        Some(lock)
    }
}

/// Whether git left both sides of a merge in the file.
fn has_conflict(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"<<<<<<< ") || line.starts_with(b">>>>>>> "))
}

fn shown_all(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn stream(plan: &NodePlan) -> Stream {
    let digest = |objects: &Objects| match objects {
        Objects::One(object) => ObjectDigest::One(object.sha256.to_string()),
        Objects::PerArchitecture(objects) => ObjectDigest::PerArchitecture(
            objects.iter().map(|(arch, object)| (arch.as_str().to_owned(), object.sha256.to_string())).collect(),
        ),
    };
    Stream {
        owner: plan.owner.to_string(),
        revision: plan.revision.get(),
        statement: Sha256Digest::of(&statement::encode(plan)).to_string(),
        programs: plan.programs.iter().map(|one| (one.name.to_string(), digest(&one.object))).collect(),
    }
}

/// Globs and the places of programs under them, by the text before the first wildcard.
type Globbed<'a> = BTreeMap<&'a str, Vec<(&'a IfGlob, &'a Selector, Vec<Place>)>>;

/// All chains of one pool, by place and selector.
fn chains(members: &[Member<'_>]) -> Vec<Chain> {
    let mut plain: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    let mut on_interfaces: BTreeMap<String, BTreeMap<&Selector, Vec<Place>>> = BTreeMap::new();
    for plan in members.iter().map(|member| member.plan) {
        for (program, attachment) in plan.programs.iter().flat_map(|one| one.attach.iter().map(move |at| (one, at))) {
            let place = place(plan, program.name.as_str(), attachment);
            if attachment.interfaces().is_empty() {
                plain.entry(attachment.place()).or_default().push(place);
                continue;
            }
            let there = on_interfaces.entry(attachment.place()).or_default();
            for selector in attachment.interfaces() {
                there.entry(selector).or_default().push(place.clone());
            }
        }
    }
    let mut chains: Vec<Chain> =
        plain.into_iter().map(|(place, order)| Chain { place, interfaces: None, order: sorted(order) }).collect();
    for (place, by_selector) in on_interfaces {
        let mut globs = Globbed::new();
        for (selector, places) in &by_selector {
            if let Target::Name(glob) = &selector.target
                && let Some(wildcard) = glob.as_str().find(['*', '?'])
            {
                globs.entry(&glob.as_str()[..wildcard]).or_default().push((glob, *selector, places.clone()));
            }
        }
        for (selector, mut order) in by_selector {
            covered(selector, &globs, &mut order);
            chains.push(Chain { place: place.clone(), interfaces: Some(selector.to_string()), order: sorted(order) });
        }
    }
    chains.sort_by(|a, b| (&a.place, &a.interfaces).cmp(&(&b.place, &b.interfaces)));
    chains
}

/// Adds the programs of globs that surely mean the one interface of `selector`.
fn covered(selector: &Selector, globs: &Globbed<'_>, order: &mut Vec<Place>) {
    let Target::Name(name) = &selector.target else { return };
    if !name.is_exact() {
        return;
    }
    let text = name.as_str();
    let candidates = (0..=text.len()).filter_map(|end| globs.get(text.get(..end)?)).flatten();
    for (glob, selector, places) in candidates {
        if glob.matches(text) && !selector.excludes(text) {
            order.extend(places.iter().cloned());
        }
    }
}

fn sorted(mut order: Vec<Place>) -> Vec<Place> {
    order.sort();
    order.dedup();
    order
}

fn place(plan: &NodePlan, program: &str, attachment: &Attachment) -> Place {
    let mut place = Place {
        priority: attachment.priority().map(nodeplan::priority::Priority::get),
        stream: plan.stream.to_string(),
        program: program.to_owned(),
        owner: plan.owner.to_string(),
        mode: None,
        proceed_on: None,
        verdicts: None,
        before: None,
        after: None,
    };
    match attachment.chained() {
        Some(Chained::Xdp(xdp)) => {
            place.mode = Some(xdp.mode.as_str().to_owned());
            place.proceed_on = Some(xdp.proceed_on.actions().iter().map(|one| one.as_str().to_owned()).collect());
        }
        Some(Chained::Tc(tc)) => {
            place.verdicts = Some(tc.verdicts.iter().map(|one| one.as_str().to_owned()).collect());
            place.before = tc.before.as_ref().map(ToString::to_string);
            place.after = tc.after.as_ref().map(ToString::to_string);
        }
        None => {}
    }
    place
}
