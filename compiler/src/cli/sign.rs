//! `nodebpf sign`: a signature for a manifest's statement, or for a bundle.
//!
//! In:   a manifest or bundle, and keys or what an external signer made. Out: `<key id>.sig` beside the manifest, or a
//! bundle with one more signature. Before that, in plain words on stderr: what is signed, and what changes.

use std::path::Path;

use nodeplan::{
    bundle::{self, Parts, Refusal, Unverified},
    digest::Sha256Digest,
    key::{KeyId, PublicKey},
    limits,
    plan::NodePlan,
    sorted::{SortedMap, SortedSet},
    statement,
    trust::{PolicyRefusal, TrustDocument},
};

use super::{
    Exit,
    args::SignArgs,
    compile::{no_key_for, read_keys, warn_of_test_key},
    exclusive::Exclusive,
    front::{self, Judge, Rules},
    io,
    session::{Session, WrongUsage},
    signatures, write,
};
use crate::{
    describe::{self, Types, diff},
    diag::{Code, Diagnostic, Diagnostics, shown},
    policy::KEY_FILE_MAX_BYTES,
    sign::{
        Signer,
        key::{FileKey, public_from_pem},
        store::{self, Earlier, ReadSignatureError, StoredFile},
    },
};

/// What is to be signed.
struct Subject {
    plan: NodePlan,
    statement: Vec<u8>,
    digest: Sha256Digest,
    /// What its values mean.
    types: Types,
    /// The bundle it came from; a manifest otherwise.
    bundle: Option<Parts>,
}

/// Where signatures come from.
enum By {
    Keys(Vec<FileKey>),
    /// An external signer's public key and the content of its file.
    Attached(PublicKey, Vec<u8>),
    /// Nobody yet.
    Nobody,
}

impl By {
    fn public(&self) -> Vec<&PublicKey> {
        match self {
            Self::Keys(keys) => keys.iter().map(Signer::public).collect(),
            Self::Attached(key, _) => vec![key],
            Self::Nobody => Vec::new(),
        }
    }
}

pub(super) fn run(args: &SignArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if args.keys.is_empty() && args.attach.is_none() && !args.prepare && !args.dry_run {
        session.diags.push(no_key_for("--key"));
        return Ok(Exit::Usage);
    }
    let Ok(rules) = front::rules(&args.rules, session)? else { return Ok(session.exit()) };
    // From before it is read until it is written: a bundle gets one more signature in place.
    let target = args.out.as_ref().unwrap_or(&args.subject);
    let Some(_hold) = Exclusive::take(target, session) else { return Ok(session.exit()) };
    let subject = read_subject(args, rules.as_ref(), session)?;
    let rules = rules.map(|rules| rules.trust);
    let by = read_by(args, session)?;
    let (Some(subject), Some(by)) = (subject, by) else { return Ok(session.exit()) };
    if args.out.is_some() && subject.bundle.is_none() && !args.prepare {
        let message = "`--out` is for bundles and `--prepare`; a manifest's signatures go to `--signatures DIR`";
        return Err(WrongUsage(message.to_owned()).into());
    }
    may_sign(&subject, &by, rules.as_ref(), session);
    show(&subject, &by, args, rules.as_ref(), session)?;
    if !session.sound(args.strict) || args.dry_run {
        return Ok(session.exit());
    }
    match (&by, &args.out) {
        (By::Nobody, Some(out)) => prepare(&subject, &args.subject, out, session)?,
        _ => add(&subject, &by, args, rules.as_ref(), session)?,
    }
    session.sound(args.strict);
    Ok(session.exit())
}

fn read_subject(args: &SignArgs, rules: Option<&Rules>, session: &mut Session) -> anyhow::Result<Option<Subject>> {
    let path = &args.subject;
    if path != Path::new("-") && is_bundle(path)? {
        return read_bundle(path, rules.map(|rules| &rules.trust), session);
    }
    let judge =
        Judge { rules, moment: front::moment(args.rules.at), written: None, releases: Vec::new(), kernels: &[] };
    let front = front::load(std::slice::from_ref(path), &judge, session)?.pop();
    Ok(front.filter(|_| !session.diags.has_errors()).map(|front| {
        let statement = statement::encode(&front.plan);
        let digest = Sha256Digest::of(&statement);
        let types = Types::of(&front.plan, front.checked.objects());
        Subject { plan: front.plan, statement, digest, types, bundle: None }
    }))
}

