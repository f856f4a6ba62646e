"""Checks a running server's /metrics with the parsers of Prometheus' client for Python, in both formats.

Needs (Python 3.11):
    pip install -r Tools/requirements-sdk.txt
Run:
    python Tools/check_metrics.py http://127.0.0.1:8080 [--key KEY]

Where `promtool` is installed (Debian's package prometheus) it reads the page too.
"""

import argparse
import math
import shutil
import subprocess
import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

parser = argparse.ArgumentParser()
parser.add_argument("base_url")
parser.add_argument("--key")
arguments = parser.parse_args()


def fetch(accept):
    request = urllib.request.Request(arguments.base_url.rstrip("/") + "/metrics", headers={"Accept": accept})
    if arguments.key:
        request.add_header("Authorization", f"Bearer {arguments.key}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def families(parse, text):
    found = {}
    for family in parse(text):
        assert family.name not in found, f"{family.name} is there twice"
        assert family.type in ("counter", "gauge", "histogram"), f"{family.name} is a {family.type}"
        assert family.documentation, f"{family.name} has no help"
        keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(set(keys)) == len(keys), f"{family.name} has a sample twice"
        for sample in family.samples:
            assert math.isfinite(sample.value), sample
            assert family.type == "gauge" or sample.value >= 0, sample
        if family.type == "histogram":
            check_histogram(family)
        found[family.name] = family.type
    return found


def check_histogram(family):
    series = {}
    for sample in family.samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        series.setdefault(labels, []).append(sample)
    for samples in series.values():
        buckets = [(float(s.labels["le"]), s.value) for s in samples if s.name.endswith("_bucket")]
        count = next(s.value for s in samples if s.name.endswith("_count"))
        assert buckets == sorted(buckets), f"{family.name} has unsorted buckets"
        assert [v for _, v in buckets] == sorted(v for _, v in buckets), f"{family.name} has a falling bucket"
        assert buckets[-1] == (math.inf, count), f"{family.name}: the last bucket is not the count"


plain_type, plain = fetch("text/plain")
open_type, openmetrics = fetch("application/openmetrics-text; version=1.0.0")
assert plain_type == "text/plain; version=0.0.4; charset=utf-8", plain_type
assert open_type == "application/openmetrics-text; version=1.0.0; charset=utf-8", open_type
first = families(parse_prometheus, plain)
second = families(parse_openmetrics, openmetrics)
assert first == second, set(first.items()) ^ set(second.items())
for name in [
    "walet_num_requests_running", "walet_num_requests_waiting", "walet_kv_cache_usage_perc", "walet_prefix_cache_queries",
    "walet_prefix_cache_hits", "walet_num_preemptions", "walet_prompt_tokens", "walet_generation_tokens",
    "walet_request_success", "walet_time_to_first_token_seconds", "walet_time_per_output_token_seconds",
    "walet_e2e_request_latency_seconds", "walet_request_queue_time_seconds", "walet_request_prefill_time_seconds",
    "walet_request_decode_time_seconds", "walet_build_info", "process_resident_memory_bytes", "process_cpu_seconds",
]:  # fmt: skip
    assert name in first, f"{name} is missing"
print(f"{len(first)} families, {len(plain.splitlines())} lines; both parsers agree")
if shutil.which("promtool"):
    result = subprocess.run(["promtool", "check", "metrics"], input=plain, text=True, capture_output=True)
    # 3 is for advice about names, which are vLLM's; what does not parse is 1.
    print(f"promtool: {result.returncode} {result.stderr.strip() or 'no remarks'}")
    if result.returncode not in (0, 3):
        sys.exit(1)
