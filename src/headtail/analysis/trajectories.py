"""Weights on their way from few-shot to many-shot, in two dimensions (figure 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils.validation import check_is_fitted

from headtail.methods.transfer import (
    MetaModelNetClassifier,
    ModelRegressionClassifier,
)

__all__ = ["TrajectoryMap", "trajectory_map"]

_PERPLEXITY = 30.0  # scikit-learn's default; fewer points need a smaller one


@dataclass(frozen=True, eq=False)
class TrajectoryMap:
    """Points of trajectories, class by class, step by step.

    Attributes
    ----------
    labels
        Class of every point: [n_points].
    steps
        Blocks that the weight has passed: [n_points].
    lengths
        Length of the weight, in units of the head: [n_points].
    coordinates
        Where it stands in the plane: [n_points, 2].
    """

    labels: npt.NDArray[Any]
    steps: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.float64]
    coordinates: npt.NDArray[np.float64]


def trajectory_map(
    classifier: MetaModelNetClassifier | ModelRegressionClassifier,
    labels: Sequence[Any] | npt.NDArray[Any] | None = None,
    *,
    method: Literal["pca", "tsne"] = "pca",
    start: Literal["own", "few-shot"] = "own",
    random_state: Any = None,
) -> TrajectoryMap:
    """Project the trajectories of classes into one plane (MetaModelNet figure 4).

    Parameters
    ----------
    classifier
        Fitted.
    labels
        The classes; None for all that have a trajectory from `start`.
    method
        The first two principal components, or t-SNE, which keeps neighbours.
    start
        As in `MetaModelNetClassifier.trajectory`.
    random_state
        Of t-SNE.

    References
    ----------
    Wang, Ramanan, Hebert. "Learning to Model the Tail." NeurIPS 2017, figure 4.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1, 2, 3], [30, 30, 30, 3])
    >>> X = np.eye(4)[y] + 0.3 * rng.normal(size=(93, 4))
    >>> clf = MetaModelNetClassifier(n_models=20, steps=5, random_state=0).fit(X, y)
    >>> result = trajectory_map(clf, [3], start="few-shot")
    >>> result.labels, result.steps, result.coordinates.shape
    (array([3, 3, 3, 3, 3]), array([0, 1, 2, 3, 4]), (5, 2))
    """
    if not isinstance(classifier, MetaModelNetClassifier | ModelRegressionClassifier):
        raise TypeError(
            "classifier must be a MetaModelNetClassifier or a "
            f"ModelRegressionClassifier; got {type(classifier).__name__}."
        )
    check_is_fitted(classifier, "head_")
    if method not in ("pca", "tsne"):
        raise ValueError(f"method must be 'pca' or 'tsne'; got {method!r}.")
    if labels is None:
        known = np.isfinite(classifier.few_shot_weight_).all(axis=1)
        labels = classifier.classes_[known | (start == "own")]
    paths = [classifier.trajectory(label, start=start) for label in labels]
    n_points, n_features = sum(map(len, paths)), classifier.n_features_in_
    if n_points < 3 or n_features < 2:
        raise ValueError(
            "A map needs three points and two features at least; got "
            f"{n_points} and {n_features}. Name more classes, or start='few-shot'."
        )
    weights = np.concatenate(paths).astype(np.float64)
    if method == "pca":
        plane = PCA(n_components=2, svd_solver="full").fit_transform(weights)
    else:
        perplexity = min(_PERPLEXITY, (len(weights) - 1) / 3)
        plane = TSNE(
            perplexity=perplexity, init="pca", random_state=random_state
        ).fit_transform(weights)
    lengths = [len(path) for path in paths]
    return TrajectoryMap(
        labels=np.repeat(np.asarray(labels), lengths),
        steps=np.concatenate([np.arange(n) for n in lengths]),
        lengths=np.linalg.norm(weights, axis=1),
        coordinates=plane.astype(np.float64),
    )