fn is_bundle(path: &Path) -> anyhow::Result<bool> {
    let named = path.extension().is_some_and(|extension| extension == "bundle");
    Ok(named || io::read_file(path, limits::BUNDLE_MAX_BYTES)?.get(257..262) == Some(b"ustar"))
}

fn read_bundle(path: &Path, rules: Option<&TrustDocument>, session: &mut Session) -> anyhow::Result<Option<Subject>> {
    let bytes = io::read_file(path, limits::BUNDLE_MAX_BYTES)?;
    if bytes.is_empty() {
        let message = format!("`{}` is empty", shown(&path.display().to_string()));
        session.diags.push(Diagnostic::error(nodeplan::report::Code::BundleDamaged, message));
        return Ok(None);
    }
    let read = Unverified::decode(&bytes).and_then(|bundle| Ok((bundle.inspect()?, bundle.parts())));
    let (accepted, parts) = match read {
        Ok(read) => read,
        Err(refusal) => {
            let message = format!("`{}`: {refusal}", shown(&path.display().to_string()));
            session.diags.push(Diagnostic::error(refusal.code(), message));
            return Ok(None);
        }
    };
    if let Some(rules) = rules {
        let all = rules.owners.get(&accepted.owner).map(|owner| owner.signers.keys.iter().map(PublicKey::id).collect());
        if let Err(refusal) = rules.authorize(&accepted, &all.unwrap_or_default()) {
            let refusal = Refusal::Policy(refusal);
            session.diags.push(Diagnostic::error(refusal.code(), format!("nodes would refuse the bundle: {refusal}")));
            return Ok(None);
        }
    }
    let (digest, plan) = (accepted.digest(), NodePlan::clone(&accepted));
    let types = Types::of(&plan, &parts.objects);
    Ok(Some(Subject { plan, statement: parts.statement.clone(), digest, types, bundle: Some(parts) }))
}

fn read_by(args: &SignArgs, session: &mut Session) -> anyhow::Result<Option<By>> {
    let (Some(signature), Some(public)) = (&args.attach, &args.public_key) else {
        let keys = read_keys(&args.keys, session)?;
        warn_of_test_key(&keys, session);
        return Ok(Some(if keys.is_empty() { By::Nobody } else { By::Keys(keys) }));
    };
    let signature = io::read_file(signature, KEY_FILE_MAX_BYTES)?;
    let key = read_public(public, session)?;
    Ok(key.map(|key| By::Attached(key, signature)))
}

/// A PEM public key; `None` after a report.
pub(super) fn read_public(path: &Path, session: &mut Session) -> anyhow::Result<Option<PublicKey>> {
    let bytes = io::read_file(path, KEY_FILE_MAX_BYTES)?;
    let key = public_from_pem(&bytes).map_err(|error| {
        let message = format!("key file `{}` {error}", shown(&path.display().to_string()));
        session.diags.push(
            Diagnostic::error(Code::NotAPublicKey, message)
                .help("name a public.pem as `nodebpf keygen`, `openssl ec -pubout` or cosign writes it"),
        );
    });
    Ok(key.ok())
}

/// Whoever signs must be one of the owner's.
fn may_sign(subject: &Subject, by: &By, rules: Option<&TrustDocument>, session: &mut Session) {
    let Some(rules) = rules else { return };
    let refused = |key: &PublicKey| store::refused(rules, &subject.plan.owner, key.id());
    session.diags.extend(by.public().into_iter().filter_map(refused));
}

