//! `nodebpf trust build` and `trust show`: a policy to a trust file, and a trust file in words.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use nodeplan::{
    key::KeyId,
    limits,
    trust::{Anchor, Trust, decode_chain, encode_chain},
};

use super::{
    Exit,
    args::{TrustBuildArgs, TrustShowArgs},
    compile::read_keys,
    exclusive::Exclusive,
    front,
    io::{self, DiskFiles},
    session::Session,
    write,
};
use crate::{
    describe,
    diag::{Code, Diagnostic, shown},
    policy,
    sign::{
        Signer, chain,
        pending::{self, Pending, Standing},
    },
};

pub(super) fn build(args: &TrustBuildArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let input = io::read_input(&args.policy)?;
    let files = DiskFiles::from(&input.directory);
    let policy = policy::parse(&input.name, &input.bytes, &files, &mut session.sources, &mut session.diags);
    let keys = read_keys(&args.root_keys, session)?;
    let (Some(policy::Policy { trust: document, .. }), false) = (policy, session.diags.has_errors()) else {
        return Ok(session.exit());
    };
    let Some(hold) = Exclusive::take(&args.out, session) else { return Ok(session.exit()) };
    let old = io::read_if_present(&args.out, limits::TRUST_MAX_BYTES)?;
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    if args.pending {
        let begun = chain::begin(&document, old.as_deref(), &signers, &mut session.diags);
        if let (Some(begun), true) = (begun, session.sound(args.strict)) {
            put(&kept(begun, &args.out)?, &args.out, session)?;
        }
        session.sound(args.strict);
        return Ok(session.exit());
    }
    let bytes = chain::extend(&document, old.as_deref(), &signers, &mut session.diags);
    if let (Some(bytes), true) = (bytes, session.sound(args.strict)) {
        hold.replace(old.as_deref(), &bytes, session)?;
    }
    Ok(session.exit())
}

/// `begun`, with the signatures that a file which waits for the same version already has.
fn kept(mut begun: Pending, trust: &Path) -> anyhow::Result<Pending> {
    let Some(bytes) = io::read_if_present(&pending_path(trust), limits::TRUST_MAX_BYTES)? else { return Ok(begun) };
    let Ok(waiting) = Pending::read(&bytes) else { return Ok(begun) };
    if waiting.message() == begun.message() && waiting.before() == begun.before() {
        for (id, signature) in waiting.signatures() {
            if !begun.has_signed(id) {
                begun = begun.with_signature(id, &signature);
            }
        }
    }
    Ok(begun)
}

/// Where a version waits for signatures.
pub(super) fn pending_path(trust: &Path) -> PathBuf {
    let mut name = trust.as_os_str().to_owned();
    name.push(pending::SUFFIX);
    PathBuf::from(name)
}

/// Writes the trust file if it is complete, and what waits beside it if it is not.
pub(super) fn put(pending: &Pending, trust: &Path, session: &mut Session) -> anyhow::Result<()> {
    let waiting = pending_path(trust);
    let version = pending.document().version;
    if pending.is_complete() {
        write::replace(trust, &pending.encode())?;
        if waiting.exists() {
            std::fs::remove_file(&waiting)?;
        }
        session.say(&format!("version {version} is complete: `{}`", trust.display()));
        return Ok(());
    }
    write::replace(&waiting, &pending.encode())?;
    let message = format!("version {version} waits for root signatures in `{}`", waiting.display());
    let lacks = pending.standing().into_iter().filter(|standing| !standing.is_met());
    let diagnostic = lacks.fold(Diagnostic::warning(Code::Pending, message), |diagnostic, standing| {
        standing_lines(&standing).into_iter().fold(diagnostic, Diagnostic::note)
    });
    session.diags.push(
        diagnostic.help(format!("let the holders run `nodebpf trust sign {} --root-key private.pem`", trust.display())),
    );
    Ok(())
}

fn standing_lines(standing: &Standing) -> Vec<String> {
    let Standing { version, threshold, signed, missing } = standing;
    let mut lines = vec![format!("{} of {threshold} root signatures of version {version}", signed.len())];
    if !standing.is_met() {
        lines.extend(missing.iter().map(|id| format!("root key {id} of version {version} has not signed")));
    }
    lines
}

pub(super) fn show(args: &TrustShowArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let Some((trust, bytes)) = front::read_trust(&args.trust, session)? else { return Ok(session.exit()) };
    let mut text = String::new();
    let chain = decode_chain(&bytes).unwrap_or_default();
    for at in 0..chain.len() {
        // Each prefix is a trust file of its own, which is how the signatures of its newest version are counted.
        let Ok(version) = Pending::read(&encode_chain(chain[..=at].to_vec())) else { continue };
        let _ = writeln!(text, "version {}", version.document().version);
        for standing in version.standing() {
            let signed = standing.signed.iter().map(KeyId::to_string).collect::<Vec<_>>().join(", ");
            let _ = writeln!(
                text,
                "  {} of {} root signatures of version {}: {signed}",
                standing.signed.len(),
                standing.threshold,
                standing.version
            );
        }
    }
    let anchor = match trust.anchor() {
        Anchor::RootSigned => "root-signed",
        Anchor::CoDelivered => "co-delivered: as good as the channel it came by",
    };
    let _ = writeln!(text, "anchor: {anchor}");
    for line in describe::trust::lines(trust.document()) {
        let _ = writeln!(text, "{line}");
    }
    text.push_str(&waiting_text(&args.trust, &trust)?);
    io::print(text.as_bytes())?;
    Ok(session.exit())
}

fn waiting_text(path: &Path, trust: &Trust) -> anyhow::Result<String> {
    let path = pending_path(path);
    let Some(bytes) = io::read_if_present(&path, limits::TRUST_MAX_BYTES)? else { return Ok(String::new()) };
    let name = shown(&path.display().to_string());
    let waiting = match Pending::read(&bytes) {
        Ok(waiting) => waiting,
        Err(error) => return Ok(format!("`{name}` cannot be used: {error}\n")),
    };
    let mut text = format!("version {} waits in `{name}`\n", waiting.document().version);
    for change in describe::diff::trust_changes(trust.document(), waiting.document()) {
        let _ = writeln!(text, "  {change}");
    }
    for line in waiting.standing().iter().flat_map(standing_lines) {
        let _ = writeln!(text, "  {line}");
    }
    Ok(text)
}
