//! `nodebpf trust add-key`, `revoke`, `floor`, `rotate-root`: small edits of `policy.yaml`, the source of truth.
//!
//! In:   a policy and what to change. Out: the policy with that change and the next version, everything else as it was.
//! The new text is parsed, and written only if it says exactly what it should.

use std::path::{Component, Path, PathBuf};

use nodeplan::{
    bundle::Unverified,
    digest::Sha256Digest,
    key::{KeyId, PublicKey},
    limits,
    name::{OwnerName, StreamName},
    plan::Revision,
    trust::TrustDocument,
};

use super::{
    Exit,
    args::{TrustAddKeyArgs, TrustFloorArgs, TrustRevokeArgs, TrustRotateRootArgs},
    exclusive::Exclusive,
    io::{self, DiskFiles, Input},
    session::{Session, WrongUsage},
    sign::read_public,
};
use crate::{
    describe::diff,
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
    manifest::decode_document,
    policy::{self, raw},
    sign::{
        carrier,
        edit::{self, Edit},
        key::public_from_pem,
    },
    source::SourceMap,
    suggest::nearest,
};

/// A policy: its text, where its values stand, and what it says.
struct Policy {
    /// From before it is read until it is written.
    hold: Exclusive,
    input: Input,
    text: String,
    raw: raw::Policy,
    document: TrustDocument,
}

fn read(path: &Path, session: &mut Session) -> anyhow::Result<Option<Policy>> {
    let Some(hold) = Exclusive::take(path, session) else { return Ok(None) };
    let input = io::read_input(path)?;
    let files = DiskFiles::from(&input.directory);
    let document = policy::parse(&input.name, &input.bytes, &files, &mut session.sources, &mut session.diags);
    // Again, for the places of its values; what is wrong with it was reported.
    let raw = decode_document::<raw::Policy>(
        &input.name,
        &input.bytes,
        "the policy",
        &mut SourceMap::default(),
        &mut Diagnostics::default(),
    );
    let text = String::from_utf8(input.bytes.clone()).ok();
    let (Some(document), Some(raw), Some(text)) = (document, raw, text) else { return Ok(None) };
    Ok(Some(Policy { hold, input, text, raw, document: document.trust }))
}

impl Policy {
    /// Makes `edit` if the new text then says `wanted`; reports what to write by hand otherwise.
    fn write(&self, edit: &Edit, mut wanted: TrustDocument, session: &mut Session) -> anyhow::Result<()> {
        wanted.version = self.document.version.saturating_add(1);
        wanted.format = wanted.lowest_format();
        let files = DiskFiles::from(&self.input.directory);
        let says = |text: &String| {
            let (mut sources, mut diags) = (SourceMap::default(), Diagnostics::default());
            policy::parse(&self.input.name, text.as_bytes(), &files, &mut sources, &mut diags)
        };
        let text = edit::apply(&self.text, &self.raw, edit, wanted.version);
        let Some(text) = text.filter(|text| says(text).is_some_and(|policy| policy.trust == wanted)) else {
            let message = format!("`{}` has no place where this can be written safely", shown(&self.input.name));
            session.diags.push(
                Diagnostic::error(Code::EditByHand, message)
                    .help(edit::by_hand(edit))
                    .help(format!("write `version: {}`", wanted.version)),
            );
            return Ok(());
        };
        if !self.hold.replace(Some(&self.input.bytes), text.as_bytes(), session)? {
            return Ok(());
        }
        session.say(&format!("`{}` now says:", self.input.name));
        for change in diff::trust_changes(&self.document, &wanted) {
            session.say(&format!("  {change}"));
        }
        session.say(&format!("next: nodebpf trust build {} -o trust.json{}", self.input.name, roots_of(&wanted)));
        Ok(())
    }
}

fn roots_of(document: &TrustDocument) -> &'static str {
    if document.roots.is_some() { " --root-key private.pem, or --pending" } else { "" }
}

/// How the policy writes the path of a file: relative to itself.
fn relative(policy: &Path, file: &Path) -> anyhow::Result<String> {
    let absolute = std::path::absolute(file)?;
    let base = std::path::absolute(policy)?;
    let base = base.parent().unwrap_or(Path::new("/"));
    let (from, to): (Vec<_>, Vec<_>) = (base.components().collect(), absolute.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to[common..].iter().copied()).collect();
    Ok(path.display().to_string())
}

