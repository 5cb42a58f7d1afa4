import sys
import types

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from headtail import (
    AlphaNetClassifier,
    CompositionalClassifier,
    CosineHead,
    NearestClassMeanClassifier,
)
from headtail.analysis import maps as module
from headtail.analysis import transfer_map
from tests.analysis.composers import COUNTS, LABELS, WEIGHT, X, Y, compositional, drawn

X_TEST, Y_TEST = drawn([12, 9, 8, 7, 6, 5], 2)


@pytest.fixture
def planes(monkeypatch):
    """Return the points that were projected, and leave out the projection."""
    seen = []

    def keep(points, method, random_state):
        seen.append((points, method, random_state))
        return np.zeros((len(points), 2))

    monkeypatch.setattr(module, "_plane", keep)
    return seen


def unit(vector):
    return np.asarray(vector, float) / np.linalg.norm(vector)


def composed_by_hand(prototypes, weight, givers, temperature=10.0):
    """Return unit(unit(w_kt) + p̂ + ŵ) of every class."""
    finals = []
    for prototype, own in zip(prototypes, weight, strict=True):
        powers = [np.exp(temperature * prototype @ weight[j]) for j in givers]
        received = sum(p * weight[j] for p, j in zip(powers, givers, strict=True))
        finals.append(unit(unit(received) + prototype + own))
    return finals


def strongest(shares, receiver, n):
    others = [j for j in range(len(shares)) if j != receiver and shares[j] > 0]
    return sorted(others, key=lambda j: -shares[j])[:n]


def test_points_are_samples_prototypes_weights_and_composed_weights(planes):
    clf = compositional(donors=20)
    result = transfer_map(clf, X_TEST, Y_TEST, "fox", n_donors=2, max_samples=6)
    chosen = [3, *strongest(clf.attention_[0][3], 3, 2)]
    assert result.label == "fox"
    assert result.donors.tolist() == LABELS[chosen[1:]].tolist()
    prototypes = [
        unit(np.mean([unit(x) for x in X[label == Y]], axis=0)) for label in LABELS
    ]
    weight = [unit(row) for row in WEIGHT.numpy()]
    finals = composed_by_hand(prototypes, weight, givers=[0, 2, 5])
    expected = []
    for label in LABELS[chosen]:
        rows = [x for x, y in zip(X_TEST, Y_TEST, strict=True) if y == label]
        expected += [("sample", label, unit(row)) for row in rows[:6]]
    for kind, vectors in (
        ("prototype", prototypes),
        ("weight", weight),
        ("final", finals),
    ):
        expected += [(kind, LABELS[c], vectors[c]) for c in chosen]
    kinds, labels, points = zip(*expected, strict=True)
    assert result.kinds.tolist() == list(kinds)
    assert result.labels.tolist() == list(labels)
    ((shown, method, random_state),) = planes
    np.testing.assert_allclose(shown, points, rtol=1e-5, atol=1e-6)
    assert (method, random_state) == ("pca", 0)


def test_the_plane_is_that_of_the_principal_components(monkeypatch):
    seen = []
    plane = module._plane
    monkeypatch.setattr(
        module,
        "_plane",
        lambda points, *rest: seen.append(points) or plane(points, *rest),
    )
    result = transfer_map(compositional(), X_TEST, Y_TEST, "fox")
    (points,) = seen
    by_sklearn = PCA(n_components=2, svd_solver="full").fit_transform(points)
    np.testing.assert_allclose(result.coordinates, by_sklearn)
    centered = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centered)
    by_svd = np.abs(centered @ axes[:2].T)
    np.testing.assert_allclose(np.abs(result.coordinates), by_svd, atol=1e-12)


@pytest.mark.parametrize(
    ("donors", "n_finals"),
    [("shots", 3), ((20, "prototypes", "no-transfer"), 3), (0, 1)],
)
def test_every_member_of_an_ensemble_has_a_composed_weight(planes, donors, n_finals):
    clf = compositional(donors=donors)
    result = transfer_map(clf, X_TEST, Y_TEST, "fox", n_donors=1)
    finals = planes[0][0][result.kinds == "final"]
    assert len(finals) == 2 * n_finals
    assert result.labels[-2 * n_finals :].tolist() == ["fox", *result.donors] * n_finals
    if "prototypes" in clf.donors_:
        prototypes = planes[0][0][result.kinds == "prototype"]
        weight = planes[0][0][result.kinds == "weight"]
        np.testing.assert_allclose(finals[2:4], prototypes, rtol=1e-5)
        both = [unit(p + w) for p, w in zip(prototypes, weight, strict=True)]
        np.testing.assert_allclose(finals[4:], both, rtol=1e-5)


