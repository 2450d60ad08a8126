//! Side: all that one side of a comparison holds.
//!
//! In:   files. Out: [`Side`], and what the nodes of a pool get of it.
//! May fail with: why a file cannot be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path},
};

use nodeplan::{bundle::Unverified, digest::Sha256Digest, key::KeyId, statement::Accepted, trust::Trust};

use serde_json::Value;

use super::others::{IGNITION, IMAGE, Others};
use crate::{
    describe::Types,
    diag::visible,
    lower::{self, install::TRUST_PATH, tree::ROOT},
    mco::{
        config::Config,
        document::documents,
        policy::Policy,
        render::{self, Rendered},
        shape,
    },
    sign::carrier::{self, Carried, Unreadable},
};

/// One side.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// MachineConfigs and Ignition configs.
    pub configs: Vec<Config>,
    /// Bundles that lie around, with the pool if they are in a tree for its image.
    pub bundles: Vec<(Option<String>, Carried)>,
    /// The disruption policy, if there is one.
    pub policy: Option<Policy>,
    /// What changes nodes in other ways.
    pub others: Others,
    /// What was left out on purpose.
    pub notes: Vec<String>,
}

/// For which nodes something is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Those of a pool, by MachineConfigs.
    Pool(String),
    /// Those of a pool, by its image.
    Image(String),
    /// Nobody says: bundles and Ignition configs.
    Loose,
}

impl Place {
    /// Pool, or what stands for it.
    pub fn label(&self) -> &str {
        match self {
            Self::Pool(pool) | Self::Image(pool) => pool,
            Self::Loose => "-",
        }
    }
}

/// What was signed, and by whom.
#[derive(Clone, Debug)]
pub struct Version {
    /// The plan with its statement.
    pub accepted: Accepted,
    /// What its values mean.
    pub types: Types,
    /// Keys whose signatures the bundle carries; not checked.
    pub signers: Vec<KeyId>,
    /// Digest of the whole bundle.
    pub bundle: Sha256Digest,
}

/// What nodes of one pool get.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Everything.
    pub rendered: Rendered,
    /// Streams by name.
    pub streams: BTreeMap<String, Version>,
    /// The trust file.
    pub trust: Option<Trust>,
    /// What of it cannot be read.
    pub problems: Vec<String>,
}

impl Node {
    /// Whether there is nothing that could be compared.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.trust.is_none() && self.problems.is_empty()
    }
}