pub(super) fn add_key(args: &TrustAddKeyArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let Some(policy) = read(&args.policy, session)? else { return Ok(session.exit()) };
    let Some(key) = read_public(&args.key, session)? else { return Ok(session.exit()) };
    let Some((name, owner)) = policy.document.owners.iter().find(|(name, _)| name.as_str() == args.owner) else {
        let near = nearest(&args.owner, policy.document.owners.keys().map(OwnerName::as_str));
        session.diags.push(
            Diagnostic::error(Code::UnknownOwner, format!("the policy has no owner `{}`", shown(&args.owner)))
                .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
        );
        return Ok(session.exit());
    };
    if policy.document.revoked_keys.contains(&key.id()) {
        session.diags.push(
            Diagnostic::error(
                Code::NotOwnersKey,
                format!("key {} is revoked, and stays so wherever it is listed", key.id()),
            )
            .help("make a new key: `nodebpf keygen -o keys`"),
        );
        return Ok(session.exit());
    }
    if owner.signers.keys.iter().any(|listed| listed.id() == key.id()) {
        session.say(&format!("owner {name} has key {} already; nothing changes", key.id()));
        return Ok(session.exit());
    }
    let Some(at) = policy.raw.spec.owners.value.iter().position(|raw| raw.name.value == args.owner) else {
        return Ok(session.exit());
    };
    let mut wanted = policy.document.clone();
    if let Some(owner) = wanted.owners.get_mut(name) {
        owner.signers.keys.push(key);
    }
    policy.write(&Edit::AddKey { owner: at, path: relative(&args.policy, &args.key)? }, wanted, session)?;
    Ok(session.exit())
}

/// What `revoke` is about.
enum Revoked {
    Key(KeyId),
    Statement(Sha256Digest),
}

pub(super) fn revoke(args: &TrustRevokeArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let Some(policy) = read(&args.policy, session)? else { return Ok(session.exit()) };
    let what = revoked(&args.what, &policy.document)?;
    let mut wanted = policy.document.clone();
    let (edit, new) = match what {
        Revoked::Key(id) => {
            if policy.document.roots.as_ref().is_some_and(|roots| roots.keys.iter().any(|key| key.id() == id)) {
                session.diags.push(
                    Diagnostic::error(Code::RootKeys, format!("key {id} is a root key; root keys are not revoked"))
                        .help("replace it: `nodebpf trust rotate-root OLD.pem NEW.pem`"),
                );
                return Ok(session.exit());
            }
            (Edit::RevokeKey(id), wanted.revoked_keys.insert(id))
        }
        Revoked::Statement(digest) => (Edit::RevokeBundle(digest), wanted.revoked_bundles.insert(digest)),
    };
    if !new {
        session.say("the policy says so already; nothing changes");
        return Ok(session.exit());
    }
    out_of_reach(&wanted, session);
    policy.write(&edit, wanted, session)?;
    Ok(session.exit())
}

fn revoked(what: &str, document: &TrustDocument) -> anyhow::Result<Revoked> {
    let usage = |message: String| anyhow::Error::from(WrongUsage(message));
    let digest =
        |text: &str| Sha256Digest::try_from(text).map_err(|error| usage(format!("`{}`: {error}", shown(what))));
    if let Some(id) = what.strip_prefix("key:") {
        return KeyId::try_from(id).map(Revoked::Key).map_err(|error| usage(format!("`{}`: {error}", shown(what))));
    }
    if let Some(statement) = what.strip_prefix("statement:") {
        return digest(statement).map(Revoked::Statement);
    }
    if let Ok(id) = KeyId::try_from(what) {
        let known = document.owners.values().flat_map(|owner| &owner.signers.keys).any(|key| key.id() == id);
        let roots = document.roots.iter().flat_map(|roots| &roots.keys).any(|key| key.id() == id);
        // Taken for the wrong one of the two it would revoke nothing, and nobody would notice.
        return if known || roots {
            Ok(Revoked::Key(id))
        } else {
            Err(usage(format!("no owner has key {id}: write `key:{id}`, or `statement:{id}` for a statement's digest")))
        };
    }
    let path = Path::new(what);
    let bytes = io::read_file(path, limits::BUNDLE_MAX_BYTES)?;
    if let Ok(key) = public_from_pem(&bytes) {
        return Ok(Revoked::Key(key.id()));
    }
    let statements = carrier::bundles(path, &bytes).ok().into_iter().flatten().filter_map(|carried| {
        Unverified::decode(&carried.bytes).ok().map(|bundle| Sha256Digest::of(bundle.statement()))
    });
    let mut statements: Vec<_> = statements.collect();
    statements.sort();
    statements.dedup();
    match statements.as_slice() {
        [one] => Ok(Revoked::Statement(*one)),
        [] => Err(usage(format!("`{}` is neither a public key nor does it carry a bundle", shown(what)))),
        several => Err(usage(format!("`{}` carries {} statements; name one", shown(what), several.len()))),
    }
}

