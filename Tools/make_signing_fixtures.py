"""Makes Tests/Fixtures/signing: a small model signed by the package model_signing, and the package's verdict on each case.

    python3 -m venv .venv-provenance && .venv-provenance/bin/pip install -r Tools/requirements-provenance.txt
    .venv-provenance/bin/python Tools/make_signing_fixtures.py

Keys are made anew each time and only their public halves are kept, so that the signatures differ from run to run; the
verdicts do not. cases.json lists, for each case, the signature, who is trusted, what is done to a copy of the model before,
and whether model_signing accepts it.
"""

import base64
import datetime
import json
import pathlib
import shutil
import tempfile

import model_signing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from model_signing._signing import sign_sigstore_pb

ROOT = pathlib.Path(__file__).resolve().parent.parent / "Tests/Fixtures/signing"
CURVES = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
HASHES = {"p256": hashes.SHA256(), "p384": hashes.SHA384(), "p521": hashes.SHA512()}


def write_model(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}\n')
    (folder / "model.safetensors").write_bytes(bytes(i * 37 % 251 for i in range(5000)))
    (folder / "empty.txt").write_bytes(b"")
    (folder / "nested").mkdir()
    (folder / "nested/tokenizer größe.json").write_text("{}\n")
    (folder / "nested/notes.txt").write_text("may change\n")


def pem_private(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def pem_public(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def certificate(name, key, issuer=None, issuer_key=None, ca=False, usage=None, extended=None, critical=True,
                begins=datetime.datetime(2026, 1, 1), ends=datetime.datetime(2036, 1, 1), path_length=None):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(begins).not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True))
    if usage is not None:
        builder = builder.add_extension(usage, critical=critical)
    if extended is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=critical)
    return builder.sign(issuer_key or key, hashes.SHA256())


def key_usage(sign=False, certify=False):
    return x509.KeyUsage(
        digital_signature=sign, content_commitment=False, key_encipherment=not sign and not certify,
        data_encipherment=False, key_agreement=False, key_cert_sign=certify, crl_sign=certify, encipher_only=False,
        decipher_only=False)


class Maker:
    def __init__(self, work):
        self.work = work
        self.cases = []
        self.keys = {}

    def key(self, name, curve="p256"):
        key = ec.generate_private_key(CURVES[curve])
        self.keys[name] = (key, curve)
        (self.work / f"{name}.key").write_bytes(pem_private(key))
        (ROOT / f"{name}.pub").write_bytes(pem_public(key))
        return key

    def hashing(self, ignored=(), shards=None):
        config = model_signing.hashing.Config()
        if shards:
            config.use_shard_serialization(shard_size=shards)
        return config.set_ignored_paths(paths=ignored)

    def sign(self, name, key="p256", config=None):
        (model_signing.signing.Config().set_hashing_config(config or self.hashing())
         .use_elliptic_key_signer(private_key=self.work / f"{key}.key").sign(ROOT / "model", ROOT / f"{name}.sig"))

    def sign_payload(self, name, payload, key="p256"):
        """A bundle with a true signature over any payload."""
        private, curve = self.keys[key]
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        bundle = json.loads((ROOT / "p256.sig").read_text())
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(raw).decode()
        signature = private.sign(sign_sigstore_pb.pae(raw), ec.ECDSA(HASHES[curve]))
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
        (ROOT / f"{name}.sig").write_text(json.dumps(bundle))

    def edit(self, name, change, source="p256"):
        bundle = json.loads((ROOT / f"{source}.sig").read_text())
        change(bundle)
        (ROOT / f"{name}.sig").write_text(json.dumps(bundle))

    def case(self, name, signature, key=None, certificates=None, change=None, shards=None):
        """Asks model_signing, and keeps what it says. The size of pieces is told to it: version 1.1.1 does not read it from
        the statement, where it is written as 1000.0."""
        model = self.work / "copy"
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(ROOT / "model", model)
        apply(model, change)
        config = model_signing.verifying.Config()
        if shards:
            config.set_hashing_config(self.hashing(shards=shards))
        error = None
        try:
            if key:
                config.use_elliptic_key_verifier(public_key=ROOT / f"{key}.pub")
            else:
                config.use_certificate_verifier(certificate_chain=[ROOT / f"{c}.pem" for c in certificates])
            config.verify(model, ROOT / f"{signature}.sig")
        except Exception as problem:  # whatever the package raises is a refusal
            error = f"{type(problem).__name__}: {problem}".replace(str(self.work), "")[:200]
        self.cases.append({
            "name": name, "signature": signature, "key": key, "certificates": certificates, "change": change,
            "accepted": error is None, "model_signing": error})


