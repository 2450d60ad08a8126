//! Policy: `policy.yaml` to the trust document that nodes obey, and to the rules that are judged at the desk only.
//!
//! In:   text and the public key files it names. Out: [`Policy`].
//! May fail with: `NB01xx`, NB0201 to NB0206 (files), NB0301, NB0302, NB0305, NB0306 (names, numbers, lists),
//! NB0341 (threshold), NB0342 (streams overlap), NB0343 (band), NB0390 (pools), NB0396 (sizes), NB0650 (required
//! streams).
//!
//! Pure. Signing and the chain of versions: [`crate::sign::chain`].

pub mod desk;
pub mod neighbours;
pub mod raw;
mod required;

use nodeplan::sorted::{SortedMap, SortedSet};

use nodeplan::{
    digest::Sha256Digest,
    glob,
    hook::Hook,
    key::{KeyId, PublicKey},
    name::{Audience, IfGlob, OwnerName, StreamGlob, StreamName},
    priority::Band,
    trust::{HookRule, KeySet, Limits, OwnerTrust, TRUST_FORMAT, TrustDocument},
};

use crate::{
    check::{
        LIST_MAX_NAMES, all, metadata_names as names, metadata_revision as revision, name, not_empty, not_too_many,
        program_priority, unique,
    },
    diag::{Code, Diagnostic, Diagnostics, shown},
    manifest::decode_document,
    resolve::{Files, ReadError, explain},
    sign::key,
    source::{SourceMap, Span, Spanned},
    yaml::types::{List, Number, Text},
};

/// Largest key file, in bytes. Ours.
pub const KEY_FILE_MAX_BYTES: usize = 16 * 1024;

/// Most stream globs of all owners together. Ours.
const POLICY_MAX_GLOBS: usize = 2 * LIST_MAX_NAMES;

/// A sound policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What nodes obey.
    pub trust: TrustDocument,
    /// What is judged before anything reaches a node.
    pub desk: desk::Desk,
}

/// Reads a policy; `None` if an error was reported.
pub fn parse(
    file: &str,
    bytes: &[u8],
    files: &dyn Files,
    sources: &mut SourceMap,
    diags: &mut Diagnostics,
) -> Option<Policy> {
    let before = diags.error_count();
    let policy: raw::Policy = decode_document(file, bytes, "the policy", sources, diags)?;
    let document = document(&policy.spec, files, diags);
    let desk = desk::check(&policy.spec, diags);
    name::<StreamName>(&policy.metadata.name, "policy name", diags);
    let (trust, desk) = document.zip(desk).filter(|_| diags.error_count() == before)?;
    if let Err(error) = trust.check() {
        // Not reached as long as the checks above say the same with places.
        diags.push(Diagnostic::error(Code::BadTrust, error).at(policy.spec.version.span, "in this policy"));
        return None;
    }
    Some(Policy { trust, desk })
}

fn document(spec: &raw::Spec, files: &dyn Files, diags: &mut Diagnostics) -> Option<TrustDocument> {
    let version = u64::try_from(spec.version.value).ok().filter(|version| *version > 0);
    if version.is_none() {
        let message = format!("`version` must be at least 1, not {}", spec.version.value);
        diags.push(Diagnostic::error(Code::OutOfRange, message).at(spec.version.span, "out of range"));
    }
    let audiences = match &spec.audiences {
        Some(list) => names::<Audience>(list, "audiences", "audience", diags),
        None => Some(Vec::new()),
    };
    let owners = owners(&spec.owners, files, diags);
    let roots = match &spec.roots {
        Some(raw) => key_set(&raw.keys, raw.threshold.as_ref(), "the roots", files, diags).map(Some),
        None => Some(None),
    };
    let floors = floors(spec, diags);
    let revoked_keys = digests(spec.revoked_keys.as_ref(), "key id", diags, |text| KeyId::try_from(text).ok());
    let revoked_bundles =
        digests(spec.revoked_bundles.as_ref(), "digest", diags, |text| Sha256Digest::try_from(text).ok());
    if let (Some(Some(roots)), Some(revoked), Some(raw)) = (&roots, &revoked_keys, &spec.roots) {
        roots_in_reach(roots, revoked, raw.keys.span, diags);
    }
    let reserved = match &spec.reserved_interfaces {
        Some(list) => names::<IfGlob>(list, "reservedInterfaces", "interface", diags),
        None => Some(Vec::new()),
    };
    let mut reserved_interfaces: Vec<_> = reserved?.into_iter().map(|glob| glob.value).collect();
    reserved_interfaces.sort();
    let mut audiences: Vec<_> = audiences?.into_iter().map(|audience| audience.value).collect();
    audiences.sort();
    let (required_streams, hold_seconds) = required::check(spec, owners.as_ref(), diags)?;
    let mut document = TrustDocument {
        format: TRUST_FORMAT,
        version: version?,
        audiences,
        roots: roots?,
        owners: owners?,
        reserved_interfaces,
        required_streams,
        hold_seconds,
        floors: floors?,
        revoked_keys: revoked_keys?,
        revoked_bundles: revoked_bundles?,
    };
    document.format = document.lowest_format();
    Some(document)
}

