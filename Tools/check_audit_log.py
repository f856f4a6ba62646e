#!/usr/bin/env python3
"""Checks an audit log, or the fixtures of its tests, without a line of Walet's code.

The tree is pymerkle's, the signatures are checked by the cryptography package (OpenSSL).

    check_audit_log.py FOLDER [--key VKEY]     every checkpoint of a log against its entries
    check_audit_log.py --fixtures FILE         the golden values of Tests/Fixtures/audit

Prints one line and ends with 0 where all is right, else with 1 and a line that says what is wrong.
"""
import argparse
import base64
import hashlib
import json
import pathlib
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pymerkle import InmemoryTree


class Wrong(Exception):
    pass


def need(condition, message):
    if not condition:
        raise Wrong(message)


def read_key(text):
    """NAME+ID+base64(0x01 || key), as c2sp.org/signed-note has it."""
    name, identity, encoded = text.strip().split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    need(len(raw) == 33 and raw[0] == 1, "the key is not Ed25519")
    expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    need(identity == expected.hex(), "the key's id is not that of its name and bytes")
    return name, expected, Ed25519PublicKey.from_public_bytes(raw[1:])


def check_note(note, key):
    """The size and root of a note that the key has signed."""
    name, identity, public = key
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    origin, size, root = text.split("\n")[:3]
    need(origin == name, f"the note is of {origin}")
    checked = 0
    for line in signatures.splitlines():
        dash, signer, encoded = line.split(" ")
        raw = base64.b64decode(encoded, validate=True)
        if dash == "\u2014" and signer == name and raw[:4] == identity:
            try:
                public.verify(raw[4:], text.encode())
            except InvalidSignature:
                raise Wrong(f"the signature of the checkpoint of {size} entries is wrong")
            checked += 1
    need(checked > 0, f"the checkpoint of {size} entries is not signed by {name}")
    return int(size), base64.b64decode(root, validate=True)


def root_of(tree, size):
    return tree.get_state(size) if size else hashlib.sha256(b"").digest()


def check_log(folder, key_text):
    folder = pathlib.Path(folder)
    key = read_key(key_text or (folder / "key.pub").read_text())
    tree = InmemoryTree(algorithm="sha256")
    count = 0
    for segment in sorted(folder.glob("*.jsonl")):
        need(int(segment.stem) == count, f"{segment.name} follows entry {count - 1}")
        for line in segment.read_bytes().split(b"\n")[:-1]:
            entry = json.loads(line)
            need(entry["index"] == count, f"entry {entry['index']} stands in the place of {count}")
            canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            need(canonical.encode() == line, f"entry {count} is not in its one spelling")
            tree.append_entry(line)
            count += 1
    notes = [note + "\n" for note in (folder / "checkpoints.txt").read_text().split("\n\n")]
    notes = [f"{notes[index]}\n{notes[index + 1]}" for index in range(0, len(notes) - 1, 2)]
    sizes = []
    for note in notes:
        size, root = check_note(note, key)
        need(size <= count, f"a checkpoint covers {size} entries, {count} are there")
        need(root_of(tree, size) == root, f"the root of the first {size} entries is not the one that was signed")
        sizes.append(size)
    need(sizes == sorted(sizes), "a checkpoint covers fewer entries than the one before it")
    print(f"{count} entries and {len(notes)} checkpoints are right")


def check_fixtures(path):
    fixture = json.loads(pathlib.Path(path).read_text())
    tree = InmemoryTree(algorithm="sha256")
    leaves = [bytes.fromhex(leaf) for leaf in fixture["leaves"]]
    for leaf in leaves:
        tree.append_entry(leaf)
    for size, root in enumerate(fixture["roots"]):
        need(root_of(tree, size) == base64.b64decode(root), f"root of {size} leaves")
    for proof in fixture["inclusion"]:
        # pymerkle counts from 1 and puts the leaf itself first.
        path = tree.prove_inclusion(proof["index"] + 1, proof["size"]).path[1:]
        expected = [base64.b64decode(text) for text in proof["hashes"]]
        need(path == expected, f"inclusion of {proof['index']} in {proof['size']}")
    key = read_key(fixture["verifier"])
    for note in fixture["notes"]:
        size, root = check_note(note, key)
        need(root_of(tree, size) == root, f"note of {size} leaves")
    print(
        f"{len(fixture['roots'])} roots, {len(fixture['inclusion'])} inclusion proofs and "
        f"{len(fixture['notes'])} notes agree"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--key", help="the log's public key; by default that of its folder")
    parser.add_argument("--fixtures")
    arguments = parser.parse_args()
    try:
        if arguments.fixtures:
            check_fixtures(arguments.fixtures)
        elif arguments.folder:
            check_log(arguments.folder, arguments.key)
        else:
            parser.error("a folder, or --fixtures FILE")
    except Wrong as wrong:
        print(f"check_audit_log: {wrong}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