fn show(
    subject: &Subject,
    by: &By,
    args: &SignArgs,
    rules: Option<&TrustDocument>,
    session: &mut Session,
) -> anyhow::Result<()> {
    session.say("what is signed:");
    for line in describe::lines(&subject.plan, &subject.types) {
        session.say(&format!("  {line}"));
    }
    session.say(&format!("  statement sha256 {}", subject.digest));
    let mut keys = by.public();
    let owner = rules.and_then(|rules| rules.owners.get(&subject.plan.owner));
    keys.extend(owner.into_iter().flat_map(|owner| &owner.signers.keys));
    let root = signatures::root(args.signatures.as_deref(), &args.subject);
    let earlier = signatures::earlier(&root, &subject.plan.stream, subject.digest, &keys, session)?;
    let signed = signed_so_far(subject, args, rules)?;
    // That the statement itself is signed says enough, where nothing was before it.
    if signed.is_none() || !earlier.is_empty() {
        for line in against(subject, &earlier) {
            session.say(&line);
        }
    }
    if let Some(line) = signed {
        session.say(&line);
    }
    if let Some(again) = earlier.iter().find(|earlier| earlier.accepted.revision == subject.plan.revision) {
        let message = format!("revision {} was signed with other content", subject.plan.revision);
        session.diags.push(
            Diagnostic::warning(Code::RevisionAgain, message)
                .note(format!("statement {} has the same revision", again.accepted.digest()))
                .note("nodes accept both; floors and reports cannot tell them apart")
                .help("raise `metadata.revision`"),
        );
    }
    Ok(())
}

/// Who has signed this very statement; `None` if nobody has.
fn signed_so_far(subject: &Subject, args: &SignArgs, rules: Option<&TrustDocument>) -> anyhow::Result<Option<String>> {
    let present = present(subject, args)?;
    let owner = rules.and_then(|rules| Some((rules, rules.owners.get(&subject.plan.owner)?)));
    let (ids, standing): (Vec<KeyId>, _) = match owner {
        Some((rules, owner)) => {
            // What does not count is reported when a signature is added.
            let mut unheard = Diagnostics::default();
            let found = store::load(&present, &subject.statement, &subject.plan.owner, rules, &mut unheard);
            let ids: Vec<_> = found.keys().copied().collect();
            let standing = format!("{} of {}", ids.len().min(owner.signers.threshold), owner.signers.threshold);
            (ids, standing)
        }
        None => (present.iter().filter_map(|file| store::key_of(&file.name)).collect(), "not checked".to_owned()),
    };
    let keys: Vec<_> = ids.iter().map(|id| format!("key {id}")).collect();
    Ok((!keys.is_empty()).then(|| format!("this statement: signed by {} ({standing})", keys.join(" and "))))
}

/// Signatures of the statement that are there: in the bundle, or beside the manifest.
fn present(subject: &Subject, args: &SignArgs) -> anyhow::Result<Vec<StoredFile>> {
    if let Some(parts) = &subject.bundle {
        return Ok(members(&args.subject, parts));
    }
    let root = signatures::root(args.signatures.as_deref(), &args.subject);
    signatures::read(&signatures::folder(&root, &subject.plan.stream, subject.digest))
}

/// What changes against what was signed last.
fn against(subject: &Subject, earlier: &[Earlier]) -> Vec<String> {
    let Some(last) = store::last(earlier) else {
        return vec!["nothing of this stream was signed here before".to_owned()];
    };
    let (revision, digest) = (last.accepted.revision, last.accepted.digest());
    let doubt = if last.checked { "" } else { "; its signatures were not checked" };
    let mut lines = vec![format!("what changes against revision {revision} (statement {digest}{doubt}):")];
    if revision > subject.plan.revision {
        lines.push(format!("  this goes back: revision {} is below {revision}", subject.plan.revision));
    }
    lines.extend(diff::changes(&last.accepted, &subject.plan).iter().map(|change| format!("  {change}")));
    lines
}