/// Revoked root keys do not count: enough others must be left to sign the next version.
fn roots_in_reach(roots: &KeySet, revoked: &SortedSet<KeyId>, keys: Span, diags: &mut Diagnostics) {
    let left = roots.keys.iter().filter(|key| !revoked.contains(&key.id())).count();
    if left < roots.threshold {
        let message = format!("the roots have {left} keys that are not revoked; {} must sign", roots.threshold);
        diags.push(
            Diagnostic::error(Code::OutOfReach, message)
                .at(keys, "some of these stand in `revokedKeys`")
                .note("nodes would refuse this version, and no next one could be made")
                .help("replace a root key: `nodebpf trust rotate-root OLD.pem NEW.pem`"),
        );
    }
}

fn floors(spec: &raw::Spec, diags: &mut Diagnostics) -> Option<SortedMap<StreamName, nodeplan::plan::Revision>> {
    let Some(dict) = &spec.floors else { return Some(SortedMap::new()) };
    let floors = all(dict.0.iter().map(|(stream, floor)| {
        let stream = name::<StreamName>(stream, "stream name", diags);
        let floor = revision(floor, "floors", diags);
        Some((stream?.value, floor?.value))
    }))?;
    Some(floors.into_iter().collect())
}

fn digests<T: Ord>(
    list: Option<&List<Text>>,
    what: &str,
    diags: &mut Diagnostics,
    read: impl Fn(&str) -> Option<T>,
) -> Option<SortedSet<T>> {
    let Some(list) = list else { return Some(SortedSet::new()) };
    let items = all(list.value.iter().map(|item| {
        let digest = read(&item.value);
        if digest.is_none() {
            diags.push(
                Diagnostic::error(Code::BadName, format!("`{}` is not a {what}", shown(&item.value)))
                    .at(item.span, "must be 64 lower-case hexadecimal digits"),
            );
        }
        digest
    }))?;
    Some(items.into_iter().collect())
}

fn owners(
    list: &List<raw::Owner>,
    files: &dyn Files,
    diags: &mut Diagnostics,
) -> Option<SortedMap<OwnerName, OwnerTrust>> {
    // Every glob of one is compared with every one of the others.
    if !not_too_many(list.value.len(), LIST_MAX_NAMES, "owners", list.span, diags) {
        return None;
    }
    let globs = list.value.iter().map(|owner| owner.streams.value.len()).sum();
    if !not_too_many(globs, POLICY_MAX_GLOBS, "streams", list.span, diags) {
        return None;
    }
    let sound = not_empty(list, "owners", diags);
    unique(
        list.value.iter().map(|owner| (&owner.name.value, owner.name.span)),
        |name| format!("owner `{}`", shown(name)),
        diags,
    );
    let owners = all(list.value.iter().map(|owner| check_owner(owner, files, diags)));
    overlaps(list, diags);
    Some(owners?.into_iter().collect()).filter(|_| sound)
}

fn check_owner(raw: &raw::Owner, files: &dyn Files, diags: &mut Diagnostics) -> Option<(OwnerName, OwnerTrust)> {
    let name = name::<OwnerName>(&raw.name, "owner", diags);
    let whose = format!("owner `{}`", shown(&raw.name.value));
    let signers = key_set(&raw.keys, raw.threshold.as_ref(), &whose, files, diags);
    let streams = names::<StreamGlob>(&raw.streams, "streams", "stream glob", diags);
    let hooks = hooks(&raw.hooks, diags);
    let limits = match &raw.limits {
        Some(raw) => limits(raw, diags),
        None => Some(Limits::default()),
    };
    let may_close = raw.may_close.as_ref().is_some_and(|flag| flag.value);
    // Sorted: the order in a list of globs means nothing, and must not be another trust document.
    let mut streams: Vec<_> = streams?.into_iter().map(|glob| glob.value).collect();
    streams.sort();
    let (signers, hooks) = (signers?, hooks?);
    Some((name?.value, OwnerTrust { signers, streams, hooks, may_close, limits: limits? }))
}

fn limits(raw: &raw::Limits, diags: &mut Diagnostics) -> Option<Limits> {
    let programs = match &raw.programs {
        None => Some(None),
        Some(number) => {
            let programs = u32::try_from(number.value).ok().filter(|programs| *programs > 0);
            if programs.is_none() {
                let message = format!("`programs` must be from 1 to {}, not {}", u32::MAX, number.value);
                diags.push(Diagnostic::error(Code::OutOfRange, message).at(number.span, "out of range"));
            }
            programs.map(Some)
        }
    };
    let map_bytes = match &raw.map_bytes {
        None => Some(None),
        Some(size) => desk::size(size, "mapBytes", diags).map(Some),
    };
    Some(Limits { programs: programs?, map_bytes: map_bytes? })
}

