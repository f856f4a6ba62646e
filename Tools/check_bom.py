"""Validates bills of materials against the official JSON schema of CycloneDX 1.6, which cyclonedx-python-lib carries.

    python3 -m venv .venv-provenance && .venv-provenance/bin/pip install -r Tools/requirements-provenance.txt
    walet show MODEL --bom > bom.json
    .venv-provenance/bin/python Tools/check_bom.py bom.json [MODEL]

With MODEL, a folder, also compares the hashes with those of the files. Exit code 1 where something is wrong.
"""

import hashlib
import json
import pathlib
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main() -> int:
    if not 2 <= len(sys.argv) <= 3:
        print("usage: check_bom.py BOM.json [MODEL]", file=sys.stderr)
        return 2
    text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    failures = []
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        failures.append(f"schema: {error}")
    bom = json.loads(text)
    if "modelCard" not in bom["metadata"]["component"]:
        failures.append("no model card")
    if len(sys.argv) == 3:
        folder = pathlib.Path(sys.argv[2])
        listed = {part["name"]: part["hashes"][0]["content"] for part in bom["components"]}
        for path in sorted(folder.iterdir()):
            if path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                if listed.pop(path.name, None) != digest:
                    failures.append(f"{path.name}: another hash, or not listed")
        failures += [f"{name}: listed, and not there" for name in listed]
    for failure in failures:
        print(failure)
    print(f"{sys.argv[1]}: CycloneDX {bom['specVersion']}, {len(bom['components'])} files, {len(failures)} failures")
    return 1 if failures else 0


sys.exit(main())
