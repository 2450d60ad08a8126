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
        let (name, file) = (format!("xdp_pas{n}"), format!("pass{n}.bpf.o"));
        files::write(&folder.join(&file), object(&name)?)?;
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

/// A thousand streams with ten programs each, all of one object, and the policy that permits them.
pub(super) fn thousand_manifests(folder: &Path) -> Result<Vec<String>> {
    files::empty_folder(folder)?;
    key(folder)?;
    for n in 0..10 {
        let name = format!("xdp_pas{n}");
        files::write(&folder.join(format!("{name}.o")), renamed(&name)?)?;
    }
    let mut names = Vec::new();
    for stream in 0..1000 {
        let mut text = header(&format!("netops-s{stream}"));
        for n in 0..10 {
            // Each stream has an interface of its own: ten programs are what one takes.
            let _ = writeln!(
                text,
                "    - name: xdp_pas{n}\n      object: xdp_pas{n}.o\n      attach: [{{xdp: {{interfaces: [{{name: e{stream}}}], priority: {}}}}}]",
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

/// The smallest program under another name of equal length.
fn renamed(name: &str) -> Result<Vec<u8>> {
    let mut object = files::read(&run::root().join("bpf/prebuilt/xdp_pass.bpf.o"))?;
    let old = b"xdp_pass";
    for at in 0..object.len() {
        if object[at..].starts_with(old) {
            object[at..at + old.len()].copy_from_slice(name.as_bytes());
        }
    }
    Ok(object)
}

/// The same with noise behind it, which no section names and gzip cannot shrink.
fn object(name: &str) -> Result<Vec<u8>> {
    let mut object = renamed(name)?;
    let mut state = name.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| state.rotate_left(8) ^ u64::from(byte));
    while object.len() < OBJECT_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        object.push(state.to_le_bytes()[3]);
    }
    Ok(object)
}