fn hooks(raw: &raw::Hooks, diags: &mut Diagnostics) -> Option<SortedMap<Hook, HookRule>> {
    let mut hooks = SortedMap::new();
    let mut sound = true;
    for (hook, rule) in [(Hook::Xdp, &raw.xdp), (Hook::Tc, &raw.tc)] {
        let Some(rule) = rule else { continue };
        match band(&rule.band, "band", diags) {
            Some(band) => drop(hooks.insert(hook, HookRule { band: Some(band) })),
            None => sound = false,
        }
    }
    for (hook, rule) in [
        (Hook::Cgroup, &raw.cgroup),
        (Hook::Tracepoint, &raw.tracepoint),
        (Hook::RawTracepoint, &raw.raw_tracepoint),
        (Hook::BtfTracepoint, &raw.btf_tracepoint),
        (Hook::Kprobe, &raw.kprobe),
        (Hook::Kretprobe, &raw.kretprobe),
        (Hook::Fentry, &raw.fentry),
        (Hook::Fexit, &raw.fexit),
        (Hook::Lsm, &raw.lsm),
    ] {
        if rule.is_some() {
            hooks.insert(hook, HookRule { band: None });
        }
    }
    Some(hooks).filter(|_| sound)
}

fn band(list: &List<Spanned<i64>>, key: &str, diags: &mut Diagnostics) -> Option<Band> {
    let priorities = all(list.value.iter().map(|number| program_priority(number, diags)))?;
    let [first, last] = priorities.as_slice() else {
        let message = format!("`{key}` has {} numbers; it must have two", priorities.len());
        diags.push(
            Diagnostic::error(Code::BadBand, message)
                .at(list.span, "must be the first and the last priority")
                .help(format!("for example `{key}: [500, 599]`")),
        );
        return None;
    };
    let band = Band::try_from([first.value, last.value]);
    if let Err(error) = &band {
        diags.push(
            Diagnostic::error(Code::BadBand, error)
                .at(last.span, "lies before the first")
                .help(format!("write `{key}: [{}, {}]`", last.value, first.value)),
        );
    }
    band.ok()
}

/// Keys in written order; nodes look them up by id.
fn key_set(
    list: &List<Text>,
    threshold: Option<&Number>,
    whose: &str,
    files: &dyn Files,
    diags: &mut Diagnostics,
) -> Option<KeySet> {
    if !not_too_many(list.value.len(), LIST_MAX_NAMES, "keys", list.span, diags) {
        return None;
    }
    let sound = not_empty(list, "keys", diags);
    let keys = all(list.value.iter().map(|path| read_key(path, files, diags)));
    if let Some(keys) = &keys {
        let ids = keys.iter().zip(&list.value).map(|(key, path)| (key.id(), path.span));
        unique(ids, |id| format!("key {id}"), diags);
    }
    let count = list.value.len();
    let number = threshold.map_or(1, |number| number.value);
    let valid = usize::try_from(number).ok().filter(|number| (1..=count).contains(number));
    if let (None, Some(written)) = (valid, threshold) {
        diags.push(
            Diagnostic::error(Code::Threshold, format!("the threshold of {whose} is {number}; keys listed: {count}"))
                .at(written.span, "must be from 1 to the number of keys")
                .also(list.span, "these keys")
                .help(format!("write `threshold: {}`, or list more keys", count.max(1))),
        );
    }
    Some(KeySet { keys: keys?, threshold: valid? }).filter(|_| sound)
}

fn read_key(path: &Text, files: &dyn Files, diags: &mut Diagnostics) -> Option<PublicKey> {
    let bytes = files
        .read(&path.value, KEY_FILE_MAX_BYTES)
        .map_err(|error| {
            let missing = matches!(error, ReadError::Missing);
            let help = missing.then_some("correct the path, or make a key pair: `nodebpf keygen -o keys`");
            diags.push(explain(&error, path, "key file").maybe_help(help));
        })
        .ok()?;
    key::public_from_pem(&bytes)
        .map_err(|error| {
            diags.push(
                Diagnostic::error(Code::NotAPublicKey, format!("key file `{}` {error}", shown(&path.value)))
                    .at(path.span, "")
                    .help("name a public.pem as `nodebpf keygen` or `openssl ec -pubout` writes it"),
            );
        })
        .ok()
}

/// Two owners must not be able to claim one stream.
fn overlaps(list: &List<raw::Owner>, diags: &mut Diagnostics) {
    for (at, owner) in list.value.iter().enumerate() {
        for other in list.value[..at].iter().filter(|other| other.name.value != owner.name.value) {
            for (glob, other_glob) in
                owner.streams.value.iter().flat_map(|a| other.streams.value.iter().map(move |b| (a, b)))
            {
                if glob::overlap(&glob.value, &other_glob.value) {
                    diags.push(
                        Diagnostic::error(
                            Code::StreamsOverlap,
                            format!(
                                "`{}` and `{}` both match some stream",
                                shown(&glob.value),
                                shown(&other_glob.value)
                            ),
                        )
                        .at(glob.span, format_args!("of owner `{}`", shown(&owner.name.value)))
                        .also(other_glob.span, format_args!("of owner `{}`", shown(&other.name.value)))
                        .help("give each owner a prefix of its own, such as `netops-*`"),
                    );
                }
            }
        }
    }
}