def test_donors_are_the_strongest_but_the_class_itself():
    # Everyone's prototype is most like itself.
    clf = compositional(donors=0, attention="prototype-to-prototype")
    assert clf.attention_[0].argmax(axis=1).tolist() == list(range(6))
    for label in LABELS:
        result = transfer_map(clf, X_TEST, Y_TEST, label, n_donors=3)
        shares = clf.attention_[0][LABELS.tolist().index(label)]
        best = strongest(shares, LABELS.tolist().index(label), 3)
        assert result.donors.tolist() == LABELS[best].tolist()
        assert set(result.labels) == {label, *result.donors}


def test_two_donors_and_a_hundred_samples_unless_asked_otherwise():
    clf = compositional(donors=0)
    result = transfer_map(clf, X, Y, "ant")
    assert len(result.donors) == 2
    samples = result.labels[result.kinds == "sample"]
    assert (samples == "ant").sum() == 100


@pytest.mark.parametrize(("n_donors", "found"), [(0, 0), (2, 2), (3, 3), (99, 3)])
def test_donors_are_as_many_as_asked_for_or_as_there_are(n_donors, found):
    clf = compositional(donors=20)
    result = transfer_map(clf, X_TEST, Y_TEST, "fox", n_donors=n_donors)
    assert len(result.donors) == found
    assert len(np.unique(result.labels)) == 1 + found
    assert np.isfinite(result.coordinates).all()


@pytest.mark.parametrize("max_samples", [0, 1, 7, 8])
def test_the_first_samples_of_each_class_are_taken(planes, max_samples):
    clf = compositional(donors=20)
    result = transfer_map(clf, X_TEST, Y_TEST, "fox", max_samples=max_samples)
    points = planes[0][0][result.kinds == "sample"]
    labels = result.labels[result.kinds == "sample"]
    for label in np.unique(result.labels):
        rows = [unit(row) for row in X_TEST[label == Y_TEST][:max_samples]]
        rows = np.reshape(rows, (-1, 5))
        np.testing.assert_allclose(points[labels == label], rows, rtol=1e-5)


def test_rows_of_other_and_of_unknown_classes_are_left_out():
    clf = compositional(donors=20)
    once = transfer_map(clf, X_TEST, Y_TEST, "fox", n_donors=1)
    shown = np.isin(Y_TEST, ["fox", *once.donors])
    more = np.r_[np.full((3, 5), np.nan), X_TEST], np.r_[["zebra"] * 3, Y_TEST]
    for features, labels in [(X_TEST[shown], Y_TEST[shown]), more]:
        again = transfer_map(clf, features, labels, "fox", n_donors=1)
        np.testing.assert_array_equal(once.coordinates, again.coordinates)


def test_a_class_without_samples_has_the_other_points():
    kept = Y_TEST != "fox"
    result = transfer_map(compositional(), X_TEST[kept], Y_TEST[kept], "fox")
    own = result.labels == "fox"
    assert "fox" not in result.labels[result.kinds == "sample"]
    assert result.kinds[own].tolist() == ["prototype", "weight", *["final"] * 3]


@pytest.mark.parametrize("kind", ["compositional", "count-aware"])
def test_an_added_class_has_no_trained_weight(count_aware, kind):
    clf = compositional() if kind == "compositional" else count_aware()
    clf.partial_fit(-X[:2], ["bee", "bee"])
    result = transfer_map(clf, -X[:3], ["bee"] * 3, "bee")
    assert "bee" not in result.donors
    assert result.labels[result.kinds == "weight"].tolist() == result.donors.tolist()
    finals = len(result.labels[result.kinds == "final"]) // 3
    assert result.kinds[result.labels == "bee"].tolist() == [
        *["sample"] * 3,
        "prototype",
        *["final"] * finals,
    ]
    assert finals == (3 if kind == "compositional" else 1)
    assert np.isfinite(result.coordinates).all()
    # Nor does it give to others.
    assert "bee" not in transfer_map(clf, X, Y, "fox", n_donors=9).donors


def test_trained_weights_beside_an_added_class_are_the_donors(planes):
    clf = compositional().partial_fit(-X[:2], ["bee", "bee"])
    result = transfer_map(clf, X_TEST, Y_TEST, "bee")
    rows = [unit(WEIGHT[LABELS.tolist().index(label)]) for label in result.donors]
    np.testing.assert_allclose(planes[0][0][result.kinds == "weight"], rows, rtol=1e-5)


