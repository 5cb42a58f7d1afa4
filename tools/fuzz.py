"""Fuzz every loader for some time each, led by coverage: `make fuzz`.

The targets are the tests of tests/fuzz/test_loaders.py: atheris chooses the bytes that
hypothesis draws its damaged files from, and keeps those that reach new lines of ours.
One process per target; what breaks the law is printed with the file that did, and kept
in build/fuzz.
"""

import argparse
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

BUILD = Path("build/fuzz")
TESTS = "tests.fuzz.test_loaders"


def main() -> int:
    """Run all targets, or those that are named; return how many broke the law."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", help="such as npz; all by default")
    options = parser.parse_args()
    if options.one:
        return _fuzz(options.targets[0], options.seconds)
    targets = options.targets or _targets()
    broken = []
    for target in targets:
        print(f"{target}: {options.seconds} s", flush=True)
        command = [sys.executable, "-m", "tools.fuzz", "--one", target]
        done = subprocess.run([*command, "--seconds", str(options.seconds)])
        if done.returncode:
            broken.append(target)
    print(f"{len(targets)} targets, broken: {broken or 'none'}")
    return len(broken)


def _targets() -> list[str]:
    members = inspect.getmembers(importlib.import_module(TESTS), inspect.isfunction)
    names = [name for name, member in members if hasattr(member, "hypothesis")]
    return [name.removeprefix("test_") for name in names]


def _fuzz(target: str, seconds: int) -> int:
    import atheris

    with atheris.instrument_imports(include=["headtail", "zipfile", "tomllib"]):
        tests = importlib.import_module(TESTS)
    tests.seeds.build()
    corpus = BUILD / target
    corpus.mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-artifact_prefix={corpus}/broken-",
        "-rss_limit_mb=4096",
        "-timeout=60",
        "-max_len=4096",
        "-len_control=0",
        "-verbosity=0",
        "-print_final_stats=1",
        str(corpus),
    ]
    test = getattr(tests, f"test_{target}")
    atheris.Setup(arguments, test.hypothesis.fuzz_one_input)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