fn prepare(subject: &Subject, path: &Path, out: &Path, session: &mut Session) -> anyhow::Result<()> {
    let bytes = bundle::to_sign(&subject.statement);
    if !prepared(out, &bytes, session)? {
        return Ok(());
    }
    io::print(format!("{}  {}\n", Sha256Digest::of(&bytes), out.display()).as_bytes())?;
    for line in external(out, &format!("nodebpf sign {}", path.display())) {
        session.say(&line);
    }
    Ok(())
}

/// Writes what an external signer signs, unless a file with other content is there; `false` after a report.
pub(super) fn prepared(out: &Path, bytes: &[u8], session: &mut Session) -> anyhow::Result<bool> {
    match io::read_if_present(out, limits::BUNDLE_MAX_BYTES)? {
        Some(old) if old == bytes => {}
        Some(_) => {
            session.diags.push(would_replace(out, "it is not what is to be signed now"));
            return Ok(false);
        }
        None => write::replace(out, bytes)?,
    }
    Ok(true)
}

fn would_replace(out: &Path, why: &str) -> Diagnostic {
    let path = shown(&out.display().to_string());
    Diagnostic::error(Code::WouldReplace, format!("`{path}` is there already"))
        .note(why)
        .help(format!("name another file with `-o`, or move this one away: `mv {path} {path}.old`"))
}

/// What to run outside.
pub(super) fn external(bytes: &Path, back: &str) -> Vec<String> {
    let bytes = bytes.display();
    vec![
        format!("sign the bytes of `{bytes}` with ECDSA P-256 over SHA-256; for example"),
        format!("  openssl dgst -sha256 -sign private.pem -out key.sig {bytes}"),
        format!(
            "  openssl dgst -provider pkcs11 -provider default -sha256 -sign 'pkcs11:object=bpf' -out key.sig {bytes}"
        ),
        format!(
            "  cosign sign-blob --key cosign.key --bundle key.sig --use-signing-config=false --tlog-upload=false {bytes}"
        ),
        "a key management service that signs digests takes the SHA-256 above; then bring the signature back:"
            .to_owned(),
        format!("  {back} --attach key.sig --public-key public.pem"),
    ]
}

fn add(
    subject: &Subject,
    by: &By,
    args: &SignArgs,
    rules: Option<&TrustDocument>,
    session: &mut Session,
) -> anyhow::Result<()> {
    let Some(new) = make(&subject.statement, by, session) else { return Ok(()) };
    let root = signatures::root(args.signatures.as_deref(), &args.subject);
    let folder = signatures::folder(&root, &subject.plan.stream, subject.digest);
    let present = present(subject, args)?;
    let (ours, others): (Vec<_>, Vec<_>) =
        present.into_iter().partition(|file| store::key_of(&file.name).is_some_and(|id| new.contains_key(&id)));
    let mut signed: SortedSet<KeyId> = match rules {
        Some(rules) => {
            let counted = store::load(&others, &subject.statement, &subject.plan.owner, rules, &mut session.diags);
            counted.keys().copied().collect()
        }
        None => SortedSet::new(),
    };
    if !session.sound(args.strict) {
        return Ok(());
    }
    // A file of ours with another sound signature of the same key is as good as a new one.
    let message = bundle::to_sign(&subject.statement);
    let (mut added, mut fresh) = (SortedMap::new(), Vec::new());
    for key in by.public() {
        let old = ours.iter().find(|file| store::key_of(&file.name) == Some(key.id()));
        if old.is_some_and(|file| key.verify(&message, &file.bytes).is_ok()) {
            session.say(&format!("key {} has signed this already; nothing changes", key.id()));
        } else {
            added.extend(new.get(&key.id()).map(|signature| (key.id(), signature.clone())));
            fresh.push(key.id());
        }
        signed.insert(key.id());
    }
    match &subject.bundle {
        Some(parts) => {
            let mut parts = parts.clone();
            parts.signatures.extend(added);
            let changed = !fresh.is_empty() || args.out.is_some();
            if !write_bundle(&parts, changed.then(|| args.out.as_ref().unwrap_or(&args.subject)), rules, session)? {
                return Ok(());
            }
        }
        None => signatures::write(&folder, &subject.statement, &added)?,
    }
    for id in fresh {
        session.say(&format!("signed by key {id}"));
    }
    if let Some(rules) = rules {
        standing(&subject.plan, rules, &signed, session);
    }
    Ok(())
}

