//! `nodebpf compile`: manifests to signed `MachineConfig`s.

use std::{collections::BTreeSet, path::Path};

use nodeplan::sorted::SortedSet;

use anyhow::Context as _;
use nodeplan::{
    bundle::{Parts, Unverified},
    digest::Sha256Digest,
    key::KeyId,
    limits,
    name::PoolName,
    statement,
    trust::TrustDocument,
};

use super::{
    Exit,
    args::CompileArgs,
    beside, btf,
    front::{self, Front, Judge},
    io, lock,
    session::{Session, WrongUsage},
    signatures, write,
};
use crate::{
    check::authorize,
    diag::{Code, Diagnostic, shown, visible},
    emit::{
        Format, OutputFile,
        delivery::{Delivery, Formats},
    },
    lower,
    policy::KEY_FILE_MAX_BYTES,
    sign::{
        self, Signer,
        key::{FileKey, TEST_KEY_ID},
        store,
    },
};

pub(super) fn run(args: &CompileArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let formats = Formats::new(args.formats.iter().copied().map(Format::from));
    if args.out_dir.is_none() && !matches!(formats.only(), Some(Format::MachineConfig | Format::Ignition)) {
        let message = "writing to stdout: kustomize, tree and several formats need `--out-dir DIR`";
        return Err(WrongUsage(message.to_owned()).into());
    }
    let Some(delivery) = compile(args, session)? else { return Ok(Exit::Usage) };
    let written = delivery.emit(&formats, &mut session.diags);
    if let Some(directory) = &args.out_dir {
        beside::kustomization(directory, &written, session)?;
    }
    if !session.sound(args.strict) || args.check {
        return Ok(session.exit());
    }
    match &args.out_dir {
        Some(directory) => write::delivery(directory, &written)?,
        None if written.files.len() > 1 && formats.has(Format::Ignition) => {
            let message =
                "writing to stdout: several Ignition files need `--out-dir DIR`, or one manifest and `--pool POOL`";
            return Err(WrongUsage(message.to_owned()).into());
        }
        None => io::print(&join(&written.files))?,
    }
    Ok(session.exit())
}

/// YAML documents, one after another.
fn join(files: &[OutputFile]) -> Vec<u8> {
    files.iter().map(|file| file.bytes.as_slice()).collect::<Vec<_>>().join(b"---\n".as_slice())
}

