import numpy as np
import pytest
import torch

from headtail.analysis.separability import prototype_accuracy

GROUPS = ("many", "medium", "few", "all")


def draw(sizes, seed, n_features=5):
    """Overlapping classes: centers are the same for every seed."""
    centers = np.random.default_rng(0).normal(size=(len(sizes), n_features))
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return centers[y] + rng.normal(size=(len(y), n_features)), y


def reference(source, target, counts, alone):
    """Go through examples one by one; return recall per class, a dict."""
    X, y = source
    group = ["few" if n < 20 else "many" if n > 100 else "medium" for n in counts]
    prototypes = {}
    for label in range(len(counts)):
        rows = [
            x / np.linalg.norm(x) for x, own in zip(X, y, strict=True) if own == label
        ]
        if rows:
            prototypes[label] = sum(rows) / len(rows)
    hits = {}
    for x, own in zip(*target, strict=True):
        if own not in prototypes:
            continue
        rivals = {
            label: x @ p / np.linalg.norm(p)
            for label, p in prototypes.items()
            if not alone or group[label] == group[own]
        }
        hits.setdefault(own, []).append(max(rivals, key=rivals.get) == own)
    return {label: np.mean(h) for label, h in hits.items()}


def mean_over(recalls, members):
    values = [recalls[label] for label in members if label in recalls]
    return (np.mean(values) if values else np.nan), len(values)


COUNTS = np.array([300, 101, 100, 20, 19, 12, 3, 1])
SETS = {
    "train": draw([30, 20, 15, 10, 9, 6, 3, 1], 1),
    "validation": draw([4, 4, 0, 4, 4, 0, 4, 4], 2),  # misses classes 2 and 5
    "test": draw([6, 6, 6, 6, 6, 6, 0, 6], 3),  # misses class 6
}
MEMBERS = {"many": [0, 1], "medium": [2, 3], "few": [4, 5, 6, 7], "all": range(8)}


@pytest.fixture(scope="module")
def result():
    sources = {name: SETS[name] for name in ("train", "validation")}
    targets = {name: SETS[name] for name in ("train", "test")}
    return prototype_accuracy(sources, targets, COUNTS)


@pytest.mark.parametrize("source", ["train", "validation"])
@pytest.mark.parametrize("target", ["train", "test"])
def test_matches_a_loop_over_examples(result, source, target):
    cell = result.sources.index(source), result.targets.index(target)
    for alone, table in (False, result.accuracy), (True, result.within_accuracy):
        recalls = reference(SETS[source], SETS[target], COUNTS, alone)
        for column, group in enumerate(result.groups[:3]):
            expected, n = mean_over(recalls, MEMBERS[group])
            assert table[cell][column] == pytest.approx(expected, nan_ok=True)
            assert result.n_classes[cell][column] == n
    recalls = reference(SETS[source], SETS[target], COUNTS, alone=False)
    expected, n = mean_over(recalls, range(8))
    assert result.accuracy[cell][3] == result.within_accuracy[cell][3]
    assert result.accuracy[cell][3] == pytest.approx(expected)
    assert result.n_classes[cell][3] == n
    per_class = [recalls.get(label, np.nan) for label in range(8)]
    np.testing.assert_allclose(result.recall[cell], per_class)


def test_names_stand_in_the_order_given(result):
    assert result.sources == ("train", "validation")
    assert result.targets == ("train", "test")
    assert result.groups == GROUPS
    assert result.accuracy.shape == result.n_classes.shape == (2, 2, 4)
    assert result.recall.shape == (2, 2, 8)


def test_the_data_tell_all_cells_apart(result):
    # Else the comparison with the loop would pass for swapped axes.
    assert len(np.unique(result.accuracy[..., 3])) == 4
    assert (result.within_accuracy[..., 0] > result.accuracy[..., 0]).all()
    # A wrong answer within a group is possible too.
    assert (result.within_accuracy[..., 0] < 1).all()


def test_a_class_missing_from_a_source_counts_in_none_of_its_figures(result):
    n_classes = result.n_classes.tolist()
    assert n_classes[0] == [[2, 2, 4, 8], [2, 2, 3, 7]]  # class 6 is not in test
    assert n_classes[1] == [[2, 1, 3, 6], [2, 1, 2, 5]]  # 2 and 5 have no prototype
    missing = np.isnan(result.recall)
    assert missing[1, :, [2, 5]].all()
    assert missing[:, 1, 6].all()
    assert not missing[0, 0].any()


def test_scaling_every_row_changes_nothing(result):
    scales = np.random.default_rng(5).uniform(
        0.01, 100, size=(len(SETS["train"][1]), 1)
    )
    scaled = SETS["train"][0] * scales, SETS["train"][1]
    again = prototype_accuracy({"train": scaled}, {"train": scaled}, COUNTS)
    assert again.accuracy[0, 0].tolist() == result.accuracy[0, 0].tolist()


def test_the_largest_numbers_keep_their_direction(result):
    X, y = SETS["train"]
    largest = X / np.abs(X).max(axis=1, keepdims=True) * np.finfo(float).max
    sources, targets = {"train": (X, y)}, {"train": (largest, y)}
    again = prototype_accuracy(sources, targets, COUNTS)
    assert again.accuracy[0, 0].tolist() == result.accuracy[0, 0].tolist()


@pytest.mark.parametrize(
    ("dtype", "apart"), [(torch.float16, 1e-2), (torch.float32, 1e-3), (None, 1e-6)]
)
def test_near_prototypes_are_told_apart(dtype, apart):
    X = torch.tensor([[1.0, apart], [1.0, -apart]], dtype=torch.float64)
    X = X if dtype is None else X.to(dtype)
    sets = {"own": (X, [0, 1])}
    for order in [5, 50], [50, 5]:
        assert prototype_accuracy(sets, sets, order).accuracy[0, 0, 3] == 1


