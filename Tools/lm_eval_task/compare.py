"""Compares lm-eval's results with those of transformers.

    python3 Tools/lm_eval_task/compare.py FOLDER-OF-RESULTS Tools/lm_eval_task/expected.json

Shares of right answers may differ by one answer of the file, as fast precision decides a close one the other way;
perplexity by 1%.
"""

import json
import pathlib
import sys


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    file = max(pathlib.Path(sys.argv[1]).rglob("results_*.json"))
    found, expected = json.loads(file.read_text()), json.loads(pathlib.Path(sys.argv[2]).read_text())
    passed = failed = 0
    for task, metrics in expected["results"].items():
        count = found["n-samples"][task]["effective"]
        for metric, value in metrics.items():
            actual = found["results"][task].get(f"{metric},none")
            tolerance = 1 / count + 1e-9 if metric.startswith(("acc", "exact")) else value / 100
            is_right = actual is not None and abs(actual - value) <= tolerance
            passed, failed = passed + is_right, failed + (not is_right)
            print(f"{'ok     ' if is_right else 'FAILED '} {task} {metric}: {actual}, transformers {value}")
    print(f"lm-eval {found.get('lm_eval_version')}: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
