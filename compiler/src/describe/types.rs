//! Types of a plan's values, by the BTF of its objects.
//!
//! In:   objects by digest. Out: [`Types`], which say what bytes of globals and map entries mean. Cannot fail: what an
//! object does not tell stays bytes.
//!
//! Only objects whose digest the plan names are read, so that the words are about what nodes run.

use std::collections::BTreeMap;

use nodeplan::{
    digest::Sha256Digest,
    name::MapName,
    plan::{NodePlan, Objects, Program},
    sorted::SortedMap,
};

use super::values::{network, written};
use crate::object::{self, map::MapType, shape::Shape};

/// C types of globals and maps.
#[derive(Clone, Debug, Default)]
pub struct Types {
    /// By object and name.
    globals: BTreeMap<(Sha256Digest, String), Shape>,
    /// By name: a plan has one map of a name.
    maps: BTreeMap<String, (MapType, Shape, Shape)>,
}

impl Types {
    /// The types in those of `objects` that `plan` names.
    pub fn of(plan: &NodePlan, objects: &SortedMap<Sha256Digest, Vec<u8>>) -> Self {
        let mut types = Self::default();
        for digest in plan.programs.iter().filter_map(digest) {
            let Some(facts) = objects.get(&digest).and_then(|bytes| object::read(bytes).ok()) else { continue };
            types.globals.extend(facts.globals.into_iter().map(|global| ((digest, global.name), global.shape)));
            types.maps.extend(facts.maps.into_iter().map(|map| (map.name, (map.map_type, map.key, map.value))));
        }
        types
    }

    /// The value of a program's global in words.
    pub(super) fn global(&self, program: &Program, name: &str, bytes: &[u8]) -> Option<String> {
        let shape = self.globals.get(&(digest(program)?, name.to_owned()))?;
        Some(written(bytes, shape))
    }

    /// Key and value of an entry in words.
    pub(super) fn entry(&self, map: &MapName, key: &[u8], value: &[u8]) -> Option<(String, String)> {
        let (map_type, key_shape, value_shape) = self.maps.get(map.as_str())?;
        let trie = (*map_type == MapType::LPM_TRIE).then(|| network(key)).flatten();
        Some((trie.unwrap_or_else(|| written(key, key_shape)), written(value, value_shape)))
    }
}

/// The object of a program, or one of those per architecture: their variables and maps have equal types.
fn digest(program: &Program) -> Option<Sha256Digest> {
    match &program.object {
        Objects::One(one) => Some(one.sha256),
        Objects::PerArchitecture(objects) => objects.iter().next().map(|(_, one)| one.sha256),
    }
}