/// What to hand over; empty after a report of errors; `None` if there is nothing to sign with.
fn compile(args: &CompileArgs, session: &mut Session) -> anyhow::Result<Option<Delivery>> {
    let Ok(rules) = front::rules(&args.rules, session)? else { return Ok(Some(Delivery::default())) };
    let trust = rules.as_ref().map(|rules| &rules.trust);
    let blobs = btf::read(&args.kernels)?;
    let kernels = btf::parse(&blobs, &mut session.diags);
    let judge = Judge {
        rules: rules.as_ref(),
        moment: front::moment(args.rules.at),
        written: Some(&args.pools),
        releases: front::releases(&args.target, session),
        kernels: &kernels,
    };
    let fronts = front::load(&args.manifests, &judge, session)?;
    let keys = read_keys(&args.keys, session)?;
    // A manifest that is missing here might be the one that a key is for.
    if let (Some(trust), true) = (trust, fronts.len() == args.manifests.len()) {
        refuse_strangers(&keys, &fronts, trust, session);
    }
    let fronts = of_pools(fronts, args, session);
    let several = args.manifests.len() > 1;
    let pools: Vec<_> = fronts
        .iter()
        .map(|front| {
            let here = |pool: &&PoolName| !several || front.checked.pools().any(|own| own == *pool);
            let wanted: Vec<_> = args.pools.iter().filter(here).cloned().collect();
            lower::pools(&front.checked, &wanted, &mut session.diags)
        })
        .collect();
    let signed = fronts.iter().map(|front| sign_one(front, &keys, trust, args, session));
    let signed = signed.collect::<anyhow::Result<Vec<_>>>()?;
    let nobody = signed.iter().any(|(_, parts)| parts.signatures.is_empty());
    if nobody && !args.unsigned && !args.check && !session.diags.has_errors() {
        if !keys.is_empty()
            && let Some(trust) = trust
        {
            // There are keys, but none for this one.
            for (front, _) in fronts.iter().zip(&signed).filter(|(_, (_, parts))| parts.signatures.is_empty()) {
                let refused = keys.iter().filter_map(|key| store::refused(trust, &front.plan.owner, key.public().id()));
                session.diags.extend(refused.map(|item| item.at(front.checked.stream_span(), "this stream")));
            }
            return Ok(Some(Delivery::default()));
        }
        let unsigned = nobody_signed(args, &fronts, &signed, trust, session)?;
        session.diags.push(unsigned);
        return Ok(None);
    }
    // Everything else was judged before; a second report of it would be noise.
    if let (Some(trust), false) = (trust, session.diags.has_errors()) {
        for (front, (_, parts)) in fronts.iter().zip(&signed).filter(|(_, (_, parts))| !parts.signatures.is_empty()) {
            check_signers(&parts.signatures.keys().copied().collect(), front, trust, session);
        }
    }
    warn_of_keys(&keys, args, session);
    if args.locked && !session.diags.has_errors() {
        let policy = rules.as_ref().and_then(|rules| rules.policy.as_ref());
        lock::check_streams(&fronts, policy, &args.manifests, args.lock.as_deref(), session)?;
    }
    let mut delivery = Delivery::default();
    for ((front, pools), signed) in fronts.iter().zip(&pools).zip(&signed) {
        if session.diags.has_errors() {
            return Ok(Some(Delivery::default()));
        }
        assemble(front, signed, pools, trust, (&mut delivery, session))?;
    }
    Ok(Some(delivery))
}

/// Of several manifests, those that have a pool of `--pool`. Each of these pools must be in one of them.
fn of_pools(fronts: Vec<Front>, args: &CompileArgs, session: &mut Session) -> Vec<Front> {
    // One manifest is judged by `lower::pools`, which can show its list; one that is unsound might have had the pool.
    if args.pools.is_empty() || args.manifests.len() == 1 || fronts.len() != args.manifests.len() {
        return fronts;
    }
    let has = |front: &Front, wanted: &PoolName| front.checked.pools().any(|pool| pool == wanted);
    for wanted in args.pools.iter().filter(|wanted| !fronts.iter().any(|front| has(front, wanted))) {
        session.diags.push(
            Diagnostic::error(Code::PoolNotPermitted, format!("`--pool {wanted}` is in no manifest's `pools`"))
                .help("add the pool to `spec.pools` of a manifest, by review; or name another one"),
        );
    }
    let (kept, left): (Vec<_>, Vec<_>) =
        fronts.into_iter().partition(|front| args.pools.iter().any(|wanted| has(front, wanted)));
    for front in &left {
        session.say(&format!("left out, not for these pools: {}", shown(&front.path.display().to_string())));
    }
    kept
}

/// A statement and the members of its bundle.
type Signed = (Vec<u8>, Parts);

/// The statement of a manifest with signatures of `keys` and of those beside it.
fn sign_one(
    front: &Front,
    keys: &[FileKey],
    trust: Option<&TrustDocument>,
    args: &CompileArgs,
    session: &mut Session,
) -> anyhow::Result<Signed> {
    let statement = statement::encode(&front.plan);
    // Of several manifests each has its owner: a signature of another one's key would only be a stranger's in the bundle.
    let own = |key: &&FileKey| trust.is_none_or(|trust| may_sign(key, front, trust));
    let signers: Vec<&dyn Signer> = keys.iter().filter(own).map(|key| key as &dyn Signer).collect();
    let mut parts = sign::bundle(&statement, front.checked.objects(), &signers);
    if !args.unsigned {
        parts.signatures.extend(signatures::stored(args, front, &statement, trust, session)?);
    }
    Ok((statement, parts))
}

