"""Print, per command, at how many moments it was killed and what was found.

``python -m tools.kill --moments 100 fit train`` kills two of them at 100 moments each;
`make kill` all of them. The exit code is 1 if anything was broken.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

# Before torch is imported: forking loses threads.
os.environ["OMP_NUM_THREADS"] = "1"

from tools.kill.scenes import COMMANDS
from tools.kill.serving import ServeTally, kill_server
from tools.kill.trials import Tally, Trials

_HEADINGS = ("killed", "at a write", "files whole", "runs ended", "equal", "broken")
_SERVER = (
    *("killed", "at a change", "acknowledged", "lost", "restarts", "equal", "broken"),
)


def main() -> int:
    """Run the trials; return 1 if anything was broken."""
    known = [*COMMANDS, "serve"]
    parser = argparse.ArgumentParser(prog="python -m tools.kill", description=__doc__)
    parser.add_argument(
        "--moments", type=int, default=100, help="at which each is running"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("commands", nargs="*", metavar="WHAT", help=", ".join(known))
    options = parser.parse_args()
    wanted = options.commands or known
    if set(wanted) - set(known) or options.moments < 1:
        parser.error(f"WHAT must be of {known}, and --moments at least 1.")
    begin, faults = time.monotonic(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        trials = Trials(folder, options.seed, wanted)
        commands = [name for name in COMMANDS if name in wanted]
        if commands:
            _print_row("command", _HEADINGS, _HEADINGS)
        for name in commands:
            tally = trials.run(name, COMMANDS[name], options.moments)
            _print_row(name, _figures(tally), _HEADINGS)
            faults += tally.faults
        if "serve" in wanted:
            served = kill_server(
                trials.store, folder / "serve", options.moments, options.seed
            )
            _print_row("command", _SERVER, _SERVER)
            _print_row("serve", _server_figures(served), _SERVER)
            faults += served.faults
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{time.monotonic() - begin:.0f} s", file=sys.stderr)
    return int(bool(faults))


def _figures(tally: Tally) -> tuple[int, ...]:
    return (
        *(tally.killed, tally.at_writes, tally.loaded),
        *(tally.ended, tally.equal, len(tally.faults)),
    )


def _server_figures(tally: ServeTally) -> tuple[int, ...]:
    return (
        *(tally.killed, tally.at_changes, tally.acknowledged, tally.lost),
        *(tally.restarts, tally.equal, len(tally.faults)),
    )


def _print_row(name: str, cells: tuple[object, ...], headings: tuple[str, ...]) -> None:
    padded = [f"{c!s:>{len(h)}}" for c, h in zip(cells, headings, strict=True)]
    print(" | ".join([f"{name:8}", *padded]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