fn out_of_reach(document: &TrustDocument, session: &mut Session) {
    for (name, owner) in &document.owners {
        let left = owner.signers.keys.iter().filter(|key| !document.revoked_keys.contains(&key.id())).count();
        if left < owner.signers.threshold {
            let message = format!("owner {name} has {left} keys left; {} must sign", owner.signers.threshold);
            session.diags.push(
                Diagnostic::warning(Code::OutOfReach, message)
                    .note("nodes will refuse every bundle of the owner, those that run included")
                    .help(format!("add one: `nodebpf trust add-key {name} public.pem`")),
            );
        }
    }
}

pub(super) fn floor(args: &TrustFloorArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let Some(policy) = read(&args.policy, session)? else { return Ok(session.exit()) };
    let usage = |error: String| anyhow::Error::from(WrongUsage(error));
    let stream = StreamName::try_from(args.stream.as_str()).map_err(|error| usage(error.to_string()))?;
    let revision = Revision::try_from(args.revision).map_err(|error| usage(error.to_string()))?;
    let globs: Vec<_> = policy.document.owners.values().flat_map(|owner| &owner.streams).collect();
    if !globs.iter().any(|glob| glob.matches(&stream)) {
        let known = one_of(globs.iter().map(|glob| glob.as_str()));
        session.diags.push(
            Diagnostic::error(Code::ForeignStream, format!("stream `{stream}` belongs to no owner of the policy"))
                .note(format!("owners have {known}")),
        );
        return Ok(session.exit());
    }
    match policy.document.floors.get(&stream) {
        Some(old) if *old == revision => {
            session.say("the policy says so already; nothing changes");
            return Ok(session.exit());
        }
        Some(old) if *old > revision => {
            session.diags.push(
                Diagnostic::error(
                    Code::FloorLowers,
                    format!("the floor of `{stream}` is {old}; {revision} is below it"),
                )
                .note("revisions that nodes must refuse would run again")
                .help("if that is wanted, edit `spec.floors` by hand, in a review of its own"),
            );
            return Ok(session.exit());
        }
        Some(_) | None => {}
    }
    let mut wanted = policy.document.clone();
    wanted.floors.insert(stream.clone(), revision);
    policy.write(&Edit::Floor(stream, revision), wanted, session)?;
    Ok(session.exit())
}

pub(super) fn rotate_root(args: &TrustRotateRootArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let Some(policy) = read(&args.policy, session)? else { return Ok(session.exit()) };
    let (old, new) = (read_public(&args.old, session)?, read_public(&args.new, session)?);
    let (Some(old), Some(new)) = (old, new) else { return Ok(session.exit()) };
    let mut wanted = policy.document.clone();
    let Some(roots) = &mut wanted.roots else {
        session.diags.push(
            Diagnostic::error(Code::RootKeys, "the policy has no `roots`")
                .help("write `roots: {keys: [root.pem]}` below `spec`"),
        );
        return Ok(session.exit());
    };
    let place = |key: &PublicKey, keys: &[PublicKey]| keys.iter().position(|listed| listed.id() == key.id());
    let Some(at) = place(&old, &roots.keys) else {
        session.diags.push(Diagnostic::error(Code::RootKeys, format!("key {} is not one of the root keys", old.id())));
        return Ok(session.exit());
    };
    if place(&new, &roots.keys).is_some() {
        session.diags.push(Diagnostic::error(Code::RootKeys, format!("key {} is a root key already", new.id())));
        return Ok(session.exit());
    }
    roots.keys[at] = new;
    policy.write(&Edit::ReplaceRoot { at, path: relative(&args.policy, &args.new)? }, wanted, session)?;
    session.say("the new version needs signatures of the old roots and of the new ones");
    Ok(session.exit())
}
