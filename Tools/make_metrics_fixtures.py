"""Writes Tests/Fixtures/server/metrics.*: one page of metrics as the reference client for Python spells it.

Needs (Python 3.11):
    pip install prometheus_client==0.26.0
Run:
    python Tools/make_metrics_fixtures.py

Tests/WaletServerTests/Metrics/ExpositionTests.swift makes the same metrics and must spell them in the same bytes. Labels
are in alphabetical order there, since this client sorts them.
"""

import pathlib

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "server"

disable_created_metrics()
registry = CollectorRegistry()

requests = Counter("demo_requests", 'Requests, "all" of them; a \\ and\na line break.', ["kind", "route"], registry=registry)
for kind, route, amount in [
    ("", "empty label", 0.5),
    ("plain", "/v1/messages", 3),
    ('quoted "x"', "back\\slash", 1e6),
    ("two\nlines", "größer – 你好 🐦", 12345678.5),
]:
    requests.labels(kind, route).inc(amount)

level = Gauge("demo_level", "A level.", registry=registry)
level.set(-0.25)
for name, value in [
    ("not_a_number", float("nan")), ("infinite", float("inf")), ("minus_infinite", float("-inf")), ("tiny", 1e-7),
    ("huge", 1.5e300), ("million", 1e6), ("below_million", 999999.0), ("zero", 0.0),
]:  # fmt: skip
    Gauge(f"demo_{name}", "An extreme.", registry=registry).set(value)

latency = Histogram(
    "demo_latency_seconds", "Times.", ["kind"], buckets=[0.005, 0.1, 1, 2.5, 10, 1e6, 2.5e6], registry=registry
)
for kind, values in [("a", [0.001, 0.005, 0.0051, 2.5, 9.75, 1e5, 3e6]), ("b", [])]:
    child = latency.labels(kind)
    for value in values:
        child.observe(value)

FOLDER.mkdir(parents=True, exist_ok=True)
(FOLDER / "metrics.prometheus.txt").write_bytes(exposition.generate_latest(registry))
(FOLDER / "metrics.openmetrics.txt").write_bytes(openmetrics.generate_latest(registry))