def apply(model, change):
    """Changes a copy of the model; Tests/WaletProvenanceTests does the same."""
    if change is None:
        return
    kind, path = change[0], model / change[1]
    if kind == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(change[2])
    elif kind == "remove":
        path.unlink()
    elif kind == "link":
        path.symlink_to(change[2])
    elif kind == "flip":
        data = bytearray(path.read_bytes())
        data[change[2]] ^= 1
        path.write_bytes(data)
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:change[2]])


def main():
    if ROOT.exists():
        for path in ROOT.iterdir():
            if path.name != "README.md":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_model(ROOT / "model")
    with tempfile.TemporaryDirectory() as temporary:
        maker = Maker(pathlib.Path(temporary))
        for curve in CURVES:
            maker.key(curve, curve)
            maker.sign(curve, curve)
            maker.case(f"a key of {curve}", curve, curve)
        maker.key("other")
        maker.case("another key", "p256", "other")
        maker.case("a key of another curve", "p256", "p384")

        for title, change in [
            ("a changed byte", ["flip", "model.safetensors", 4000]), ("a shorter file", ["cut", "model.safetensors", 4999]),
            ("a missing file", ["remove", "config.json"]), ("a file more", ["write", "extra.py", "print()"]),
            ("a nested file more", ["write", "nested/deep/extra.py", "print()"]),
            ("a file of Git", ["write", ".gitattributes", "x"]), ("a folder of Git", ["write", ".git/config", "x"]),
            ("Git's names further down", ["write", "nested/.gitattributes", "x"]),
            ("a link", ["link", "linked", "config.json"]), ("an empty file filled", ["write", "empty.txt", "x"]),
        ]:
            maker.case(title, "p256", "p256", change=change)

        maker.sign("shards", config=maker.hashing(shards=1000))
        maker.case("pieces of files", "shards", "p256", shards=1000)
        for title, change in [
            ("pieces, a changed byte", ["flip", "model.safetensors", 4999]),
            ("pieces, a shorter file", ["cut", "model.safetensors", 4000]),
            ("pieces, an empty file more", ["write", "more.txt", ""]),
            ("pieces, a file more", ["write", "more.txt", "x"]),
        ]:
            maker.case(title, "shards", "p256", change=change, shards=1000)

        maker.sign("ignored", config=maker.hashing(ignored=["nested/notes.txt"]))
        maker.case("a path left out", "ignored", "p256")
        maker.case("a path left out, changed", "ignored", "p256", change=["write", "nested/notes.txt", "new"])
        maker.case("a path beside one left out", "ignored", "p256", change=["write", "nested/notes.txt.py", "new"])

        payload = json.loads(base64.b64decode(json.loads((ROOT / "p256.sig").read_text())["dsseEnvelope"]["payload"]))

        def altered(change):
            copy = json.loads(json.dumps(payload))
            change(copy)
            return copy

        for title, name, change in [
            ("a root hash of other files", "root", lambda p: p["subject"][0]["digest"].update(sha256="0" * 64)),
            ("two subjects", "subjects", lambda p: p["subject"].append(p["subject"][0])),
            ("another predicate", "predicate", lambda p: p.update(predicateType="https://example.com/x")),
            ("another statement", "statement", lambda p: p.update(_type="https://in-toto.io/Statement/v0.1")),
            ("another way of hashing", "method", lambda p: p["predicate"]["serialization"].update(method="tensors")),
            ("a true signature of the same payload", "same", lambda p: None),
        ]:
            maker.sign_payload(name, altered(change))
            maker.case(title, name, "p256")
        maker.sign_payload("forged", altered(lambda p: None), key="other")
        maker.case("a payload that somebody else signed", "forged", "p256")

        maker.edit("media", lambda b: b.update(mediaType="application/vnd.dev.sigstore.bundle.v0.1+json"))
        maker.case("another version of the bundle", "media", "p256")
        maker.edit("type", lambda b: b["dsseEnvelope"].update(payloadType="text/plain"))
        maker.case("another type of payload", "type", "p256")
        maker.edit("hint", lambda b: b["verificationMaterial"]["publicKey"].update(hint="0" * 64))
        maker.case("another key's hint", "hint", "p256")
        maker.edit("nohint", lambda b: b["verificationMaterial"]["publicKey"].pop("hint"))
        maker.case("no hint", "nohint", "p256")

        # Certificates: root, one between, and signers that may or may not sign.
        root_key, between_key, other_key = (ec.generate_private_key(CURVES["p256"]) for _ in range(3))
        root = certificate("Walet test root", root_key, ca=True, usage=key_usage(certify=True))
        between = certificate(
            "Walet test intermediate", between_key, root, root_key, ca=True, usage=key_usage(certify=True), path_length=0)
        other = certificate("Walet other root", other_key, ca=True, usage=key_usage(certify=True))
        # A root of the same name that did not sign anything here.
        double = certificate("Walet test root", other_key, ca=True, usage=key_usage(certify=True))
        for name, made in [("root", root), ("between", between), ("otherroot", other), ("doubleroot", double)]:
            (ROOT / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        code = [ExtendedKeyUsageOID.CODE_SIGNING]
        signers = {
            "signer": dict(usage=key_usage(sign=True)),
            "codesigner": dict(extended=code),
            "both": dict(usage=key_usage(sign=True), extended=code),
            "server": dict(usage=key_usage(), extended=[ExtendedKeyUsageOID.SERVER_AUTH]),
            "unmarked": dict(),
            "expired": dict(usage=key_usage(sign=True), begins=datetime.datetime(2026, 2, 1),
                            ends=datetime.datetime(2026, 2, 2)),
            "early": dict(usage=key_usage(sign=True), begins=datetime.datetime(2020, 1, 1)),
        }
        for name, options in signers.items():
            key = ec.generate_private_key(CURVES["p256"])
            (maker.work / f"{name}.key").write_bytes(pem_private(key))
            made = certificate(f"Walet test {name}", key, between, between_key, **options)
            (maker.work / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
            (model_signing.signing.Config().set_hashing_config(maker.hashing())
             .use_certificate_signer(private_key=maker.work / f"{name}.key", signing_certificate=maker.work / f"{name}.crt",
                                     certificate_chain=[ROOT / "between.pem"])
             .sign(ROOT / "model", ROOT / f"cert-{name}.sig"))
            maker.case(f"certificate: {name}", f"cert-{name}", certificates=["root"])
        maker.case("certificate: root and between", "cert-signer", certificates=["root", "between"])
        maker.case("certificate: only the one between", "cert-signer", certificates=["between"])
        maker.case("certificate: another root", "cert-signer", certificates=["otherroot"])
        maker.case("certificate: a root of the same name", "cert-signer", certificates=["doubleroot"])
        maker.case("certificate: both roots", "cert-signer", certificates=["otherroot", "root"])
        maker.case("certificate: a changed byte", "cert-signer", certificates=["root"],
                   change=["flip", "model.safetensors", 1])
        maker.edit("cert-short", lambda b: b["verificationMaterial"]["x509CertificateChain"]["certificates"].pop(),
                   source="cert-signer")
        maker.case("certificate: the one between left out", "cert-short", certificates=["root"])
        maker.case("certificate: the one between given", "cert-short", certificates=["root", "between"])
        # A signer's certificate that passes for an authority's.
        fake_key = ec.generate_private_key(CURVES["p256"])
        signer_key = serialization.load_pem_private_key((maker.work / "signer.key").read_bytes(), None)
        signer = x509.load_pem_x509_certificate((maker.work / "signer.crt").read_bytes())
        fake = certificate("Walet test fake", fake_key, signer, signer_key, usage=key_usage(sign=True))
        (maker.work / "fake.key").write_bytes(pem_private(fake_key))
        (maker.work / "fake.crt").write_bytes(fake.public_bytes(serialization.Encoding.PEM))
        (maker.work / "chain.pem").write_bytes(
            signer.public_bytes(serialization.Encoding.PEM) + between.public_bytes(serialization.Encoding.PEM))
        (model_signing.signing.Config().set_hashing_config(maker.hashing())
         .use_certificate_signer(private_key=maker.work / "fake.key", signing_certificate=maker.work / "fake.crt",
                                 certificate_chain=[maker.work / "chain.pem"])
         .sign(ROOT / "model", ROOT / "cert-fake.sig"))
        maker.case("certificate: signed by one that is no authority", "cert-fake", certificates=["root"])

        (ROOT / "cases.json").write_text(json.dumps(maker.cases, indent=1, ensure_ascii=False) + "\n")
        for case in maker.cases:
            print("accepted" if case["accepted"] else "refused ", case["name"], case["model_signing"] or "")


main()
