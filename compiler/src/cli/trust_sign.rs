//! `nodebpf trust sign`: a root signature for the version of a trust file that waits.

use std::path::Path;

use nodeplan::{digest::Sha256Digest, key::KeyId, limits, sorted::SortedMap};

use super::{
    Exit,
    args::TrustSignArgs,
    compile::{no_key_for, read_keys},
    exclusive::Exclusive,
    io,
    session::Session,
    sign::{attached, external, prepared, read_public},
    trust::{pending_path, put},
};
use crate::{
    describe,
    diag::{Code, Diagnostic, shown},
    policy::KEY_FILE_MAX_BYTES,
    sign::{Signer as _, pending::Pending},
};

pub(super) fn run(args: &TrustSignArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if args.root_keys.is_empty() && args.attach.is_none() && !args.prepare && !args.dry_run {
        session.diags.push(no_key_for("--root-key"));
        return Ok(Exit::Usage);
    }
    // From before the file is read until it is written: two holders of keys may sign on one share.
    let Some(_hold) = Exclusive::take(&args.trust, session) else { return Ok(session.exit()) };
    let Some(pending) = read(&args.trust, session)? else { return Ok(session.exit()) };
    show(&pending, session);
    if args.dry_run {
        return Ok(session.exit());
    }
    if let (true, Some(out)) = (args.prepare, &args.out) {
        if !prepared(out, pending.message(), session)? {
            return Ok(session.exit());
        }
        io::print(format!("{}  {}\n", Sha256Digest::of(pending.message()), out.display()).as_bytes())?;
        for line in external(out, &format!("nodebpf trust sign {}", args.trust.display())) {
            session.say(&line);
        }
        return Ok(session.exit());
    }
    let Some(signatures) = signatures(args, &pending, session)? else { return Ok(session.exit()) };
    let mut signed = pending;
    for (id, signature) in signatures {
        if signed.has_signed(id) {
            session.say(&format!("key {id} has signed this already; nothing changes"));
        } else {
            signed = signed.with_signature(id, &signature);
            session.say(&format!("signed by root key {id}"));
        }
    }
    put(&signed, &args.trust, session)?;
    Ok(session.exit())
}

/// What waits beside the trust file, and follows it; `None` after a report.
fn read(trust: &Path, session: &mut Session) -> anyhow::Result<Option<Pending>> {
    let path = pending_path(trust);
    let name = shown(&path.display().to_string());
    let Some(bytes) = io::read_if_present(&path, limits::TRUST_MAX_BYTES)? else {
        session.diags.push(
            Diagnostic::error(Code::NothingPending, format!("there is no `{name}`"))
                .help(format!("begin a version: `nodebpf trust build policy.yaml -o {} --pending`", trust.display())),
        );
        return Ok(None);
    };
    let begin_again = "begin it again with `nodebpf trust build policy.yaml --pending`";
    let pending = match Pending::read(&bytes) {
        Ok(pending) => pending,
        Err(error) => {
            let message = format!("`{name}` is not a trust file that waits: {error}");
            session.diags.push(Diagnostic::error(Code::BadTrust, message).help(begin_again));
            return Ok(None);
        }
    };
    let current = io::read_if_present(trust, limits::TRUST_MAX_BYTES)?;
    // A first version may replace a trust file without root keys: that one is no anchor of anything.
    let follows = pending.before().is_none_or(|before| current.as_deref() == Some(before.as_slice()));
    if !follows {
        let message = format!("`{name}` does not follow `{}` any more", shown(&trust.display().to_string()));
        session.diags.push(
            Diagnostic::error(Code::BadTrust, message)
                .note("the trust file has changed since the version was begun")
                .help(begin_again),
        );
        return Ok(None);
    }
    Ok(Some(pending))
}

fn show(pending: &Pending, session: &Session) {
    if let Some(previous) = pending.previous() {
        session.say(&format!("what changes against version {}:", previous.version));
        for change in describe::diff::trust_changes(previous, pending.document()) {
            session.say(&format!("  {change}"));
        }
    } else {
        session.say("what is signed, the first version with root keys:");
        for line in describe::trust::lines(pending.document()) {
            session.say(&format!("  {line}"));
        }
    }
    session.say(&format!("bytes sha256 {}", Sha256Digest::of(pending.message())));
}

/// Signatures to add, all by root keys; `None` after a report.
fn signatures(
    args: &TrustSignArgs,
    pending: &Pending,
    session: &mut Session,
) -> anyhow::Result<Option<SortedMap<KeyId, Vec<u8>>>> {
    let mut found = SortedMap::new();
    if let (Some(signature), Some(public)) = (&args.attach, &args.public_key) {
        let bytes = io::read_file(signature, KEY_FILE_MAX_BYTES)?;
        if let Some(key) = read_public(public, session)?
            && let Some(der) = attached(&bytes, &key, pending.message(), session)
        {
            found.insert(key.id(), der);
        }
    } else {
        for key in read_keys(&args.root_keys, session)? {
            found.insert(key.public().id(), key.sign(pending.message()));
        }
    }
    for (id, _) in &found {
        if pending.root(*id).is_none() {
            session.diags.push(
                Diagnostic::error(Code::RootKeys, format!("key {id} is not one of the root keys"))
                    .note("neither the version that waits nor the one before lists it"),
            );
        }
    }
    Ok((!session.diags.has_errors()).then_some(found))
}
