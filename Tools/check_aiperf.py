"""Judges what aiperf measured of a server; see run_aiperf.sh.

python3 Tools/check_aiperf.py FOLDER REQUESTS
"""

import json
import pathlib
import sys


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    found = json.loads((pathlib.Path(sys.argv[1]) / "profile_export_aiperf.json").read_text())
    requests = int(sys.argv[2])
    records = [
        json.loads(line)["metrics"]
        for line in (pathlib.Path(sys.argv[1]) / "profile_export.jsonl").read_text().splitlines()
    ]
    # aiperf counts the text of a chat, the server also what the template puts around it.
    around = {record["usage_prompt_tokens"]["value"] - record["input_sequence_length"]["value"] for record in records}

    def value(name, kind="avg"):
        return (found.get(name) or {}).get(kind)

    checks = [
        (
            "every request was answered",
            value("request_count") == requests and not found.get("error_summary"),
            f"{value('request_count'):.0f} of {requests}",
        ),
        (
            "answers have the tokens that were asked for",
            value("osl_mismatch_count") == 0,
            f"{value('output_sequence_length', 'min'):.0f} to {value('output_sequence_length', 'max'):.0f}",
        ),
        (
            "the server counts prompts as aiperf does, and as many tokens around each",
            len(around) == 1 and min(around) >= 0,
            f"{', '.join(map(str, sorted(around)))} around",
        ),
        # A text that is tokenized anew may come out with a token more or less than the model wrote.
        (
            "the server counts answers as aiperf does",
            value("usage_completion_tokens_diff_pct", "avg") < 2,
            f"difference {value('usage_completion_tokens_diff_pct'):.2f} % on average",
        ),
        (
            "cached and missed tokens are the prompt",
            value("total_usage_prompt_cache_read_tokens") + value("total_usage_prompt_cache_miss_tokens")
            == value("total_usage_prompt_tokens"),
            f"{value('total_usage_prompt_cache_read_tokens'):.0f} + "
            f"{value('total_usage_prompt_cache_miss_tokens'):.0f}",
        ),
    ]
    for what, is_right, figures in checks:
        print(f"{'ok     ' if is_right else 'FAILED '} {what}: {figures}")
    failed = sum(not is_right for _, is_right, _ in checks)
    print(
        f"{value('output_token_throughput'):.1f} tokens/s, first token p50 "
        f"{value('time_to_first_token', 'p50'):.0f} ms, p99 {value('time_to_first_token', 'p99'):.0f} ms; a token "
        f"{value('inter_token_latency', 'p50'):.1f} ms"
    )
    print(f"aiperf {found['aiperf_version']}: {len(checks) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
