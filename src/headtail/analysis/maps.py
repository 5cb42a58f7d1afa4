"""A tail class, its donors and their classifiers, in two dimensions."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from headtail.analysis._arrays import as_numpy
from headtail.analysis._composed import Composed, composed_of
from headtail.labels import positions_of
from headtail.tensors import as_tensor, shown

__all__ = ["Projection", "TransferMap", "transfer_map"]

Projection = Literal["pca", "tsne", "umap"]

_PERPLEXITY = 30.0  # scikit-learn's default; fewer points need a smaller one


@dataclass(frozen=True, eq=False)
class TransferMap:
    """Points of a class and of its strongest donors.

    Attributes
    ----------
    label
        The class that receives.
    donors
        Labels of its strongest donors but itself, the strongest first.
    kinds
        Of every point: "sample", "prototype", "weight" (trained) or "final" (composed;
        one per member of an ensemble); [n_points].
    labels
        Class of every point, [n_points].
    coordinates
        Where it stands in the plane, [n_points, 2].
    """

    label: Any
    donors: npt.NDArray[Any]
    kinds: npt.NDArray[np.str_]
    labels: npt.NDArray[Any]
    coordinates: npt.NDArray[np.float64]


@torch.no_grad()
def transfer_map(
    classifier: Any,
    X: Any,
    y: Any,
    label: Any,
    *,
    n_donors: int = 2,
    method: Projection = "pca",
    max_samples: int = 100,
    random_state: Any = 0,
) -> TransferMap | None:
    """Project a class, its donors and their vectors into one plane.

    All points are directions of the space in which the classifier composes. Of each
    class it shows samples that were not trained on, the prototype, the trained weight,
    if there is one, and the composed one.

    Parameters
    ----------
    classifier
        Fitted: compositional or count-aware transfer.
    X, y
        Validation or test features and labels; other classes' rows are left out.
    label
        The class that receives.
    n_donors
        Strongest donors that are shown.
    method
        The first two principal components, t-SNE, or UMAP as in the paper, which needs
        the extra ``umap``.
    max_samples
        Samples per class at most, the first ones.
    random_state
        Of t-SNE and UMAP.

    Returns
    -------
    map
        None if the class takes nothing from donors.

    References
    ----------
    Parisot et al. "Long-tail Recognition via Compositional Knowledge Transfer."
    CVPR 2022, supplement, figure 1.

    Examples
    --------
    >>> from headtail import CompositionalClassifier
    >>> X = np.repeat([[1.0, 0.0], [0.0, 1.0], [0.7, 0.6]], [30, 30, 5], axis=0)
    >>> y = np.repeat(["a", "b", "c"], [30, 30, 5])
    >>> clf = CompositionalClassifier(donors=20, random_state=0).fit(X, y)
    >>> result = transfer_map(clf, X, y, "c", n_donors=1)
    >>> result.donors, result.kinds[-4:].tolist()
    (array(['a'], dtype='<U1'), ['weight', 'weight', 'final', 'final'])
    """
    check_is_fitted(classifier)
    if method not in ("pca", "tsne", "umap"):
        raise ValueError(f"method must be 'pca', 'tsne' or 'umap'; got {method!r}.")
    if n_donors < 0 or max_samples < 0:
        raise ValueError(
            "n_donors and max_samples must be at least 0; got "
            f"{n_donors} and {max_samples}."
        )
    check_consistent_length(X, y)
    receiver = int(positions_of(np.asarray([label]), classifier.classes_)[0])
    if receiver < 0:
        raise ValueError(
            f"label must be one of classes_; got {label!r} (known: "
            f"{len(classifier.classes_)} classes, such as "
            f"{shown(classifier.classes_[:5])})."
        )
    composed = composed_of(classifier)
    if composed is None or receiver not in composed.receivers:
        return None
    shown_classes = _receiver_and_donors(composed, receiver, n_donors)
    positions = positions_of(as_numpy(y), classifier.classes_)
    rows = [(positions == c).nonzero()[0][:max_samples] for c in shown_classes]
    chosen = as_tensor(X)[torch.from_numpy(np.concatenate(rows))]
    samples = composed.directions(chosen.cpu())
    parts = [("sample", samples, np.repeat(shown_classes, list(map(len, rows))))]
    trained = shown_classes[(composed.weight[shown_classes] != 0).any(dim=1).numpy()]
    for kind, vectors, of in (
        ("prototype", composed.prototypes, shown_classes),
        ("weight", composed.weight, trained),
        *(("final", final, shown_classes) for final in composed.finals),
    ):
        parts.append((kind, vectors[of], of))
    points = torch.cat([vectors for _, vectors, _ in parts]).double().numpy()
    return TransferMap(
        label=label,
        donors=classifier.classes_[shown_classes[1:]],
        kinds=np.repeat([kind for kind, *_ in parts], [len(of) for *_, of in parts]),
        labels=classifier.classes_[np.concatenate([of for *_, of in parts])],
        coordinates=_plane(points, method, random_state),
    )


def _receiver_and_donors(
    composed: Composed, receiver: int, n_donors: int
) -> npt.NDArray[np.int64]:
    (shares,) = composed.shares(np.array([receiver]))
    best = shares[0].argsort(descending=True, stable=True).numpy()
    best = best[(shares[0].numpy()[best] > 0) & (best != receiver)]
    return np.concatenate([[receiver], best[:n_donors]])


def _plane(
    points: npt.NDArray[np.float64], method: Projection, random_state: Any
) -> npt.NDArray[np.float64]:
    if points.shape[1] < 2:  # the plane has an axis more than the space
        points = np.pad(points, ((0, 0), (0, 1)))
    if method == "pca":
        plane = PCA(n_components=2, svd_solver="full").fit_transform(points)
    elif method == "tsne":
        perplexity = min(_PERPLEXITY, (len(points) - 1) / 3)
        plane = TSNE(
            perplexity=perplexity, init="pca", random_state=random_state
        ).fit_transform(points)
    else:
        try:
            import umap
        except ImportError as error:
            raise ImportError(
                "A map by UMAP needs the extra 'umap'; run "
                "pip install 'headtail[umap]', or use method='pca'."
            ) from error
        n_threads = torch.get_num_threads()
        try:
            plane = umap.UMAP(
                n_neighbors=min(15, len(points) - 1),
                random_state=random_state,
                n_jobs=1,
            ).fit_transform(points)
        finally:
            # numba gives OpenMP all cores, and torch would round in another way after.
            torch.set_num_threads(n_threads)
    return np.asarray(plane, dtype=np.float64)