@pytest.mark.parametrize("members", ["composed", "both"])
def test_points_of_count_aware_transfer_are_whitened(planes, count_aware, members):
    clf = count_aware(members=members, donors=20, transfer=0.5, prototype=1.0)
    result = transfer_map(clf, X_TEST, Y_TEST, "fox", n_donors=2)
    map, center, mixture = clf.map_, clf.center_, clf.mixture_
    prototypes = [
        unit((np.mean([unit(x) for x in X[label == Y]], axis=0) - center) @ map)
        for label in LABELS
    ]
    weight = [unit(row) for row in clf.weight_]
    powers = [np.exp(mixture["temperature"] * prototypes[3] @ w) for w in weight]
    shares = [powers[j] if j in (0, 2, 5) else 0 for j in range(6)]
    chosen = [3, *strongest(shares, 3, 2)]
    assert result.donors.tolist() == LABELS[chosen[1:]].tolist()
    points = planes[0][0]
    samples = [
        unit((unit(x) - center) @ map)
        for label in LABELS[chosen]
        for x in X_TEST[label == Y_TEST]
    ]
    finals = []
    for c in chosen:
        given = [np.exp(mixture["temperature"] * prototypes[c] @ w) for w in weight]
        received = unit(sum(given[j] * weight[j] for j in (0, 2, 5)))
        factor = mixture["half_count"] / (mixture["half_count"] + COUNTS[c])
        borrowed = 0.5 * received + 1.0 * prototypes[c]
        finals.append(unit(weight[c] + factor * borrowed))
    for kind, expected in (
        ("sample", samples),
        ("prototype", [prototypes[c] for c in chosen]),
        ("weight", [weight[c] for c in chosen]),
        ("final", finals),
    ):
        expected = np.reshape(expected, (-1, 5))
        found = points[result.kinds == kind]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_maps_are_finite_and_the_same_every_time(method):
    clf = compositional(donors=20)
    maps = [transfer_map(clf, X_TEST, Y_TEST, "fox", method=method) for _ in range(2)]
    assert maps[0].coordinates.shape == (len(maps[0].kinds), 2)
    assert maps[0].coordinates.dtype == np.float64
    assert np.isfinite(maps[0].coordinates).all()
    assert np.ptp(maps[0].coordinates, axis=0).min() > 0
    np.testing.assert_array_equal(maps[0].coordinates, maps[1].coordinates)


@pytest.fixture
def slow_numba(monkeypatch):
    """Interpret UMAP: on so few points that is faster than compiling it."""
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    yield
    for name in list(sys.modules):
        if name.split(".")[0] in ("umap", "pynndescent"):
            del sys.modules[name]


@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
@pytest.mark.usefixtures("slow_numba")
def test_maps_of_umap_are_finite():
    pytest.importorskip("umap")
    clf = compositional(donors=20)
    result = transfer_map(
        clf, X_TEST, Y_TEST, "fox", n_donors=1, max_samples=5, method="umap"
    )
    assert result.coordinates.shape == (16, 2)
    assert result.coordinates.dtype == np.float64
    assert np.isfinite(result.coordinates).all()


class Recorded:
    """Stands for t-SNE and UMAP, and keeps what they are called with."""

    def __init__(self, **options):
        type(self).options = options

    def fit_transform(self, points):
        return np.float32(points[:, :2])


class RecordedUMAP(Recorded):
    def fit_transform(self, points):
        torch.set_num_threads(torch.get_num_threads() + 1)  # as numba does
        return super().fit_transform(points)


@pytest.mark.parametrize(
    ("max_samples", "n_points", "perplexity", "n_neighbors"),
    [
        (0, 6, 5 / 3, 5),
        (4, 14, 13 / 3, 13),
        (5, 16, 5, 15),
        (42, 90, 89 / 3, 15),
        (43, 92, 30, 15),
    ],
)
def test_few_points_have_few_neighbours(
    monkeypatch, max_samples, n_points, perplexity, n_neighbors
):
    recorded = {"tsne": Recorded, "umap": RecordedUMAP}
    monkeypatch.setattr(module, "TSNE", Recorded)
    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=RecordedUMAP))
    clf, n_threads = compositional(donors=20), torch.get_num_threads()
    for method, options in {
        "tsne": {"perplexity": pytest.approx(perplexity), "init": "pca"},
        "umap": {"n_neighbors": n_neighbors, "n_jobs": 1},
    }.items():
        result = transfer_map(
            clf,
            np.repeat(X, 5, axis=0),
            np.repeat(Y, 5),
            "ant",
            n_donors=1,
            method=method,
            max_samples=max_samples,
            random_state=7,
        )
        assert len(result.kinds) == n_points
        assert recorded[method].options == {**options, "random_state": 7}
        assert torch.get_num_threads() == n_threads
        assert result.coordinates.dtype == np.float64


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"pip install 'headtail\[umap\]'"):
        transfer_map(compositional(), X_TEST, Y_TEST, "fox", method="umap")


