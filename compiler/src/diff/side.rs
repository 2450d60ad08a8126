//! Side: all that one side of a comparison holds.
//!
//! In:   files. Out: [`Side`], and what the nodes of a pool get of it.
//! May fail with: why a file cannot be read.

use std::{collections::BTreeMap, path::Path};

use nodeplan::{
    bundle::Unverified,
    digest::Sha256Digest,
    key::KeyId,
    statement::Accepted,
    trust::{Trust, TrustDocument},
};

use crate::{
    diag::visible,
    lower::install::TRUST_PATH,
    mco::{
        config::Config,
        policy::Policy,
        render::{self, Rendered},
    },
    sign::carrier::{self, Carried, Unreadable},
};

/// One side.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// MachineConfigs and Ignition configs.
    pub configs: Vec<Config>,
    /// Bundles that lie around.
    pub bundles: Vec<Carried>,
    /// The disruption policy, if there is one.
    pub policy: Option<Policy>,
}

/// What was signed, and by whom.
#[derive(Clone, Debug)]
pub struct Version {
    /// The plan with its statement.
    pub accepted: Accepted,
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
    pub trust: Option<TrustDocument>,
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
    /// Adds a file; whether it held anything. `named`: it must.
    pub fn add(&mut self, path: &Path, bytes: &[u8], named: bool) -> Result<bool, String> {
        let bundle = path.extension().is_some_and(|extension| extension == "bundle");
        if bundle || carrier::is_archive(bytes) {
            let why = |error| match error {
                Unreadable::Ours(why) | Unreadable::Foreign(why) => why,
            };
            self.bundles.extend(carrier::bundles(path, bytes).map_err(why)?);
            return Ok(true);
        }
        let documents = match carrier::documents(bytes) {
            Ok(documents) => documents,
            Err(Unreadable::Foreign(_)) if !named => return Ok(false),
            Err(Unreadable::Ours(why) | Unreadable::Foreign(why)) => return Err(why),
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut found = false;
        for document in &documents {
            if let Some(policy) = Policy::read(document) {
                self.policy = Some(policy?);
                found = true;
            } else if let Some(config) = Config::read(document, &name) {
                found = true;
                match config.role.as_deref() {
                    // What the operator rendered of others; `oc get machineconfig` prints them, too.
                    Some("") if config.name.starts_with("rendered-") => {}
                    Some("") => {
                        let name = visible(&config.name);
                        return Err(format!(
                            "has MachineConfig `{name}` without the label of a pool; none would get it"
                        ));
                    }
                    _ => self.configs.push(config),
                }
            }
        }
        if named && !found {
            return Err("has neither a bundle nor a MachineConfig, Ignition config or MachineConfiguration".to_owned());
        }
        Ok(found)
    }

    /// What nodes of `pool` get; `None` is for bundles and Ignition configs.
    pub fn node(&self, pool: Option<&str>) -> Node {
        let mut node = Node { rendered: render::render(&self.configs, pool), ..Node::default() };
        for (path, file) in &node.rendered.files {
            let place = visible(path);
            match carrier::carried(path, file) {
                Err(why) => node.problems.push(format!("has `{place}`, which {why}")),
                Ok(Some(carried)) => add(&carried, &place, &mut node.streams, &mut node.problems),
                Ok(None) if path == TRUST_PATH => {
                    // Looked at by `carried` already.
                    let trust = carrier::content(file).ok().and_then(|bytes| Trust::parse(&bytes).ok());
                    node.trust = trust.map(|trust| trust.document().clone());
                }
                Ok(None) => {}
            }
        }
        if pool.is_none() {
            for bundle in &self.bundles {
                let name = bundle.stream.as_deref().map_or_else(|| "a bundle".to_owned(), visible);
                add(bundle, &name, &mut node.streams, &mut node.problems);
            }
        }
        node
    }
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
    let signers = unverified.parts().signatures.keys().copied().collect();
    Ok((stream, Version { accepted, signers, bundle: Sha256Digest::of(&carried.bytes) }))
}