def test_permuted_classes_permute_the_recalls(result):
    order = np.random.default_rng(4).permutation(8)
    names = np.array(list("abcdefgh"))
    named = {name: (X, names[y]) for name, (X, y) in SETS.items()}
    again = prototype_accuracy(
        {"train": named["train"]},
        {"test": named["test"]},
        COUNTS[order],
        classes=names[order],
    )
    np.testing.assert_array_equal(again.recall[0, 0], result.recall[0, 1][order])
    np.testing.assert_allclose(again.accuracy[0, 0], result.accuracy[0, 1])


def test_the_convention_moves_the_end_points():
    sets = {"train": SETS["train"]}
    decoupling = prototype_accuracy(sets, sets, COUNTS).n_classes[0, 0]
    ckt = prototype_accuracy(sets, sets, COUNTS, convention="ckt").n_classes[0, 0]
    assert decoupling.tolist() == [2, 2, 4, 8]
    assert ckt.tolist() == [3, 0, 5, 8]


def test_an_empty_group_is_nan_with_zero_classes():
    sets = {"train": SETS["train"]}
    result = prototype_accuracy(sets, sets, np.full(8, 50))
    for table in result.accuracy, result.within_accuracy:
        assert np.isnan(table[0, 0]).tolist() == [True, False, True, False]
    assert result.n_classes[0, 0].tolist() == [0, 8, 0, 8]
    assert result.within_accuracy[0, 0, 1] == result.accuracy[0, 0, 1]


def test_one_example_per_class_is_memorised():
    X, y = np.eye(4), np.arange(4)
    result = prototype_accuracy({"own": (X, y)}, {"own": (X, y)}, [200, 50, 5, 1])
    assert result.accuracy.tolist() == [[[1, 1, 1, 1]]]


def test_a_class_of_zeros_has_no_prototype():
    X, y = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]), [0, 1, 2]
    result = prototype_accuracy({"s": (X, y)}, {"t": (np.eye(2), [0, 1])}, [5, 5, 5])
    assert result.n_classes[0, 0].tolist() == [0, 0, 1, 1]
    assert result.recall[0, 0, 0] == 1


def test_an_empty_target_has_no_figures():
    empty = np.empty((0, 5)), np.empty(0, dtype=int)
    result = prototype_accuracy({"train": SETS["train"]}, {"none": empty}, COUNTS)
    assert np.isnan(result.accuracy).all()
    assert not result.n_classes.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_tensors_and_read_only_arrays_are_taken(result, dtype):
    X, y = SETS["train"]
    fixed = X.copy()
    fixed.flags.writeable = False
    tensors = torch.from_numpy(X).to(dtype).requires_grad_(), torch.from_numpy(y)
    counts = torch.from_numpy(COUNTS)
    again = prototype_accuracy({"train": tensors}, {"train": (fixed, y)}, counts)
    np.testing.assert_allclose(again.accuracy[0, 0], result.accuracy[0, 0], atol=0.02)


def test_blocks_of_rows_give_what_one_block_gives(result, monkeypatch):
    from headtail.analysis import separability

    def two_rows(n_rows, row_size):
        return (slice(i, min(i + 2, n_rows)) for i in range(0, n_rows, 2))

    monkeypatch.setattr(separability, "row_blocks", two_rows)
    train, test = SETS["train"], SETS["test"]
    again = prototype_accuracy({"train": train}, {"test": test}, COUNTS)
    np.testing.assert_array_equal(again.recall[0, 0], result.recall[0, 1])


X, Y = SETS["train"]
GOOD = {"train": (X, Y)}
NAN = X.copy()
NAN[[3, 8], 1] = np.nan


@pytest.mark.parametrize(
    ("sources", "targets", "error", "match"),
    [
        ([(X, Y)], GOOD, TypeError, r"sources must be a mapping .*; got list"),
        (GOOD, {}, ValueError, r"targets must hold at least one set; got none"),
        (GOOD, {"t": X}, TypeError, r"targets must be a pair .*\['t'\] are not"),
        (GOOD, {"t": (X, Y[1:])}, ValueError, r"\['t'\].*\[94, 5\] and \[93\]"),
        (GOOD, {"t": (X[0], Y)}, ValueError, r"targets\['t'\] must hold.*\[5\]"),
        (GOOD, {"t": (X, Y + 1)}, ValueError, r"targets\['t'\].*8 known.*\[8\]"),
        ({"s": (X, Y.astype(str))}, GOOD, ValueError, r"sources\['s'\].*'0', '1'"),
        (GOOD, {"t": (X[:, 1:], Y)}, ValueError, r"5 in sources.*4 in targets\['t"),
        ({"s": (NAN, Y)}, GOOD, ValueError, r"sources\['s'\]: .*rows \[3, 8\]"),
        (GOOD, {"t": (NAN, Y)}, ValueError, r"targets\['t'\]: .*rows \[3, 8\]"),
        (GOOD, {"t": (X > 0, Y)}, TypeError, r"targets\['t'\]: .* real numbers"),
        ({"s": (X * 0, Y)}, GOOD, ValueError, r"sources\['s'\] holds none in 94"),
    ],
)
def test_sets_that_do_not_fit_are_refused(sources, targets, error, match):
    with pytest.raises(error, match=match):
        prototype_accuracy(sources, targets, COUNTS)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"classes": range(7)}, r"the 8 classes .*; got 7"),
        ({"classes": [0] * 8}, r"once; got 1 labels"),
    ],
)
def test_classes_that_do_not_fit_are_refused(kwargs, match):
    with pytest.raises(ValueError, match=match):
        prototype_accuracy(GOOD, GOOD, COUNTS, **kwargs)