def numbered():
    places = np.searchsorted(LABELS, Y)
    return CompositionalClassifier(CosineHead(WEIGHT), donors=20).fit(X, places)


@pytest.mark.parametrize("kind", ["tensor", "float32", "read-only", "map", "list"])
def test_arrays_of_all_kinds_are_taken(tmp_path, kind):
    places = np.searchsorted(LABELS, Y_TEST)
    clf = numbered()
    once = transfer_map(clf, X_TEST, places, 3)
    y = places.copy()
    if kind == "tensor":
        X, y = torch.from_numpy(X_TEST).requires_grad_(), torch.from_numpy(places)
    elif kind == "float32":
        X = X_TEST.astype(np.float32)
    elif kind == "read-only":
        X = X_TEST.copy()
        X.setflags(write=False)
        y.setflags(write=False)
    elif kind == "map":
        np.save(tmp_path / "X.npy", X_TEST)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    else:
        X, y = X_TEST.tolist(), y.tolist()
    again = transfer_map(clf, X, y, 3)
    np.testing.assert_allclose(once.coordinates, again.coordinates, atol=1e-6)
    assert again.label == 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", ["compositional", "count-aware"])
def test_features_on_a_device_are_taken(count_aware, kind):
    clf = compositional() if kind == "compositional" else count_aware()
    once = transfer_map(clf, X_TEST, Y_TEST, "fox")
    again = transfer_map(clf, torch.from_numpy(X_TEST).cuda(), Y_TEST, "fox")
    np.testing.assert_allclose(once.coordinates, again.coordinates, atol=1e-6)


def test_who_attends_to_nobody_has_no_map(count_aware):
    base = CosineHead(WEIGHT)
    for clf in (
        NearestClassMeanClassifier().fit(X, Y),
        compositional(donors="prototypes"),
        count_aware(members="linear"),
        count_aware(transfer=0.0),
        AlphaNetClassifier(base, epochs=1, n_neighbors=2).fit(X, Y, validation=(X, Y)),
    ):
        assert transfer_map(clf, X_TEST, Y_TEST, "fox") is None


def test_what_does_not_fit_is_refused():
    clf = compositional()
    with pytest.raises(ValueError, match=r"'pca', 'tsne' or 'umap'; got 'lda'\."):
        transfer_map(clf, X_TEST, Y_TEST, "fox", method="lda")
    with pytest.raises(ValueError, match=r"got 'bee' \(known: 6 classes, such as \["):
        transfer_map(clf, X_TEST, Y_TEST, "bee")
    with pytest.raises(ValueError, match=r"one of classes_; got '3'"):
        transfer_map(numbered(), X_TEST, Y_TEST, "3")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        transfer_map(clf, X_TEST[1:], Y_TEST, "fox")
    with pytest.raises(ValueError, match=r"at least 0; got -1 and 100"):
        transfer_map(clf, X_TEST, Y_TEST, "fox", n_donors=-1)
    with pytest.raises(ValueError, match=r"at least 0; got 2 and -1"):
        transfer_map(clf, X_TEST, Y_TEST, "fox", max_samples=-1)
    with pytest.raises(NotFittedError, match="CompositionalClassifier"):
        transfer_map(CompositionalClassifier(), X_TEST, Y_TEST, "fox")


def test_a_class_that_takes_nothing_has_no_map(count_aware):
    clf = count_aware(members="both", transfer=0.0)
    assert transfer_map(clf, X_TEST, Y_TEST, "fox") is None
    clf.partial_fit(-X[:2], ["bee", "bee"])
    assert transfer_map(clf, X_TEST, Y_TEST, "fox") is None
    assert transfer_map(clf, X_TEST, Y_TEST, "bee") is not None


def test_one_feature_has_a_map_too():
    X = np.array([[1.0], [2.0], [-1.0], [-2.0], [1.5]])
    clf = CompositionalClassifier(donors=1, random_state=0).fit(X, [0, 0, 1, 1, 2])
    result = transfer_map(clf, X, [0, 0, 1, 1, 2], 2)
    assert np.isfinite(result.coordinates).all()
    assert np.ptp(result.coordinates[:, 0]) == pytest.approx(2)
    assert np.ptp(result.coordinates[:, 1]) == pytest.approx(0, abs=1e-9)