/// Whether `key` may sign for the owner of a manifest. One that the policy does not know was reported as such.
fn may_sign(key: &FileKey, front: &Front, trust: &TrustDocument) -> bool {
    let owner = &front.plan.owner;
    !trust.owners.contains_key(owner) || store::owners_key(trust, owner, key.public().id()).is_ok()
}

/// Reports keys that may sign for none of the manifests, as `sign` does.
fn refuse_strangers(keys: &[FileKey], fronts: &[Front], trust: &TrustDocument, session: &mut Session) {
    for key in keys.iter().filter(|key| !fronts.iter().any(|front| may_sign(key, front, trust))) {
        let owners: BTreeSet<_> = fronts.iter().map(|front| &front.plan.owner).collect();
        let refused = owners.into_iter().filter_map(|owner| store::refused(trust, owner, key.public().id()));
        session.diags.extend(refused);
    }
}

/// Nobody signed: who could have, and whether they signed something older.
fn nobody_signed(
    args: &CompileArgs,
    fronts: &[Front],
    signed: &[Signed],
    trust: Option<&TrustDocument>,
    session: &mut Session,
) -> anyhow::Result<Diagnostic> {
    let Some(trust) = trust else { return Ok(no_key()) };
    let Some((front, (statement, _))) = fronts.iter().zip(signed).find(|(_, (_, parts))| parts.signatures.is_empty())
    else {
        return Ok(no_key());
    };
    let plan = &front.plan;
    let root = signatures::root(args.signatures.as_deref(), &front.path);
    let owner = trust.owners.get(&plan.owner);
    let keys: Vec<_> = owner.into_iter().flat_map(|owner| &owner.signers.keys).collect();
    let earlier = signatures::earlier(&root, &plan.stream, Sha256Digest::of(statement), &keys, session)?;
    let mut diagnostic = no_key().at(front.checked.stream_span(), "nobody has signed what this says now");
    if let Some(last) = store::last(&earlier) {
        let (revision, digest) = (last.accepted.revision, last.accepted.digest());
        diagnostic = diagnostic
            .note(format!("signatures of revision {revision} are there, over statement {digest}"))
            .note("the manifest or an object has changed since: signatures do not follow");
    }
    for id in store::still_to_sign(trust, &plan.owner, |_| false) {
        diagnostic = diagnostic.note(format!("key {id} has not signed"));
    }
    Ok(diagnostic)
}

fn no_key() -> Diagnostic {
    Diagnostic::error(Code::NoKey, "there is no key to sign with")
        .help("give `--key private.pem`; `nodebpf keygen -o keys` makes one")
        .help("or let the holders of keys run `nodebpf sign MANIFEST`, and give `--policy policy.yaml`")
        .help("or give `--check` to report problems only, or `--unsigned` for a bundle that nodes refuse")
}

/// The same for `sign` and `trust sign`; `key` is their option.
pub(super) fn no_key_for(key: &str) -> Diagnostic {
    Diagnostic::error(Code::NoKey, "there is no key to sign with")
        .help(format!("give `{key} private.pem`; `nodebpf keygen -o keys` makes one"))
        .help("or give `--prepare -o FILE` for a signer elsewhere, or `--dry-run` to look only")
}