/// Signatures of `by`; `None` after a report.
fn make(statement: &[u8], by: &By, session: &mut Session) -> Option<SortedMap<KeyId, Vec<u8>>> {
    let message = bundle::to_sign(statement);
    match by {
        By::Keys(keys) => Some(keys.iter().map(|key| (key.public().id(), key.sign(&message))).collect()),
        By::Nobody => Some(SortedMap::new()),
        By::Attached(key, bytes) => {
            attached(bytes, key, &message, session).map(|der| SortedMap::from([(key.id(), der)]))
        }
    }
}

/// An external signer's signature in DER; `None` after a report.
pub(super) fn attached(bytes: &[u8], key: &PublicKey, message: &[u8], session: &mut Session) -> Option<Vec<u8>> {
    let error = match store::read_signature(bytes, key, message) {
        Ok(der) => return Some(der),
        Err(error) => error,
    };
    session.diags.push(match error {
        ReadSignatureError::Form => Diagnostic::error(
            Code::NotASignature,
            format!("the file of `--attach` ({} bytes) is not a signature", bytes.len()),
        )
        .note("wanted: ECDSA P-256 in DER, or 64 bytes r and s, or base64 of either, or a sigstore bundle"),
        ReadSignatureError::Verify => {
            let message = format!("the signature does not verify with key {}", key.id());
            Diagnostic::error(Code::BadSignature, message)
                .note("another key made it, or it is over other bytes: the manifest may have changed since `--prepare`")
                .help("run `--prepare` again and compare the SHA-256 that it prints")
        }
    });
    None
}

fn members(path: &Path, parts: &Parts) -> Vec<StoredFile> {
    let file = |(id, bytes): (&KeyId, &Vec<u8>)| {
        let name = store::file_name(*id);
        StoredFile { path: format!("{}: signatures/{name}", path.display()), name, bytes: bytes.clone() }
    };
    parts.signatures.iter().map(file).collect()
}

/// Writes the bundle unless nodes would refuse it for more than missing signatures; `false` after a report.
fn write_bundle(
    parts: &Parts,
    out: Option<&std::path::PathBuf>,
    rules: Option<&TrustDocument>,
    session: &mut Session,
) -> anyhow::Result<bool> {
    let bytes = parts.encode();
    let judged = Unverified::decode(&bytes).and_then(|bundle| match rules {
        Some(rules) => bundle.verify(rules).map(drop),
        None => Ok(()),
    });
    match judged {
        // Others have yet to sign, perhaps in place of a key that was revoked.
        Ok(()) | Err(Refusal::Policy(PolicyRefusal::Signers { .. }) | Refusal::RevokedKey(_)) => {}
        Err(refusal) => {
            let message = format!("nodes would refuse the bundle: {refusal}");
            session.diags.push(Diagnostic::error(refusal.code(), message));
            return Ok(false);
        }
    }
    if let Some(out) = out {
        let old = io::read_if_present(out, limits::BUNDLE_MAX_BYTES)?;
        if old.is_some_and(|old| old.get(257..262) != Some(b"ustar")) {
            session.diags.push(would_replace(out, "it is not a bundle"));
            return Ok(false);
        }
        write::replace(out, &bytes)?;
    }
    Ok(true)
}

fn standing(plan: &NodePlan, rules: &TrustDocument, signed: &SortedSet<KeyId>, session: &Session) {
    let Some(owner) = rules.owners.get(&plan.owner) else { return };
    let threshold = owner.signers.threshold;
    session.say(&format!("owner {}: {} of {threshold} signatures", plan.owner, signed.len().min(threshold)));
    if signed.len() < threshold {
        for id in store::still_to_sign(rules, &plan.owner, |id| signed.contains(&id)) {
            session.say(&format!("  key {id} has not signed"));
        }
    }
}
