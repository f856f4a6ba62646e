"""Runs a script's checks one after the other and says how each ended; it has no command of its own."""

import traceback

CHECKS = []


class Skip(Exception):
    """This cannot be checked here, with the reason."""


def check(function):
    """Adds a function to the script's checks, in the order of the file."""
    CHECKS.append(function)
    return function


def run(title, *arguments, only=None):
    """Calls every check, or those that are named in `only` ("one,other"), prints a line each and one of sums.
    Gives the exit status of the script."""
    names = only.split(",") if only else [function.__name__ for function in CHECKS]
    passed = failed = skipped = 0
    for function in CHECKS:
        if function.__name__ not in names:
            continue
        try:
            function(*arguments)
            passed += 1
            print(f"ok      {function.__name__}")
        except Skip as reason:
            skipped += 1
            print(f"skipped {function.__name__}: {reason}")
        except Exception:  # whatever goes wrong is the finding
            failed += 1
            print(f"FAILED  {function.__name__}\n{traceback.format_exc(limit=-4)}")
    print(f"{title}: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0
