#!/usr/bin/env bash
# Fuzzes a running server against its own specification (/openapi.json) with schemathesis.
#
#   Tools/schemathesis_run.sh http://127.0.0.1:8080 MODEL [KEY] [MORE OPTIONS OF SCHEMATHESIS]
#
# Needs the packages of Tools/requirements-sdk.txt in the Python environment that PYTHON's folder belongs to (.venv). Checked
# are: no 5xx for anything, status codes, content types, headers and bodies as specified, bodies that violate the schema
# refused, methods that a path does not know refused, and keys asked for. MODEL stands for every model name, so that requests
# get past the first check. Start the server with --max-tokens 8 --max-choices 2, or thousands of whole answers take hours.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n 's/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
base=${1%/}
model=$2
key=${3:-none}
shift $(($# < 3 ? $# : 3))
python=${PYTHON:-.venv/bin/python}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$python" - "$base" "$model" "$key" "$folder/openapi.json" <<'PYTHON'
import json
import sys
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator

base, model, key, path = sys.argv[1:]
specification = json.load(urllib.request.urlopen(base + "/openapi.json", timeout=30))
problems = list(OpenAPIV31SpecValidator(specification).iter_errors())
assert not problems, problems
for name, schema in specification["components"]["schemas"].items():
    for variant in [schema, *schema.get("oneOf", [])]:
        if name.endswith("Request") and "model" in variant.get("properties", {}):
            variant["properties"]["model"] = {"const": model}
with open(path, "w") as file:
    json.dump(specification, file)
PYTHON

# A body that violates the schema and is too large gets 413 before anybody looks into it.
cat >"$folder/schemathesis.toml" <<'TOML'
[checks]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "408", "413", "415", "422", "429", "5xx"]
TOML
authorization=()
[ "$key" = none ] || authorization=(-H "Authorization: Bearer $key")
# positive_data_acceptance is left out: that two parameters contradict each other, or that a name is that of no tool, is no
# matter of a schema, and is refused.
"${python%/*}/schemathesis" --config-file "$folder/schemathesis.toml" run "$folder/openapi.json" --url "$base" "${authorization[@]}" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,negative_data_rejection,unsupported_method,ignored_auth \
    --mode all --max-examples "${EXAMPLES:-50}" --seed 1 --request-timeout 60 --suppress-health-check all "$@"
