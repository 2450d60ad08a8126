//! `nodebpf keygen`: a key pair in two PEM files.

use anyhow::Context as _;

use super::{Exit, args::KeygenArgs, io, session::Session, write};
use crate::{
    diag::visible,
    sign::{
        Signer as _,
        key::{FileKey, public_to_pem},
    },
};

pub(super) fn run(args: &KeygenArgs, session: &Session) -> anyhow::Result<Exit> {
    let key = loop {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).context("reading random numbers")?;
        if let Some(key) = FileKey::from_random(&seed) {
            break key;
        }
    };
    let (private, public) = (key.to_pem(), public_to_pem(key.public()));
    let files = [("private.pem", private.as_bytes(), 0o600), ("public.pem", public.as_bytes(), 0o644)];
    write::new_files(&args.out_dir, &files)?;
    let place = |name| visible(&args.out_dir.join(name).display().to_string());
    session.say(&format!("private key  {}  (who has it can sign: keep it to yourself)", place("private.pem")));
    session.say(&format!("public key   {}   (for `keys` in the policy)", place("public.pem")));
    session.say("key id:");
    io::print(format!("{}\n", key.public().id()).as_bytes())?;
    Ok(Exit::Done)
}