/// Adds what one manifest becomes.
fn assemble(
    front: &Front,
    (statement, parts): &Signed,
    pools: &[PoolName],
    trust: Option<&TrustDocument>,
    (delivery, session): (&mut Delivery, &mut Session),
) -> anyhow::Result<()> {
    let bundle = parts.encode();
    if bundle.len() > limits::BUNDLE_MAX_BYTES {
        let message = format!("the bundle has {} bytes; {} are allowed", bundle.len(), limits::BUNDLE_MAX_BYTES);
        session.diags.push(
            Diagnostic::error(Code::MachineConfigTooLarge, message)
                .help("strip objects with `llvm-strip -g`, or split the stream"),
        );
        return Ok(());
    }
    // What a node would refuse must not leave this desk.
    let unverified = Unverified::decode(&bundle).context("checking the bundle that was made")?;
    if let (Some(trust), false) = (trust, parts.signatures.is_empty())
        && let Err(refusal) = unverified.verify(trust)
    {
        session.diags.push(
            Diagnostic::error(refusal.code(), format!("nodes would refuse the bundle: {refusal}"))
                .at(front.checked.stream.span, "this stream"),
        );
        return Ok(());
    }
    let ids: Vec<_> = parts.signatures.keys().copied().collect();
    for pool in pools {
        let config = lower::stream(pool, &front.plan, statement, &ids, &bundle);
        delivery.config(pool, config, Some(front.checked.stream.span));
        delivery.tree(pool, lower::tree::stream(&front.plan.stream, &bundle));
    }
    Ok(())
}

/// Private keys of `--key` and `--root-key`; files that hold none are reported.
pub(super) fn read_keys(paths: &[impl AsRef<Path>], session: &mut Session) -> anyhow::Result<Vec<FileKey>> {
    let mut keys = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        match FileKey::from_pem(&io::read_file(path, KEY_FILE_MAX_BYTES)?) {
            Ok(key) => {
                session.diags.extend(open_to_others(path, &key));
                keys.push(key);
            }
            Err(error) => session.diags.push(
                Diagnostic::error(
                    Code::NotAPrivateKey,
                    format!("key file `{}` {error}", shown(&path.display().to_string())),
                )
                .note("wanted: ECDSA P-256 in PKCS#8 PEM without password (`BEGIN PRIVATE KEY`)")
                .help("`openssl pkcs8 -topk8 -nocrypt -in KEY -out private.pem` converts other forms of a P-256 key"),
            ),
        }
    }
    Ok(keys)
}

/// A warning about the file of a private key that group or others may use. The test key is public anyway (NB0603).
#[cfg(unix)]
fn open_to_others(path: &Path, key: &FileKey) -> Option<Diagnostic> {
    use std::os::unix::fs::PermissionsExt as _;

    const OTHERS: u32 = 0o077;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    if mode & OTHERS == 0 || key.public().id().to_string() == TEST_KEY_ID {
        return None;
    }
    let path = visible(&path.display().to_string());
    let message = format!("private key `{path}` is open to others (mode {mode:04o})");
    Some(
        Diagnostic::warning(Code::OpenPrivateKey, message)
            .note("who reads it can sign")
            .help(format!("chmod 600 {path}")),
    )
}

#[cfg(not(unix))]
fn open_to_others(_: &Path, _: &FileKey) -> Option<Diagnostic> {
    None
}

fn check_signers(signers: &SortedSet<KeyId>, front: &Front, rules: &TrustDocument, session: &mut Session) {
    authorize::authorize_signers(&front.plan, signers, &front.checked, rules, &mut session.diags);
}

fn warn_of_keys(keys: &[FileKey], args: &CompileArgs, session: &mut Session) {
    warn_of_test_key(keys, session);
    if args.unsigned {
        session.diags.push(
            Diagnostic::warning(Code::Unsigned, "the bundle has no signature; nodes refuse it")
                .help("sign it: `--key private.pem`"),
        );
    }
}

/// Whoever has nodebpf's source can sign with the test key.
pub(super) fn warn_of_test_key(keys: &[FileKey], session: &mut Session) {
    if keys.iter().any(|key| key.public().id().to_string() == TEST_KEY_ID) {
        session.diags.push(
            Diagnostic::warning(Code::TestKey, "signed with nodebpf's public test key; anybody can sign with it")
                .help("make a key of your own: `nodebpf keygen -o keys`"),
        );
    }
}