impl Side {
    /// Adds a file; whether it held anything. `named`: it must. `path` begins below the directory that was named.
    pub fn add(&mut self, path: &Path, bytes: &[u8], named: bool) -> Result<bool, String> {
        let bundle = path.extension().is_some_and(|extension| extension == "bundle");
        if bundle || carrier::is_archive(bytes) {
            let why = |error| match error {
                Unreadable::Ours(why) | Unreadable::Foreign(why) => why,
            };
            for carried in carrier::bundles(path, bytes).map_err(why)? {
                self.bundles.push((image_pool(path, &carried), carried));
            }
            return Ok(true);
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut found = false;
        for document in &documents(bytes)? {
            if let Some(policy) = Policy::read(document) {
                self.set_policy(document, policy?)?;
                found = true;
            } else if let Some(config) = Config::read(document, &name) {
                self.add_config(document, config)?;
                found = true;
            } else {
                self.others.add(document);
            }
        }
        if named && !found {
            return Err("has neither a bundle nor a MachineConfig, Ignition config or MachineConfiguration".to_owned());
        }
        Ok(found)
    }

    fn set_policy(&mut self, document: &Value, policy: Policy) -> Result<(), String> {
        Policy::refuse_name(document)?;
        if self.policy.as_ref().is_some_and(|other| *other != policy) {
            return Err("has another MachineConfiguration than a file before it; a cluster has one".to_owned());
        }
        self.policy = Some(policy);
        Ok(())
    }

    fn add_config(&mut self, document: &Value, config: Config) -> Result<(), String> {
        let name = visible(&config.name);
        let Some(role) = config.role.as_deref() else {
            shape::refuse_ignition(document).map_err(|why| format!("is an Ignition config with {why}"))?;
            self.add_parts(document);
            self.configs.push(config);
            return Ok(());
        };
        // What the operator rendered of others; `oc get machineconfig` prints them, too.
        if role.is_empty() && config.name.starts_with("rendered-") {
            return Ok(());
        }
        shape::refuse_machine_config(document)
            .map_err(|why| format!("has MachineConfig `{name}` with {why}; the cluster refuses it"))?;
        if role.is_empty() {
            return Err(format!("has MachineConfig `{name}` without the label of a pool; none would get it"));
        }
        match self.configs.iter().find(|other| other.role.is_some() && other.name == config.name) {
            Some(other) if *other == config => {}
            Some(_) => return Err(format!("has another MachineConfig `{name}` than a file before it")),
            None => self.configs.push(config),
        }
        Ok(())
    }

    /// Everything of an Ignition config but streams and trust file, which are compared by what they say.
    fn add_parts(&mut self, document: &Value) {
        let mut rest = document.clone();
        for (place, key) in [("/storage/files", "path"), ("/systemd/units", "name")] {
            let items = rest.pointer_mut(place).and_then(Value::as_array_mut).map(std::mem::take);
            for item in items.unwrap_or_default() {
                let name = item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                if !lower::is_bundle(&name) && name != TRUST_PATH {
                    self.others.add_part(IGNITION, &name, render::serialised(item));
                }
            }
        }
        let rest = render::serialised(rest);
        for section in ["storage", "passwd", "kernelArguments"] {
            if let Some(value) = rest.get(section) {
                self.others.add_part(IGNITION, section, value.clone());
            }
        }
        if let Some(value) = rest.get("ignition") {
            self.others.add_common_part(IGNITION, "ignition", value.clone());
        }
    }

    /// Adds a file or link in the tree of an image, which is no bundle; whether it is in one.
    pub fn add_to_image(&mut self, path: &Path, content: &[u8]) -> bool {
        let names = names(path);
        let Some(root) = names.iter().rposition(|name| *name == ROOT) else { return false };
        let name = names[root.saturating_sub(1)..].join("/");
        self.others.add_part(IMAGE, &name, Value::from(Sha256Digest::of(content).to_string()));
        true
    }

    /// For which nodes there is something.
    pub fn places(&self) -> BTreeSet<Place> {
        let images = self.bundles.iter().filter_map(|(pool, _)| pool.clone().map(Place::Image));
        render::pools(&self.configs).into_iter().map(Place::Pool).chain(images).collect()
    }

    /// What nodes get.
    pub fn node(&self, place: &Place) -> Node {
        let mut node = Node::default();
        let pool = match place {
            Place::Pool(pool) => Some(pool.as_str()),
            Place::Loose => None,
            Place::Image(_) => {
                self.add_bundles(place, &mut node);
                return node;
            }
        };
        node.rendered = render::render(&self.configs, pool);
        for (path, file) in &node.rendered.files {
            let place = visible(path);
            match carrier::carried(path, file) {
                Err(why) => node.problems.push(format!("has `{place}`, which {why}")),
                Ok(Some(carried)) => add(&carried, &place, &mut node.streams, &mut node.problems),
                Ok(None) if path == TRUST_PATH => {
                    // Looked at by `carried` already.
                    node.trust = carrier::content(file).ok().and_then(|bytes| Trust::parse(&bytes).ok());
                }
                Ok(None) => {}
            }
        }
        if *place == Place::Loose {
            node.problems.extend(self.two_contents());
            self.add_bundles(place, &mut node);
        }
        node
    }

    /// Files of several Ignition configs, each for nodes of its own, that are not the same: one would hide the other.
    fn two_contents(&self) -> Vec<String> {
        let mut seen: BTreeMap<&str, &Value> = BTreeMap::new();
        let mut problems = BTreeSet::new();
        for config in self.configs.iter().filter(|config| config.role.is_none()) {
            for file in config.ignition.pointer("/storage/files").and_then(Value::as_array).into_iter().flatten() {
                let path = file.get("path").and_then(Value::as_str).unwrap_or_default();
                if seen.insert(path, file).is_some_and(|other| other != file) {
                    problems.insert(format!("has `{}` in two Ignition configs, with different values", visible(path)));
                }
            }
        }
        problems.into_iter().collect()
    }

    fn add_bundles(&self, place: &Place, node: &mut Node) {
        for (pool, bundle) in &self.bundles {
            let here = pool.clone().map_or(Place::Loose, Place::Image) == *place;
            let name = bundle.stream.as_deref().map_or_else(|| "a bundle".to_owned(), visible);
            if here {
                add(bundle, &name, &mut node.streams, &mut node.problems);
            }
        }
    }
}

fn names(path: &Path) -> Vec<&str> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    names.collect()
}

/// Pool of a bundle below `<pool>/rootfs/`, if the bundle is for that pool.
fn image_pool(path: &Path, carried: &Carried) -> Option<String> {
    let names = names(path);
    let root = names.iter().rposition(|name| *name == ROOT)?;
    let pool = *names.get(root.checked_sub(1)?)?;
    let (_, version) = version(carried).ok()?;
    version.accepted.pools.iter().any(|other| other.as_str() == pool).then(|| pool.to_owned())
}

fn add(carried: &Carried, place: &str, streams: &mut BTreeMap<String, Version>, problems: &mut Vec<String>) {
    match version(carried) {
        Err(why) => problems.push(format!("has `{place}`, which {why}")),
        Ok((stream, version)) => {
            if streams.insert(stream.clone(), version).is_some() {
                problems.push(format!("has two bundles of stream `{stream}`"));
            }
        }
    }
}

fn version(carried: &Carried) -> Result<(String, Version), String> {
    let unverified = Unverified::decode(&carried.bytes).map_err(|error| format!("is no bundle: {error}"))?;
    let accepted = unverified.inspect().map_err(|error| format!("is no bundle: {error}"))?;
    let stream = accepted.stream.to_string();
    if carried.stream.as_ref().is_some_and(|named| *named != stream) {
        return Err(format!("has stream `{stream}`"));
    }
    let parts = unverified.parts();
    let types = Types::of(&accepted, &parts.objects);
    let signers = parts.signatures.keys().copied().collect();
    Ok((stream, Version { accepted, types, signers, bundle: Sha256Digest::of(&carried.bytes) }))
}
