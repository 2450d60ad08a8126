//! `nodebpf compile`: a manifest to signed `MachineConfig`s.

use std::path::Path;

use nodeplan::sorted::SortedSet;

use anyhow::Context as _;
use nodeplan::{bundle::Unverified, limits, statement, trust::TrustDocument};

use super::{
    Exit,
    args::CompileArgs,
    front::{self, Front},
    io,
    session::{Session, WrongUsage},
    write,
};
use crate::{
    check::authorize,
    diag::{Code, Diagnostic, shown},
    emit::{self, Format, OutputFile, PoolSums},
    lower,
    policy::KEY_FILE_MAX_BYTES,
    sign::{
        self, Signer,
        key::{FileKey, TEST_KEY_ID},
    },
};

pub(super) fn run(args: &CompileArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if args.keys.is_empty() && !args.unsigned && !args.check {
        session.diags.push(
            Diagnostic::error(Code::NoKey, "there is no key to sign with")
                .help("give `--key private.pem`; `nodebpf keygen -o keys` makes one")
                .help("or give `--check` to report problems only, or `--unsigned` for a bundle that nodes refuse"),
        );
        return Ok(Exit::Usage);
    }
    let files = compile(args, session)?;
    if !session.sound(args.strict) || args.check {
        return Ok(session.exit());
    }
    match &args.out_dir {
        Some(directory) => write::all_or_none(directory, &files)?,
        None if files.len() > 1 && Format::from(args.format) == Format::Ignition => {
            let message = "writing to stdout: Ignition for several pools needs `--out-dir DIR`, or one `--pool POOL`";
            return Err(WrongUsage(message.to_owned()).into());
        }
        None => io::print(&join(&files))?,
    }
    Ok(session.exit())
}

/// YAML documents, one after another.
fn join(files: &[OutputFile]) -> Vec<u8> {
    files.iter().map(|file| file.bytes.as_slice()).collect::<Vec<_>>().join(b"---\n".as_slice())
}

/// The files to write; empty after a report of errors.
fn compile(args: &CompileArgs, session: &mut Session) -> anyhow::Result<Vec<OutputFile>> {
    let Ok(rules) = front::rules(&args.rules, session)? else { return Ok(Vec::new()) };
    let front = front::load(&args.manifest, rules.as_ref(), session)?;
    let keys = read_keys(&args.keys, session)?;
    let Some(front) = front else { return Ok(Vec::new()) };
    let releases = front::releases(&args.target, session);
    front::platform(&front, &releases, session);
    let pools = lower::pools(&front.checked, &args.pools, &mut session.diags);
    if let (Some(rules), false) = (&rules, keys.is_empty()) {
        check_signers(&keys, &front, rules, session);
    }
    warn_of_keys(&keys, args, session);
    if session.diags.has_errors() {
        return Ok(Vec::new());
    }
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    let statement = statement::encode(&front.plan);
    let parts = sign::bundle(&statement, front.checked.objects(), &signers);
    let bundle = parts.encode();
    if bundle.len() > limits::BUNDLE_MAX_BYTES {
        let message = format!("the bundle has {} bytes; {} are allowed", bundle.len(), limits::BUNDLE_MAX_BYTES);
        session.diags.push(
            Diagnostic::error(Code::MachineConfigTooLarge, message)
                .help("strip objects with `llvm-strip -g`, or split the stream"),
        );
        return Ok(Vec::new());
    }
    // What a node would refuse must not leave this desk.
    let unverified = Unverified::decode(&bundle).context("checking the bundle that was made")?;
    if let (Some(rules), false) = (&rules, keys.is_empty())
        && let Err(refusal) = unverified.verify(rules)
    {
        session.diags.push(
            Diagnostic::error(refusal.code(), format!("nodes would refuse the bundle: {refusal}"))
                .at(front.checked.stream.span, "this stream"),
        );
        return Ok(Vec::new());
    }
    let ids: Vec<_> = parts.signatures.keys().copied().collect();
    let mut sums = PoolSums::default();
    let emit = |pool| {
        let config = lower::stream(pool, &front.plan, &statement, &ids, &bundle);
        let file = emit::emit(&config, args.format.into(), Some(front.checked.stream.span), &mut session.diags);
        sums.add(pool, &file);
        file
    };
    let files = pools.iter().map(emit).collect();
    sums.report(&mut session.diags);
    Ok(files)
}

/// Private keys of `--key` and `--root-key`; files that hold none are reported.
pub(super) fn read_keys(paths: &[impl AsRef<Path>], session: &mut Session) -> anyhow::Result<Vec<FileKey>> {
    let mut keys = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        match FileKey::from_pem(&io::read_file(path, KEY_FILE_MAX_BYTES)?) {
            Ok(key) => keys.push(key),
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

fn check_signers(keys: &[FileKey], front: &Front, rules: &TrustDocument, session: &mut Session) {
    // Everything else was judged before; a second report of it would be noise.
    if session.diags.has_errors() {
        return;
    }
    let signers: SortedSet<_> = keys.iter().map(|key| key.public().id()).collect();
    authorize::authorize_signers(&front.plan, &signers, &front.checked, rules, &mut session.diags);
}

fn warn_of_keys(keys: &[FileKey], args: &CompileArgs, session: &mut Session) {
    if keys.iter().any(|key| key.public().id().to_string() == TEST_KEY_ID) {
        session.diags.push(
            Diagnostic::warning(Code::TestKey, "signed with nodebpf's public test key; anybody can sign with it")
                .help("make a key of your own: `nodebpf keygen -o keys`"),
        );
    }
    if args.unsigned {
        session.diags.push(
            Diagnostic::warning(Code::Unsigned, "the bundle has no signature; nodes refuse it")
                .help("sign it: `--key private.pem`"),
        );
    }
}
