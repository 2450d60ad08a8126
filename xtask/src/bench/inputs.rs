//! Inputs to measure with, made of the objects in this tree.
//!
//! In:  a folder. Out: manifests, objects, a policy and a key in it; equal on every machine.
//! May fail with: whatever the file system says.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{files, run};

/// Size of an object, in bytes: what a program of some hundred lines has.
const OBJECT_BYTES: usize = 17_000;

/// Ten programs in ten objects for one pool, and the same files for butane.
pub(super) fn ten_objects(folder: &Path) -> Result<()> {
    files::empty_folder(folder)?;
    key(folder)?;
    let mut manifest = header("netops-bench");
    let mut butane = "variant: openshift\nversion: 4.16.0\nmetadata:\n  name: 99-worker-bench\n  labels:\n    \
                      machineconfiguration.openshift.io/role: worker\nstorage:\n  files:\n"
        .to_owned();
    for n in 0..10 {
        let (name, file) = (format!("xdp_pas{n}_a"), format!("pass{n}.bpf.o"));
        files::write(&folder.join(&file), object(n)?)?;
        let _ = writeln!(
            manifest,
            "    - name: {name}\n      object: {file}\n      attach: [{{xdp: {{interfaces: [{{name: \"ens*\"}}], priority: {}}}}}]",
            500 + n
        );
        let _ = writeln!(
            butane,
            "    - path: /etc/bench/{file}\n      mode: 0644\n      overwrite: true\n      contents:\n        local: {file}"
        );
    }
    files::write(&folder.join("bpf.yaml"), manifest)?;
    files::write(&folder.join("butane.bu"), butane)
}

/// A thousand streams with ten programs each, of ten objects, and the policy that permits them.
pub(super) fn thousand_manifests(folder: &Path) -> Result<Vec<String>> {
    files::empty_folder(folder)?;
    key(folder)?;
    for n in 0..10 {
        files::write(&folder.join(format!("pass{n}.bpf.o")), renamed(n)?)?;
    }
    let mut names = Vec::new();
    for stream in 0..1000 {
        let mut text = header(&format!("netops-s{stream}"));
        for n in 0..10 {
            // Each stream has an interface of its own: ten programs are what one takes.
            let _ = writeln!(
                text,
                "    - name: xdp_pas{n}_a\n      object: pass{n}.bpf.o\n      attach: [{{xdp: {{interfaces: [{{name: e{stream}}}], priority: {}}}}}]",
                500 + n
            );
        }
        let name = format!("s{stream}.yaml");
        files::write(&folder.join(&name), text)?;
        names.push(name);
    }
    let policy = "apiVersion: nodebpf.io/v1alpha1\nkind: BpfPolicy\nmetadata: {name: fleet}\nspec:\n  version: 1\n  owners:\n    \
                  - {name: netops, keys: [public.pem], streams: [\"netops-*\"], hooks: {xdp: {band: [500, 599]}}}\n";
    files::write(&folder.join("policy.yaml"), policy)?;
    Ok(names)
}

fn header(stream: &str) -> String {
    format!(
        "apiVersion: nodebpf.io/v1alpha1\nkind: BpfManifest\nmetadata: {{name: {stream}, owner: netops, revision: 1}}\n\
         spec:\n  intent: feature\n  pools: [worker]\n  programs:\n"
    )
}

fn key(folder: &Path) -> Result<()> {
    for (from, to) in [("TEST-ONLY-private.pem", "key.pem"), ("TEST-ONLY-public.pem", "public.pem")] {
        let from = run::root().join("tests/keys").join(from);
        fs::copy(&from, folder.join(to)).with_context(|| format!("copying `{}`", from.display()))?;
    }
    Ok(())
}

/// Ten objects with one program each, `pass0.bpf.o` to `pass9.bpf.o`, and nothing else.
pub(super) fn objects(folder: &Path) -> Result<()> {
    files::empty_folder(folder)?;
    (0..10).try_for_each(|n| files::write(&folder.join(format!("pass{n}.bpf.o")), object(n)?))
}

/// Copy `n` of a small program: its functions and its map have names of their own, of the same length.
fn renamed(n: usize) -> Result<Vec<u8>> {
    let mut object = files::read(&run::root().join("bpf/prebuilt/xdp_pass.bpf.o"))?;
    for (old, new) in [("xdp_pass", format!("xdp_pas{n}")), ("packets", format!("packet{n}"))] {
        for at in 0..object.len() {
            if object[at..].starts_with(old.as_bytes()) {
                object[at..at + old.len()].copy_from_slice(new.as_bytes());
            }
        }
    }
    Ok(object)
}

/// The same with noise behind it, which no section names and gzip cannot shrink.
fn object(n: usize) -> Result<Vec<u8>> {
    let mut object = renamed(n)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ n as u64;
    while object.len() < OBJECT_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        object.push(state.to_le_bytes()[3]);
    }
    Ok(object)
}
