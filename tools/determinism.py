"""Print which methods give the same bytes again, on 1 and on 2 threads.

``python -m tools.determinism`` fits every method of the registry with one seed in four
processes, two of one thread and two of two, and compares the bytes of the heads; it
does the same for a short training and an extraction. The exit code is 1 if anything
differs between two processes of the same number of threads.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

_THREADS = (1, 1, 2, 2)
# Large enough that torch divides its work among threads.
_COUNTS, _N_FEATURES = [120, 60, 40, 25, 15, 10, 6, 4], 256


def main() -> int:
    """Print the table; return 1 if a run cannot be repeated."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.determinism", description=__doc__
    )
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help="methods, train, extract; default all")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_digests(options.one, options.names)))
        return 0
    runs = [_run(n_threads, options.names) for n_threads in _THREADS]
    broken = []
    print("| | same on 1 thread | same on 2 threads | 1 = 2 |\n|---|---|---|---|")
    for name, first in runs[0].items():
        once, again, two, two_again = first, *(run[name] for run in runs[1:])
        equal = (once == again, two == two_again, once == two)
        print(f"| `{name}` | {' | '.join('yes' if e else 'no' for e in equal)} |")
        if not all(equal[:2]):
            broken.append(name)
    print(f"not repeatable: {', '.join(broken) or 'none'}", file=sys.stderr)
    return int(bool(broken))


def _run(n_threads: int, names: list[str]) -> dict[str, str]:
    """Fit everything in a process of so many threads; return digests."""
    command = [sys.executable, "-m", "tools.determinism", "--one", str(n_threads)]
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = os.environ | dict.fromkeys(variables, str(n_threads))
    # Threads that wait leave the processor to others.
    environment["OMP_WAIT_POLICY"] = "passive"
    done = subprocess.run(
        [*command, *names], env=environment, stdout=subprocess.PIPE, check=True
    )
    digests: dict[str, str] = json.loads(done.stdout)
    return digests


def _digests(n_threads: int, names: list[str]) -> dict[str, str]:
    import torch

    from headtail.registry import METHODS

    torch.set_num_threads(n_threads)
    known = [row.name for row in METHODS] + ["train", "extract"]
    if unknown := sorted(set(names) - set(known)):
        raise SystemExit(f"Unknown: {unknown}; known are {known}.")
    digests = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few classes
        for name in names or known:
            target = Path(folder, name)
            target.mkdir()
            if name == "train":
                _train(target)
            elif name == "extract":
                _extract(target)
            else:
                _fit(name, target)
            digests[name] = _digest_of(target)
            print(f"{n_threads}: {name}", file=sys.stderr)
    return digests


def _fit(name: str, folder: Path) -> None:
    import numpy as np

    from headtail.features import FeatureSet
    from headtail.workflow import fit_method

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(_COUNTS)), _COUNTS)
    means = rng.normal(size=(len(_COUNTS), _N_FEATURES))
    features = means[labels] + 2 * rng.normal(size=(len(labels), _N_FEATURES))
    data = FeatureSet(features.astype(np.float32), labels)
    fit_method(data, name, random_state=0).save_classifier(folder / "head")


def _train(folder: Path) -> None:
    from headtail.datasets import glyphs
    from headtail.training import (
        ImageClassifier,
        Optimization,
        Schedule,
        build_backbone,
        new_head,
        train,
    )

    images = glyphs([40, 20, 10, 5], n_validation=5, n_test=1)
    backbone = build_backbone("resnet20", seed=0)
    head = new_head("linear", backbone.n_features, 4, seed=0)
    train(
        ImageClassifier(backbone, head, backbone.preprocessing),
        images.train,
        images.validation,
        folder / "run",
        optimization=Optimization(learning_rate=0.05, batch_size=25),
        schedule=Schedule(n_epochs=2),
        seed=0,
    )


def _extract(folder: Path) -> None:
    """Extract with a network of random weights, the same on any number of threads."""
    from headtail.datasets import glyphs
    from headtail.features import extract_to_folder
    from headtail.training import build_backbone

    backbone = build_backbone("resnet20", seed=0)
    images = glyphs([40, 20, 10, 5], n_test=1).train
    extract_to_folder(
        backbone, images, folder / "features", preprocessing=backbone.preprocessing
    )


def _digest_of(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        # A checkpoint is for going on; the networks beside it are the result.
        if path.is_file() and path.suffix != ".pt":
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
