//! `nodebpf sign`: signers in any order, external signers, what is shown, and what `compile` makes of it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{fs, path::Path};

use base64ct::{Base64, Encoding as _};
use nodebpf::sign::{Signer as _, key::FileKey};
use nodeplan::bundle::{Unverified, to_sign};
use support::{POLICY, fail, folders, node_files, project, stderr, stdout, succeed};

/// The project, with a policy in which two of three keys must sign.
fn two_of_three() -> tempfile::TempDir {
    let directory = project();
    for name in ["a", "b", "c"] {
        succeed(directory.path(), &format!("keygen -o {name}"));
    }
    let keys = "keys: [a/public.pem, b/public.pem, c/public.pem]\n      threshold: 2";
    fs::write(directory.path().join("policy.yaml"), POLICY.replace("keys: [public.pem]", keys)).unwrap();
    directory
}

/// Files of the folder of signatures of the only statement.
fn signed(directory: &Path) -> Vec<String> {
    let folder = folders(&folders(&directory.join("signatures"))[0]).remove(0);
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn id(directory: &Path, name: &str) -> String {
    private(directory, name).public().id().to_string()
}

fn private(directory: &Path, name: &str) -> FileKey {
    FileKey::from_pem(&fs::read(directory.join(name).join("private.pem")).unwrap()).unwrap()
}

/// The bundle that `compile` wrote to `out`.
fn bundle(directory: &Path, out: &str) -> Vec<u8> {
    let path = directory.join(out).join("99-worker-nodebpf-stream-netops-frag.yaml");
    node_files(&fs::read(path).unwrap()).remove(0).1
}

#[test]
fn signers_come_in_any_order() {
    let (one, two) = (two_of_three(), project());
    let (dir, other) = (one.path(), two.path());
    for name in ["a", "b", "c", "policy.yaml"] {
        let from = dir.join(name);
        if from.is_dir() {
            fs::create_dir(other.join(name)).unwrap();
            for file in ["private.pem", "public.pem"] {
                fs::copy(from.join(file), other.join(name).join(file)).unwrap();
            }
        } else {
            fs::copy(from, other.join(name)).unwrap();
        }
    }
    succeed(dir, "sign bpf.yaml --key a/private.pem");
    let text = fail(dir, "compile bpf.yaml --policy policy.yaml -o out", 1);
    assert!(text.contains("NB0606"), "{text}");
    for name in ["b", "c"] {
        assert!(text.contains(&format!("key {} has not signed", id(dir, name))), "{text}");
    }
    assert!(!text.contains(&id(dir, "a")), "{text}");
    let text = stderr(&succeed(dir, "sign bpf.yaml --key c/private.pem --policy policy.yaml"));
    assert!(text.contains("owner netops: 2 of 2 signatures"), "{text}");
    succeed(dir, "compile bpf.yaml --policy policy.yaml -o out");

    succeed(other, "sign bpf.yaml --key c/private.pem --key a/private.pem");
    succeed(other, "compile bpf.yaml --policy policy.yaml -o out");
    assert_eq!(bundle(dir, "out"), bundle(other, "out"), "order and number of calls leave no trace");
    succeed(other, "compile bpf.yaml --policy policy.yaml --key a/private.pem --key c/private.pem -o direct");
    assert_eq!(bundle(other, "direct"), bundle(other, "out"), "signing beside and signing at once are the same");

    succeed(dir, "trust build policy.yaml -o trust.json");
    succeed(dir, "verify --trust trust.json out");
}

#[test]
fn signing_again_changes_nothing_and_says_so() {
    let directory = two_of_three();
    let dir = directory.path();
    succeed(dir, "sign bpf.yaml --key a/private.pem");
    let names = signed(dir);
    assert_eq!(names.len(), 2, "{names:?}");
    let folder = folders(&folders(&dir.join("signatures"))[0]).remove(0);
    let before = fs::metadata(folder.join(&names[0])).unwrap().modified().unwrap();
    let text = stderr(&succeed(dir, "sign bpf.yaml --key a/private.pem"));
    assert!(text.contains("has signed this already; nothing changes") && !text.contains("\nsigned by key"), "{text}");
    assert_eq!(fs::metadata(folder.join(&names[0])).unwrap().modified().unwrap(), before);
    succeed(dir, "compile bpf.yaml --key b/private.pem --key a/private.pem --policy policy.yaml -o out");
    let path = dir.join("x.bundle");
    fs::write(&path, bundle(dir, "out")).unwrap();
    let bytes = fs::read(&path).unwrap();
    let text = stderr(&succeed(dir, "sign x.bundle --key a/private.pem"));
    assert!(text.contains("has signed this already"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn dry_runs_write_nothing() {
    let directory = two_of_three();
    let dir = directory.path();
    let text = stderr(&succeed(dir, "sign bpf.yaml --dry-run"));
    assert!(text.contains("stream netops-frag") && text.contains("xdp on ens*"), "{text}");
    succeed(dir, "sign bpf.yaml --key a/private.pem --dry-run");
    assert!(!dir.join("signatures").exists());
}

#[test]
fn what_changes_is_shown() {
    let directory = two_of_three();
    let dir = directory.path();
    let text = stderr(&succeed(dir, "sign bpf.yaml --key a/private.pem"));
    assert!(text.contains("nothing of this stream was signed here before"), "{text}");
    let manifest = fs::read_to_string(dir.join("bpf.yaml")).unwrap();
    let changed = manifest.replace("revision: 3", "revision: 4").replace("priority: 510", "priority: 520");
    fs::write(dir.join("bpf.yaml"), changed.replace("key: 10.0.0.2", "key: 10.0.0.3")).unwrap();
    let text = stderr(&succeed(dir, "sign bpf.yaml --key a/private.pem"));
    for line in [
        "what changes against revision 3 (statement ",
        "  ~ stream: revision: 3 -> 4",
        "  ~ order: xdp: drop_frag_needed (510) -> drop_frag_needed (520)",
        "  + map node_ips: entry 0a000003: 01",
        "  - map node_ips: entry 0a000002: 01",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("not checked"), "{text}");
    // Somebody else's signature is not believed unless the policy lists its key.
    let text = stderr(&succeed(dir, "sign bpf.yaml --key b/private.pem --dry-run"));
    assert!(text.contains("its signatures were not checked"), "{text}");
    let text = stderr(&succeed(dir, "sign bpf.yaml --key b/private.pem --policy policy.yaml --dry-run"));
    assert!(!text.contains("not checked"), "{text}");
    // And back.
    fs::write(dir.join("bpf.yaml"), manifest).unwrap();
    let text = stderr(&succeed(dir, "sign bpf.yaml --key a/private.pem"));
    assert!(text.contains("this goes back: revision 3 is below 4"), "{text}");
}

/// A statement that lies beside the manifest with nobody's signature must not hide what changes.
#[test]
fn a_planted_statement_does_not_hide_changes() {
    let directory = two_of_three();
    let dir = directory.path();
    let manifest = fs::read_to_string(dir.join("bpf.yaml")).unwrap();
    succeed(dir, "sign bpf.yaml --key a/private.pem");
    fs::write(dir.join("bpf.yaml"), manifest.replace("revision: 3", "revision: 8").replace("ens*", "eth*")).unwrap();
    succeed(dir, "keygen -o evil");
    succeed(dir, "sign bpf.yaml --key evil/private.pem");
    fs::write(dir.join("bpf.yaml"), manifest.replace("revision: 3", "revision: 9").replace("ens*", "eth*")).unwrap();
    let text = stderr(&succeed(dir, "sign bpf.yaml --key a/private.pem --policy policy.yaml"));
    assert!(text.contains("against revision 3") && text.contains("+ program drop_frag_needed: xdp on eth*"), "{text}");
}

#[test]
fn external_signers_sign_in_two_steps() {
    let directory = two_of_three();
    let dir = directory.path();
    let output = succeed(dir, "sign bpf.yaml --prepare -o pae");
    let bytes = fs::read(dir.join("pae")).unwrap();
    let digest = nodeplan::digest::Sha256Digest::of(&bytes);
    assert_eq!(stdout(&output), format!("{digest}  pae\n"));
    assert!(stderr(&output).contains("openssl dgst -sha256 -sign private.pem -out key.sig pae"), "{}", stderr(&output));
    assert!(!dir.join("signatures").exists());

    let der = private(dir, "a").sign(&bytes);
    let raw = p256::ecdsa::Signature::from_der(&der).unwrap().to_bytes().to_vec();
    let base64 = Base64::encode_string(&der);
    let folded = format!("{}\n{}\n", &base64[..40], &base64[40..]);
    let blob = format!(r#"{{"messageSignature":{{"signature":"{base64}"}}}}"#);
    let dsse = format!(r#"{{"dsseEnvelope":{{"signatures":[{{"sig":"{base64}"}}]}}}}"#);
    let forms: [(&str, Vec<u8>); 7] = [
        ("DER", der.clone()),
        ("r and s", raw.clone()),
        ("base64 of DER", base64.clone().into_bytes()),
        ("base64 in lines", folded.into_bytes()),
        ("base64 of r and s", Base64::encode_string(&raw).into_bytes()),
        ("sigstore bundle of a blob", blob.into_bytes()),
        ("sigstore bundle of a statement", dsse.into_bytes()),
    ];
    for (name, form) in forms {
        let _ = fs::remove_dir_all(dir.join("signatures"));
        fs::write(dir.join("sig"), form).unwrap();
        succeed(dir, "sign bpf.yaml --attach sig --public-key a/public.pem --policy policy.yaml");
        assert_eq!(signed(dir).len(), 2, "case: {name}");
    }
    let text = stderr(&succeed(dir, "sign bpf.yaml --attach sig --public-key a/public.pem"));
    assert!(text.contains("has signed this already"), "{text}");
    succeed(dir, "sign bpf.yaml --key b/private.pem");
    succeed(dir, "compile bpf.yaml --policy policy.yaml -o out");
    assert_eq!(Unverified::decode(&bundle(dir, "out")).unwrap().parts().signatures.len(), 2);

    for (args, code) in [
        ("--attach sig --public-key b/public.pem", "NB0610"),
        ("--attach policy.yaml --public-key a/public.pem", "NB0616"),
        ("--attach sig --public-key policy.yaml", "NB0206"),
    ] {
        let text = fail(dir, &format!("sign bpf.yaml {args}"), 1);
        assert!(text.contains(code), "{args}: {text}");
    }
    let manifest = fs::read_to_string(dir.join("bpf.yaml")).unwrap();
    fs::write(dir.join("bpf.yaml"), manifest.replace("510", "511")).unwrap();
    let text = fail(dir, "sign bpf.yaml --attach sig --public-key a/public.pem", 1);
    assert!(text.contains("NB0610"), "the manifest has changed since: {text}");
}

#[test]
fn bundles_gain_signatures() {
    let directory = two_of_three();
    let dir = directory.path();
    succeed(dir, "compile bpf.yaml --key a/private.pem -o out");
    let before = bundle(dir, "out");
    fs::write(dir.join("x.bundle"), &before).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    let text = stderr(&succeed(dir, "sign x.bundle --key b/private.pem --trust trust.json -o y.bundle"));
    assert!(text.contains("owner netops: 2 of 2 signatures"), "{text}");
    assert_eq!(fs::read(dir.join("x.bundle")).unwrap(), before, "-o leaves the input alone");
    let parts = Unverified::decode(&fs::read(dir.join("y.bundle")).unwrap()).unwrap().parts();
    assert_eq!(parts.signatures.len(), 2);
    succeed(dir, "sign x.bundle --key b/private.pem");
    assert_eq!(fs::read(dir.join("x.bundle")).unwrap(), fs::read(dir.join("y.bundle")).unwrap());
    // What is no bundle is not replaced by one.
    let policy = fs::read(dir.join("policy.yaml")).unwrap();
    let text = fail(dir, "sign x.bundle --key b/private.pem -o policy.yaml", 1);
    assert!(text.contains("NB0434"), "{text}");
    assert_eq!(fs::read(dir.join("policy.yaml")).unwrap(), policy);
    // By hand of an external signer.
    fs::write(dir.join("z.bundle"), &before).unwrap();
    succeed(dir, "sign z.bundle --prepare -o pae");
    assert_eq!(fs::read(dir.join("pae")).unwrap(), to_sign(&parts.statement));
    fs::write(dir.join("sig"), private(dir, "b").sign(&to_sign(&parts.statement))).unwrap();
    succeed(dir, "sign z.bundle --attach sig --public-key b/public.pem");
    assert_eq!(fs::read(dir.join("z.bundle")).unwrap(), fs::read(dir.join("y.bundle")).unwrap());
}

#[test]
fn what_nodes_refuse_is_not_signed() {
    let directory = two_of_three();
    let dir = directory.path();
    succeed(dir, "compile bpf.yaml --key a/private.pem -o out");
    let sound = bundle(dir, "out");
    let mut parts = Unverified::decode(&sound).unwrap().parts();
    parts.objects.values_mut().for_each(|object| object[100] ^= 1);
    fs::write(dir.join("swapped.bundle"), parts.encode()).unwrap();
    fs::write(dir.join("cut.bundle"), &sound[..1000]).unwrap();
    let mut bad = Unverified::decode(&sound).unwrap().parts();
    bad.signatures.values_mut().for_each(|signature| *signature = private(dir, "a").sign(b"other"));
    fs::write(dir.join("bad.bundle"), bad.encode()).unwrap();
    for (args, code) in [
        ("swapped.bundle --key b/private.pem", "NB1101"),
        ("cut.bundle --key b/private.pem", "NB1101"),
        ("bad.bundle --key b/private.pem --policy policy.yaml", "NB0610"),
        ("bpf.yaml --key key.pem --policy policy.yaml", "NB0614"),
    ] {
        let text = fail(dir, &format!("sign {args}"), 1);
        assert!(text.contains(code), "{args}: {text}");
    }
    for args in ["sign bpf.yaml", "sign bpf.yaml --prepare", "sign bpf.yaml --key a/private.pem -o x"] {
        fail(dir, args, 2);
    }
    assert!(!dir.join("signatures").exists());
}

/// T1: a changed manifest is not covered by the signatures of the one before.
#[test]
fn signatures_do_not_follow_a_changed_manifest() {
    let directory = two_of_three();
    let dir = directory.path();
    succeed(dir, "sign bpf.yaml --key a/private.pem --key b/private.pem");
    succeed(dir, "compile bpf.yaml --policy policy.yaml -o out");
    let manifest = fs::read_to_string(dir.join("bpf.yaml")).unwrap();
    fs::write(dir.join("bpf.yaml"), manifest.replace("510", "511")).unwrap();
    let text = fail(dir, "compile bpf.yaml --policy policy.yaml -o out2", 2);
    assert!(text.contains("NB0601") && text.contains("signatures of revision 3 are there"), "{text}");
    assert_eq!(text.matches("has not signed").count(), 3, "{text}");
    let root = folders(&dir.join("signatures")).remove(0);
    let old = folders(&root).remove(0);
    succeed(dir, "sign bpf.yaml --key c/private.pem");
    let new = folders(&root).into_iter().find(|folder| *folder != old).unwrap();
    for entry in fs::read_dir(&old).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|end| end == "sig") {
            fs::copy(entry.path(), new.join(entry.file_name())).unwrap();
        }
    }
    let text = fail(dir, "compile bpf.yaml --policy policy.yaml -o out2", 1);
    assert!(text.contains("NB0610"), "{text}");
    assert!(!dir.join("out2").exists());
}

#[test]
fn the_folder_can_lie_elsewhere() {
    let directory = two_of_three();
    let dir = directory.path();
    succeed(dir, "sign bpf.yaml --key a/private.pem --key b/private.pem --signatures deep/folder");
    assert!(!dir.join("signatures").exists() && dir.join("deep/folder/netops-frag").is_dir());
    succeed(dir, "compile bpf.yaml --policy policy.yaml --signatures deep/folder -o out");
}

/// Of several manifests each is signed by its own owner's key; a key that nobody lists is refused, and so is a manifest
/// whose owner has no key here.
#[test]
fn compile_embeds_no_strangers_signature() {
    let directory = project();
    let dir = directory.path();
    for name in ["storage", "stranger"] {
        succeed(dir, &format!("keygen -o {name}"));
    }
    let (_, netops) = POLICY.split_once("owners:\n").unwrap();
    let storage = netops.replace("public.pem", "storage/public.pem").replace("netops", "storage");
    fs::write(dir.join("policy.yaml"), POLICY.replace(netops, &format!("{netops}{storage}"))).unwrap();
    let other = fs::read_to_string(dir.join("bpf.yaml")).unwrap().replace("netops", "storage").replace("510", "520");
    fs::write(dir.join("other.yaml"), other).unwrap();
    let compile = "compile bpf.yaml other.yaml --policy policy.yaml --key key.pem";
    succeed(dir, &format!("{compile} --key storage/private.pem -o out"));
    let signers = |stream: &str| {
        let path = dir.join("out").join(format!("99-worker-nodebpf-stream-{stream}.yaml"));
        let bytes = node_files(&fs::read(path).unwrap()).remove(0).1;
        Unverified::decode(&bytes).unwrap().parts().signatures.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(signers("storage-frag"), [id(dir, "storage")]);
    assert_eq!(signers("netops-frag").len(), 1, "the owner's alone");
    for more in ["", " --key stranger/private.pem"] {
        let text = fail(dir, &format!("{compile}{more} -o none"), 1);
        assert!(
            text.contains("NB0614") && text.contains("may not sign: its key is not one of owner `storage`"),
            "{text}"
        );
        assert!(!dir.join("none").exists());
    }
    let all = format!("{compile} --key storage/private.pem --key stranger/private.pem -o none");
    let text = fail(dir, &all, 1);
    assert!(text.contains(&format!("key {} may not sign", id(dir, "stranger"))), "{text}");
    // Where nothing is known of owners, nothing is said of them.
    succeed(dir, "compile bpf.yaml --key stranger/private.pem -o unknown");
}

/// Who signs second reads who signed first, and is not told that nothing was signed.
#[test]
fn the_second_signer_is_told_of_the_first() {
    let directory = two_of_three();
    let dir = directory.path();
    let text = stderr(&succeed(dir, "sign bpf.yaml --key a/private.pem --policy policy.yaml"));
    assert!(text.contains("nothing of this stream was signed here before"), "{text}");
    let (a, b) = (id(dir, "a"), id(dir, "b"));
    for key in ["a", "b"] {
        let text = stderr(&succeed(dir, &format!("sign bpf.yaml --key {key}/private.pem --policy policy.yaml")));
        assert!(text.contains(&format!("this statement: signed by key {a} (1 of 2)")), "{text}");
        assert!(!text.contains("nothing of this stream"), "{text}");
    }
    let text = stderr(&succeed(dir, "sign bpf.yaml --dry-run --policy policy.yaml"));
    assert!(text.contains("(2 of 2)") && text.contains(&a) && text.contains(&b), "{text}");
    let text = stderr(&succeed(dir, "sign bpf.yaml --dry-run"));
    assert!(text.contains("(not checked)"), "{text}");
}

/// Root keys, too; and not the test key, of which everybody has been told otherwise.
#[test]
fn private_keys_that_others_can_read_are_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = two_of_three();
    let dir = directory.path();
    let rooted = POLICY.replace("version: 1", "version: 1\n  roots: {keys: [b/public.pem]}");
    fs::write(dir.join("rooted.yaml"), rooted).unwrap();
    let commands =
        ["sign bpf.yaml --key a/private.pem", "trust build rooted.yaml -o trust.json --root-key b/private.pem"];
    for command in commands {
        assert!(!stderr(&succeed(dir, command)).contains("NB0617"), "{command}");
    }
    for key in ["a", "b"] {
        fs::set_permissions(dir.join(key).join("private.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    }
    for command in commands {
        let text = stderr(&succeed(dir, command));
        assert!(text.contains("NB0617") && text.contains("/private.pem` is open to others (mode 0644)"), "{text}");
        assert!(text.contains("= help: chmod 600 "), "{text}");
    }
    let text = stderr(&succeed(dir, "sign bpf.yaml --key key.pem"));
    assert!(text.contains("NB0603") && !text.contains("NB0617"), "{text}");
}

/// Values as the manifest writes them, with the bytes that are signed behind.
#[test]
fn signers_read_values_and_not_only_bytes() {
    let directory = project();
    let dir = directory.path();
    let sound = |text: &str| text.contains("entry 10.0.0.2 ") && text.contains(" 1  (bytes 0a000002: 01)");
    let text = stderr(&succeed(dir, "sign bpf.yaml --dry-run"));
    assert!(sound(&text), "{text}");
    succeed(dir, "compile bpf.yaml --key key.pem -o out");
    fs::write(dir.join("x.bundle"), bundle(dir, "out")).unwrap();
    let text = stderr(&succeed(dir, "sign x.bundle --dry-run"));
    assert!(sound(&text), "{text}");
}
