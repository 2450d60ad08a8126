//! `nodebpf keygen`: a key pair in two PEM files.

use anyhow::Context as _;

use super::{Exit, args::KeygenArgs, io, write};
use crate::sign::{
    Signer as _,
    key::{FileKey, public_to_pem},
};

pub(super) fn run(args: &KeygenArgs) -> anyhow::Result<Exit> {
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
    io::print(format!("{}\n", key.public().id()).as_bytes())?;
    Ok(Exit::Done)
}
