"""AlphaNet's figures 6a, 6b and 4b on our data: test accuracies, nothing is chosen."""

import warnings

import numpy as np

from benchmarks.common import SETS, load, write
from headtail import AlphaNetClassifier, CosineClassifier, RetrainedClassifier
from headtail.analysis import gains_by_distance, sweep_gamma, sweep_n_neighbors


def arrays(name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Load a split as two arrays."""
    data = load(name, split)
    return np.asarray(data.features, dtype=np.float32), data.targets


def main() -> None:
    result = {}
    for name in SETS:
        train, held, test = (arrays(name, s) for s in ("train", "val", "test"))
        for build in (CosineClassifier, RetrainedClassifier):
            base = build(random_state=0)
            row = f"{name}, {type(base).__name__}"
            estimator = AlphaNetClassifier(base, random_state=0)
            with warnings.catch_warnings():  # the split lacks a class
                warnings.simplefilter("ignore", UserWarning)
                sweeps = [
                    sweep_gamma(estimator, train, test, validation=held),
                    sweep_n_neighbors(estimator, train, test, validation=held),
                ]
                gains = gains_by_distance(estimator.fit(*train, validation=held), *test)
            known = np.isfinite(gains.gains)
            correlation = np.corrcoef(gains.distances[known], gains.gains[known])[0, 1]
            result[row] = {
                "base": sweeps[0].base_accuracy.tolist(),
                "gain_distance_correlation": correlation,
                "mean_gain_few": float(gains.gains[known].mean()),
            }
            for sweep in sweeps:
                pairs = zip(
                    map(str, sweep.values), sweep.accuracy.tolist(), strict=True
                )
                result[row][sweep.parameter] = rows = dict(pairs)
                text = ", ".join(
                    f"{value}: {100 * few:.1f} {100 * every:.1f}"
                    for value, (_, _, few, every) in rows.items()
                )
                print(f"{row}, {sweep.parameter}, few and all: {text}", flush=True)
            print(f"{row}: gain against distance, correlation {correlation:+.2f}")
    write("learned_sweeps", {"seed": 0, "tables": result})


if __name__ == "__main__":
    main()
