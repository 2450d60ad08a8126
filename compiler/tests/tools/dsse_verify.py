"""Checks a bundle of nodebpf by the text of two specifications, with none of nodebpf's code.

usage: dsse_verify.py BUNDLE PUBLIC_KEY_PEM [THRESHOLD]

DSSE `protocol.md` ("To verify", "Multi-signature Verification") and in-toto Statement v1 ("subject"). The envelope is
first made from the bundle in DSSE's recommended JSON form, so that what is checked is an envelope like anybody's.
Where the package securesystemslib is installed, its DSSE verifier judges the same envelope.
"""

import base64
import hashlib
import json
import sys
import tarfile

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def pae(payload_type, body):
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(body), body)


def envelope_of(bundle):
    """The DSSE envelope of a bundle and its other members by name."""
    members = {}
    with tarfile.open(bundle) as archive:
        for member in archive:
            members[member.name] = archive.extractfile(member).read()
    statement = members.pop("statement.json")
    signatures = [
        {"keyid": name[len("signatures/"):-len(".sig")], "sig": base64.b64encode(members.pop(name)).decode()}
        for name in sorted(members)
        if name.startswith("signatures/")
    ]
    payload = base64.b64encode(statement).decode()
    return {"payload": payload, "payloadType": PAYLOAD_TYPE, "signatures": signatures}, members


def verify(envelope, keys, threshold):
    """The payload, if `threshold` distinct keys have signed it."""
    body = base64.b64decode(envelope["payload"])
    accepted = set()
    for signature in envelope["signatures"]:
        for key in keys:
            try:
                message = pae(envelope["payloadType"], body)
                key.verify(base64.b64decode(signature["sig"]), message, ec.ECDSA(hashes.SHA256()))
                accepted.add(key.public_numbers())
            except InvalidSignature:
                pass
    if len(accepted) < threshold:
        sys.exit(f"refused: {len(accepted)} of {threshold} signatures")
    if envelope["payloadType"] != PAYLOAD_TYPE:
        sys.exit("refused: payload type")
    return json.loads(body)


def check_subjects(statement, members):
    """Subjects and members are the same set, and every digest fits."""
    if statement["_type"] != "https://in-toto.io/Statement/v1":
        sys.exit("refused: not a statement")
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    if subjects != {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}:
        sys.exit("refused: subjects and members differ")


def also_securesystemslib(envelope, pem, threshold):
    try:
        from securesystemslib.dsse import Envelope
        from securesystemslib.signer import SSlibKey
    except ImportError:
        return "not installed"
    public = serialization.load_pem_public_key(pem)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    keyid = hashlib.sha256(der).hexdigest()
    key = SSlibKey.from_crypto(public, keyid=keyid, scheme="ecdsa-sha2-nistp256")
    Envelope.from_dict(envelope).verify([key], threshold)
    return "accepted"


def main():
    bundle, pem = sys.argv[1], open(sys.argv[2], "rb").read()
    threshold = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    envelope, members = envelope_of(bundle)
    statement = verify(envelope, [serialization.load_pem_public_key(pem)], threshold)
    check_subjects(statement, members)
    print("accepted:", statement["predicate"]["stream"])
    print("securesystemslib:", also_securesystemslib(envelope, pem, threshold))


main()
