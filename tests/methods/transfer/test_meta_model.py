"""What MetaModelNet and model regression share, for both and the fixed split."""

import json
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone

from headtail import (
    MetaModelNetClassifier,
    load_classifier,
    load_head,
)
from headtail.files import read_tensors, write_tensors
from headtail.methods._chain import Chain, entry_blocks
from headtail.methods._validation import new_generator
from headtail.methods.transfer import _meta_model
from headtail.methods.transfer._bank import scaled_features
from headtail.methods.transfer._shot_models import many_shot_model
from headtail.registry import get_method
from headtail.samplers import hold_out

COUNTS = np.array([30, 1, 24, 6, 20])
NAMES = np.array(["ant", "bee", "cat", "dog", "eel"])
CENTERS = np.random.default_rng(7).normal(size=(5, 6))
ROWS = ["metamodelnet", "metamodelnet-fixed", "model-regression"]
USUAL = {"n_models": 5, "steps": 2, "learning_rate": 0.02, "random_state": 0}
EVERY = pytest.mark.parametrize("row", ROWS)
SOLVERS = pytest.mark.parametrize("solver", ["softmax", "ridge"])


def blobs(counts, seed=0, labels=NAMES):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return CENTERS[y] + rng.normal(size=(len(y), 6)), labels[y]


TRAIN, HELD = blobs(COUNTS), blobs([9, 8, 7, 6, 5], 1)


def estimator(row, **settings):
    """Return a row of the table, quick; of the fixed split only one candidate."""
    if row == "metamodelnet-fixed":
        settings = {"shots": (4,)} | settings
    return get_method(row).build().set_params(**(USUAL | settings))


def fitted(row, data=TRAIN, *, validation=None, split_features=None, **settings):
    return estimator(row, **settings).fit(
        *data, validation=validation, split_features=split_features
    )


def assert_same(first, second):
    """Both heads, and what lies between them, are the same bytes."""
    for name in ("head_", "plain_head_", "chain_"):
        ours, theirs = (getattr(clf, name).state_dict() for clf in (first, second))
        assert list(ours) == list(theirs)
        assert all(ours[key].equal(theirs[key]) for key in ours)
    for name in ("blocks_", "lengths_", "few_shot_weight_"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def recall(predicted, y):
    return np.mean([(predicted[y == c] == c).mean() for c in np.unique(y)])


@EVERY
@SOLVERS
def test_head_rows_stay_and_tail_rows_pass_the_chain(row, solver):
    clf = fitted(row, solver=solver)
    assert clf.classes_.tolist() == NAMES.tolist()
    assert clf.class_counts_.tolist() == COUNTS.tolist()
    counts = torch.from_numpy(COUNTS)
    assert clf.blocks_.tolist() == entry_blocks(counts, clf.shots_).tolist()
    assert clf.chain_.n_blocks == len(clf.shots_)
    stay = clf.blocks_ == clf.chain_.n_blocks
    assert stay.tolist() == [True, False, True, False, True]
    plain, head = clf.plain_head_.weight.detach(), clf.head_.weight.detach()
    for c, block in enumerate(clf.blocks_.tolist()):
        assert head[c].equal(plain[c]) == stay[c]
        moved = clf.chain_(plain[c : c + 1] * clf.unit_, block).detach() / clf.unit_
        torch.testing.assert_close(head[c : c + 1], moved)
    assert head.isfinite().all()
    assert clf.head_.center.equal(clf.plain_head_.center)
    assert clf.head_.bias is clf.plain_head_.bias is None
    assert clf.head_.classes.tolist() == NAMES.tolist()
    assert not clf.chain_.training


@EVERY
@SOLVERS
def test_the_plain_head_is_the_many_shot_model_of_all_classes(row, solver):
    clf = fitted(row, solver=solver, penalty=0.01)
    X, y = (
        torch.from_numpy(TRAIN[0]),
        torch.from_numpy(np.searchsorted(NAMES, TRAIN[1])),
    )
    scaled = scaled_features(X, y, X[:0])
    weight = many_shot_model(scaled.features, y, solver=solver, penalty=0.01)
    plain = clf.plain_head_.weight.detach() * scaled.spread
    if solver == "ridge":  # whose logits have a scale of their own
        factor = plain.norm() / weight.norm()
        assert factor > 0
        weight = weight * factor
    torch.testing.assert_close(plain, weight)
    torch.testing.assert_close(clf.plain_head_.center, scaled.center)


@EVERY
def test_a_trajectory_leads_from_the_plain_row_to_that_of_the_head(row):
    clf = fitted(row)
    for c, name in enumerate(NAMES):
        way = clf.trajectory(name)
        passed = clf.chain_.n_blocks - clf.blocks_[c]
        assert way.shape == (passed + 1, 6)
        assert way.dtype == np.float64
        np.testing.assert_allclose(way[0], clf.plain_head_.weight[c].detach())
        np.testing.assert_allclose(way[-1], clf.head_.weight[c].detach())
        for i, block in enumerate(range(clf.blocks_[c], clf.chain_.n_blocks)):
            before = torch.from_numpy(way[i : i + 1]) * clf.unit_
            after = clf.chain_.step(block, before).detach() / clf.unit_
            np.testing.assert_allclose(way[i + 1], after[0])


@EVERY
@SOLVERS
def test_a_few_shot_trajectory_passes_all_blocks(row, solver):
    clf = fitted(row, solver=solver)
    few = {"metamodelnet": 1, "metamodelnet-fixed": 4, "model-regression": 1}[row]
    assert clf.model_shots_[0] == few
    for c, name in enumerate(NAMES):
        own = clf.few_shot_weight_[c]
        assert np.isnan(own).all() == np.isnan(own).any() == (COUNTS[c] < few)
        if COUNTS[c] < few:
            with pytest.raises(ValueError, match=f"'{name}'.* has fewer .*'own'"):
                clf.trajectory(name, start="few-shot")
            continue
        way = clf.trajectory(name, start="few-shot")
        assert way.shape == (clf.chain_.n_blocks + 1, 6)
        np.testing.assert_allclose(way[0], own)
        end = clf.chain_(torch.from_numpy(own)[None] * clf.unit_).detach() / clf.unit_
        np.testing.assert_allclose(way[-1], end[0])


@EVERY
@SOLVERS
def test_few_shot_weights_are_in_the_units_of_the_head(row, solver, monkeypatch):
    # From as many examples as there are, they would be the plain ones.
    X = torch.from_numpy(TRAIN[0])

    def from_all(gather, labels, n_models, shots, *, solver, penalty, generator):
        every = gather(torch.arange(len(labels)))
        model = many_shot_model(every, labels, solver=solver, penalty=penalty)
        return model[None]

    monkeypatch.setattr(_meta_model, "shot_models", from_all)
    settings = {"shots": (1,)} if row == "metamodelnet-fixed" else {}
    clf = fitted(row, (3 * X, TRAIN[1]), solver=solver, **settings)
    np.testing.assert_allclose(clf.few_shot_weight_, clf.plain_head_.weight.detach())


def test_what_a_trajectory_does_not_know_is_refused():
    clf = fitted("metamodelnet")
    with pytest.raises(ValueError, match=r"got \['emu'\]. They are \['ant', 'bee'"):
        clf.trajectory("emu")
    with pytest.raises(ValueError, match="start must be 'own' or 'few-shot'; got 'x'"):
        clf.trajectory("ant", start="x")
    with pytest.raises(Exception, match="not fitted"):
        MetaModelNetClassifier().trajectory("ant")


@EVERY
def test_other_names_in_the_same_order_change_nothing(row):
    X, y = TRAIN
    renamed = np.array([-3, 0, 5, 7, 70])[np.searchsorted(NAMES, y)]
    ours, theirs = fitted(row), fitted(row, (X, renamed))
    assert_same(ours, theirs)
    np.testing.assert_array_equal(ours.trajectory("bee"), theirs.trajectory(0))
    assert theirs.classes_.tolist() == [-3, 0, 5, 7, 70]


@EVERY
def test_the_order_of_classes_and_examples_permutes_the_plain_rows(row):
    X, y = TRAIN
    order = np.array([3, 0, 4, 1, 2])  # class c is called NAMES[order[c]]
    mixed = np.random.default_rng(1).permutation(len(y))
    ours = fitted(row)
    theirs = fitted(row, (X[mixed], NAMES[order[np.searchsorted(NAMES, y[mixed])]]))
    torch.testing.assert_close(
        theirs.plain_head_.weight[torch.from_numpy(order)], ours.plain_head_.weight
    )
    assert theirs.blocks_[order].tolist() == ours.blocks_.tolist()
    stays = ours.blocks_ == ours.chain_.n_blocks
    torch.testing.assert_close(
        theirs.head_.weight[order[stays]], ours.head_.weight[stays]
    )


@pytest.mark.parametrize(
    ("shots", "error", "message"),
    [
        ((2, 1), ValueError, r"positive and rise; got \(2, 1\)"),
        ((1, 1), ValueError, r"positive and rise; got \(1, 1\)"),
        ((0, 1), ValueError, r"positive and rise; got \(0, 1\)"),
        ((), ValueError, r"positive and rise; got \(\)"),
        ("all", TypeError, "'auto' or a sequence of ints; got 'all'"),
        ("12", TypeError, "'auto' or a sequence of ints; got '12'"),
        (["1"], TypeError, r"'auto' or a sequence of ints; got \['1'\]"),
        ((1.0, 2.0), TypeError, "'auto' or a sequence of ints"),
        (4, TypeError, "'auto' or a sequence of ints; got 4"),
        (None, TypeError, "'auto' or a sequence of ints; got None"),
        ((1, 12), ValueError, "got 12, and the second .* has 24. Use at most 11, or"),
    ],
)
def test_shots_that_cannot_be(shots, error, message):
    for row in ROWS:
        with pytest.raises(error, match=message):
            fitted(row, shots=shots)


@EVERY
def test_the_most_shots_are_less_than_half_of_the_second_class(row):
    clf = fitted(row, shots=np.array([11]))
    assert clf.shots_ == (11,)
    assert clf.lengths_.shape == (1, 3)


@pytest.mark.parametrize(
    "n_models", [0, -1, True, "6", "all", 2.0, None, (6, 6), [6, 0, 6]]
)
def test_numbers_of_models_that_cannot_be(n_models):
    with pytest.raises(ValueError, match=r"n_models must be .* each of the 3 shots"):
        fitted("metamodelnet", shots=(1, 2, 4), n_models=n_models)


def test_numbers_of_models_may_differ():
    usual = fitted("metamodelnet", shots=(1, 4), n_models=6)
    assert_same(usual, fitted("metamodelnet", shots=[1, 4], n_models=[6, 6]))
    assert_same(usual, fitted("metamodelnet", shots=(1, 4), n_models=np.array([6, 6])))
    other = fitted("metamodelnet", shots=(1, 4), n_models=(7, 2))
    assert not other.head_.weight.equal(usual.head_.weight)


def test_automatic_numbers_are_a_tenth_of_the_papers():
    usual = fitted("model-regression", shots=(1, 2, 4, 7), n_models="auto")
    numbers = [100, 50, 20, 20]
    assert_same(usual, fitted("model-regression", shots=(1, 2, 4, 7), n_models=numbers))


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf"), "best", None])
def test_performance_weights_that_cannot_be(weight):
    for row in ROWS:
        with pytest.raises(ValueError, match="'performance_weight' parameter of"):
            fitted(row, performance_weight=weight)


@EVERY
@pytest.mark.parametrize("counts", [[20, 20, 16], [30, 2, 1], [9, 5], [150, 140, 128]])
def test_where_there_is_nothing_to_transfer_the_plain_head_stays(row, counts, tmp_path):
    X, y = blobs(counts)
    with pytest.warns(UserWarning, match="nothing to transfer.*plain classifier") as w:
        clf = fitted(
            row, (X, y), shots="auto", performance_weight="auto", validation=(X, y)
        )
    assert len(w) == 1
    assert w[0].filename == __file__
    assert f"from {min(counts)} to {max(counts)}" in str(w[0].message)
    assert clf.head_.weight.equal(clf.plain_head_.weight)
    assert clf.shots_ == ()
    assert clf.blocks_.tolist() == [0] * len(counts)
    assert clf.chain_.n_blocks == 0
    assert clf.selection_ is None
    assert clf.lengths_.shape == (0, 3)
    for c, name in enumerate(clf.classes_):
        way = clf.trajectory(name)
        np.testing.assert_allclose(way, clf.head_.weight[c : c + 1].detach())
        with pytest.raises(ValueError, match="no few-shot weight"):
            clf.trajectory(name, start="few-shot")
    clf.save_classifier(tmp_path / "plain")
    loaded = load_classifier(tmp_path / "plain")
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    assert_same(loaded, clf)


def test_one_class_of_the_tail_is_enough():
    for counts in ([17, 17, 15], [17, 17, 1], [3, 3, 1]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            clf = fitted("metamodelnet", blobs(counts))
        assert clf.blocks_.tolist()[:2] == [clf.chain_.n_blocks] * 2
        assert clf.blocks_[2] < clf.chain_.n_blocks


def captured(monkeypatch, row, **settings):
    """Return a fitted classifier, and what every candidate was: data and head."""
    candidates = []
    make = _meta_model.MetaModelClassifier._moved_head

    def record(self, ready, plan, chain):
        head = make(self, ready, plan, chain)
        candidates.append((ready, plan, head))
        return head

    monkeypatch.setattr(_meta_model.MetaModelClassifier, "_moved_head", record)
    clf = fitted(row, **settings)
    return clf, candidates[:-1]  # the last one is kept


CHOICES = pytest.mark.parametrize(
    ("row", "settings", "expected"),
    [
        (
            "metamodelnet",
            {"performance_weight": "auto"},
            [(w, [1, 2, 4, 8]) for w in (0.1, 1.0, 10.0)],
        ),
        (
            "model-regression",
            {"performance_weight": "auto"},
            [(w, [8]) for w in (0.1, 1.0, 10.0)],
        ),
        ("metamodelnet-fixed", {"shots": "auto"}, [(0.1, [k]) for k in (1, 2, 4, 8)]),
        (
            "metamodelnet-fixed",
            {"shots": (1, 5), "performance_weight": "auto"},
            [(w, [k]) for k in (1, 5) for w in (0.1, 1.0, 10.0)],
        ),
    ],
)


@CHOICES
@pytest.mark.parametrize("given", [True, False])
def test_candidates_are_scored_by_mean_recall(
    row, settings, expected, given, monkeypatch
):
    X, y = TRAIN
    settings = settings | {"learning_rate": 0.3}  # far apart
    clf, candidates = captured(
        monkeypatch, row, validation=HELD if given else None, **settings
    )
    positions = torch.from_numpy(np.searchsorted(NAMES, y))
    if given:
        kept, (X_held, y_held) = np.ones(len(y), dtype=bool), HELD
    else:
        kept = ~hold_out(positions, 0.2, new_generator(0)).numpy()
        X_held, y_held = X[~kept], y[~kept]
    scores = []
    for ready, plan, head in candidates:
        assert ready.class_counts.tolist() == torch.bincount(positions[kept]).tolist()
        assert len(ready.scaled.features) == kept.sum()
        blocks = entry_blocks(ready.class_counts, plan.shots)
        stays = blocks == len(plan.shots)
        plain = ready.weight * ready.bank.scale / ready.scaled.spread
        torch.testing.assert_close(head.weight.detach()[stays], plain[stays])
        with torch.no_grad():
            best = head(torch.from_numpy(X_held)).argmax(dim=1)
        scores.append(recall(NAMES[best.numpy()], y_held))
    record = clf.selection_
    np.testing.assert_allclose(record.scores, scores)
    tried = [(c["performance_weight"], list(c["shots"])) for c in record.candidates]
    assert tried == expected
    assert record.best_index == int(np.argmax(scores))
    assert clf.shots_ == tuple(record.best["shots"])
    assert clf.chain_.n_blocks == len(clf.shots_)
    assert record.n_samples == len(y_held)
    assert record.optimistic is False
    if given:
        assert record.data == "the validation data given to fit"
        assert record.missing_classes.tolist() == []
        assert recall(clf.predict(X_held), y_held) == pytest.approx(max(scores))
    else:
        assert record.data == "0.2 of the training data, held out"
        assert record.missing_classes.tolist() == ["bee"]
    assert clf.class_counts_.tolist() == COUNTS.tolist()
    counts = torch.from_numpy(COUNTS)
    assert clf.blocks_.tolist() == entry_blocks(counts, clf.shots_).tolist()


@pytest.mark.parametrize("row", ["metamodelnet", "model-regression"])
def test_the_first_candidate_is_what_its_weight_alone_gives(row):
    settings = {"learning_rate": 0.3, "validation": HELD}
    chosen = fitted(row, performance_weight="auto", **settings)
    alone = fitted(row, performance_weight=0.1, learning_rate=0.3)
    assert alone.selection_ is None
    score = recall(alone.predict(HELD[0]), HELD[1])
    assert chosen.selection_.scores[0] == pytest.approx(score)


def test_after_the_choice_all_is_learned_from_all_data():
    clf = fitted("metamodelnet", performance_weight="auto")
    alone = fitted("metamodelnet")
    assert clf.plain_head_.weight.equal(alone.plain_head_.weight)
    assert clf.performance_weight == "auto"
    assert clf.set_params(performance_weight=0.1).fit(*TRAIN).selection_ is None


def test_the_share_held_out_can_be_set():
    clf = fitted("metamodelnet", performance_weight="auto", validation_fraction=0.5)
    assert clf.selection_.n_samples == 15 + 12 + 3 + 10
    assert clf.selection_.data == "0.5 of the training data, held out"


@EVERY
def test_a_part_too_small_to_learn_from_is_refused_with_a_way_out(row):
    settings = {"performance_weight": "auto", "validation_fraction": 0.5}
    data = blobs([4, 4, 1])
    with pytest.raises(ValueError, match=r"validation=\(X, y\)"):
        fitted(row, data, shots="auto", **settings)
    clf = fitted(row, data, shots="auto", validation=blobs([5, 5, 5], 1), **settings)
    assert clf.shots_ == (1,)


def test_classes_that_the_validation_data_lack_are_named():
    X, y = HELD
    kept = y != "cat"
    with pytest.warns(UserWarning, match=r"lack 1 of 5 classes \(\['cat'\]\)") as w:
        clf = fitted(
            "metamodelnet", performance_weight="auto", validation=(X[kept], y[kept])
        )
    assert len(w) == 1
    assert clf.selection_.missing_classes.tolist() == ["cat"]
    assert np.isfinite(clf.selection_.scores).all()
    with pytest.warns(UserWarning, match="lack 1 of 5") as w:
        estimator("metamodelnet", performance_weight="auto").fit(
            *TRAIN, validation=(X[kept], y[kept])
        )
    assert w[0].filename == __file__


@pytest.mark.parametrize(
    ("validation", "error", "message"),
    [
        ((HELD[0], np.full(35, "emu")), ValueError, r"\['emu'\] do not"),
        ((HELD[0] * np.nan, HELD[1]), ValueError, "In the validation data: .*finite"),
        ((HELD[0][:, :3], HELD[1]), ValueError, "3 features"),
        (HELD[0], TypeError, r"must be a pair \(X, y\)"),
    ],
)
def test_validation_data_that_cannot_be_used(validation, error, message):
    with pytest.raises(error, match=message):
        fitted("metamodelnet", performance_weight="auto", validation=validation)


def called_with(features):
    """Return a function for `split_features`, and the list of what it is called for."""
    calls = []

    def split_features(labels, rows):
        calls.append((labels.tolist(), len(rows)))
        return features

    return split_features, calls


ALL_FOUR, LARGE = ["ant", "cat", "dog", "eel"], ["ant", "cat", "eel"]
HEADS = {1: ALL_FOUR, 2: ALL_FOUR, 4: LARGE, 7: LARGE, 8: LARGE}
# Where a fifth is held out, "dog" has 5 examples left, and "eel" 16.
KEPT_HEADS = [ALL_FOUR, ALL_FOUR, LARGE, ["ant", "cat"]]


@pytest.mark.parametrize(
    ("row", "settings", "shots"),
    [
        ("metamodelnet", {}, [1, 2, 4, 8]),
        ("model-regression", {}, [1, 2, 4, 8]),
        ("metamodelnet-fixed", {}, [4]),
        ("metamodelnet", {"shots": (2, 7)}, [2, 7]),
        (
            "metamodelnet",
            {"performance_weight": "auto", "validation": HELD},
            [1, 2, 4, 8],
        ),
        ("metamodelnet-fixed", {"shots": "auto", "validation": HELD}, [1, 2, 4, 8]),
    ],
)
def test_every_split_may_have_features_of_its_own(row, settings, shots):
    split_features, calls = called_with(TRAIN[0])
    own = fitted(row, split_features=split_features, **settings)
    assert calls == [(HEADS[k], len(TRAIN[0])) for k in shots]
    assert_same(own, fitted(row, **settings))


def test_the_rows_that_may_be_learned_from_are_those_that_are_kept():
    X, seen = TRAIN[0], []

    def split_features(labels, rows):
        seen.append(rows)
        return X

    clf = fitted(
        "metamodelnet", performance_weight="auto", split_features=split_features
    )
    kept = seen[0]
    assert len(kept) == len(X) - clf.selection_.n_samples
    assert (np.diff(kept) > 0).all()
    assert seen[-1].tolist() == list(range(len(X)))


def test_after_a_choice_the_splits_that_are_used_are_asked_for_again():
    for row, settings in (
        ("metamodelnet", {"performance_weight": "auto"}),
        ("metamodelnet-fixed", {"shots": "auto"}),
    ):
        split_features, calls = called_with(torch.from_numpy(TRAIN[0]))
        clf = fitted(row, split_features=split_features, **settings)
        n, n_held = len(TRAIN[0]), clf.selection_.n_samples
        assert calls == [(labels, n - n_held) for labels in KEPT_HEADS] + [
            (HEADS[k], n) for k in clf.shots_
        ]
        assert_same(clf, fitted(row, **settings))


@EVERY
def test_the_features_of_a_split_matter_up_to_their_place_and_size(row):
    X, _ = TRAIN
    usual = fitted(row)
    near = fitted(row, split_features=lambda labels, rows: 10 * X - 3)
    torch.testing.assert_close(near.head_.weight, usual.head_.weight)
    other = fitted(row, split_features=lambda labels, rows: X[:, ::-1])
    assert not other.head_.weight.allclose(usual.head_.weight)
    assert other.plain_head_.center.equal(usual.plain_head_.center)


def test_split_features_that_do_not_fit_are_refused():
    X, _ = TRAIN
    bad = X.copy()
    bad[3, 2] = np.nan
    for row, settings in (
        ("metamodelnet", {}),
        ("metamodelnet", {"performance_weight": "auto"}),
    ):
        for wrong, shape in ((X[1:], r"\[80, 6\]"), (X[:, 1:], r"\[81, 5\]")):
            message = rf"features of shape \[81, 6\].*got {shape}"
            with pytest.raises(ValueError, match=message):
                fitted(row, split_features=lambda *_, w=wrong: w, **settings)
        with pytest.raises(ValueError, match="must be finite"):
            fitted(
                row,
                split_features=lambda *_: np.full_like(X, np.inf),
                **settings,
            )
    with pytest.raises(ValueError, match=r"must be finite.*rows \[3\]"):
        fitted("metamodelnet", split_features=lambda *_: bad)


def test_features_come_from_anywhere(tmp_path):
    X, y = TRAIN
    usual = fitted("metamodelnet")
    np.save(tmp_path / "X.npy", X)
    kinds = [
        np.load(tmp_path / "X.npy", mmap_mode="r"),
        torch.from_numpy(X),
        X.astype(">f8"),
        X.tolist(),
    ]
    for own in kinds:
        assert_same(fitted("metamodelnet", (own, y)), usual)
    turned = fitted("metamodelnet", (np.asfortranarray(X), y))
    torch.testing.assert_close(turned.head_.weight, usual.head_.weight)
    codes = torch.from_numpy(np.searchsorted(NAMES, y))
    assert_same(fitted("metamodelnet", (torch.from_numpy(X), codes)), usual)


@EVERY
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_work_is_done_in_single_or_double(row, dtype):
    X, y = TRAIN
    clf = fitted(row, (X.astype(dtype), y))
    expected = torch.float64 if dtype == np.float64 else torch.float32
    assert clf.head_.weight.dtype == clf.plain_head_.weight.dtype == expected
    assert next(clf.chain_.parameters()).dtype == expected
    way = torch.from_numpy(clf.trajectory("bee", start="own"))
    assert way.dtype == torch.from_numpy(clf.few_shot_weight_).dtype == expected
    torch.testing.assert_close(
        clf.plain_head_.weight.double(),
        fitted(row).plain_head_.weight,
        rtol=0.05,
        atol=0.05,
    )


def test_data_are_never_changed():
    X, y = (array.copy() for array in TRAIN)
    fitted("metamodelnet", (X, y), performance_weight="auto")
    np.testing.assert_array_equal(X, TRAIN[0])
    np.testing.assert_array_equal(y, TRAIN[1])


@EVERY
def test_same_seed_same_bytes(row, tmp_path):
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        torch.manual_seed(len(name))  # has no say
        np.random.seed(len(name))  # noqa: NPY002
        fitted(row, random_state=seed).save_classifier(tmp_path / name)
    first, second, other = (
        (tmp_path / name).read_bytes() for name in ("first", "second", "other")
    )
    assert first == second
    assert first != other


@EVERY
def test_a_random_state_may_be_an_object(row):
    ours = fitted(row, random_state=np.random.RandomState(3))
    assert_same(ours, fitted(row, random_state=3))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_gradient_mode_of_the_caller_does_not_matter(mode):
    with mode():
        clf = fitted("metamodelnet")
    assert_same(clf, fitted("metamodelnet"))


@EVERY
def test_a_failing_fit_changes_nothing(row):
    X, y = TRAIN

    def failing(labels, rows):
        raise RuntimeError("no network")

    clf = estimator(row)
    with pytest.raises(RuntimeError, match="no network"):
        clf.fit(X, y, split_features=failing)
    assert vars(clf) == vars(estimator(row))
    before = vars(clf.fit(X, y)).copy()
    with pytest.raises(RuntimeError, match="no network"):
        clf.fit(X[:, 1:], np.where(y == "ant", "emu", y), split_features=failing)
    with pytest.raises(ValueError, match="must be finite"):
        clf.fit(X[:, 1:] * np.nan, y)
    assert vars(clf).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(clf).items())


def test_it_can_be_fitted_again_on_other_classes():
    clf = fitted("metamodelnet")
    data = blobs([20, 3, 18], 3)
    assert_same(clf.fit(*data), clone(clf).fit(*data))
    assert clf.predict_proba(HELD[0]).shape == (35, 3)


@EVERY
def test_lengths_are_those_of_weights_for_features_of_variance_one(row):
    clf = fitted(row)
    n_shots = 1 if row == "metamodelnet-fixed" else 4
    assert clf.lengths_.shape == (n_shots, 3)
    assert (clf.lengths_ > 0).all()
    # Twice as large features have weights half as large, but not these.
    twice = fitted(row, (2 * TRAIN[0], TRAIN[1]))
    np.testing.assert_allclose(twice.lengths_, clf.lengths_, rtol=1e-6)
    torch.testing.assert_close(2 * twice.head_.weight, clf.head_.weight)


@CHOICES
def test_everything_comes_back_from_a_file(row, settings, expected, tmp_path):
    clf = fitted(row, **settings)
    clf.save_classifier(tmp_path / "model")
    loaded = load_classifier(tmp_path / "model")
    assert type(loaded) is type(clf)
    assert loaded.shots_ == clf.shots_
    assert loaded.unit_ == clf.unit_
    assert_same(loaded, clf)
    X, _ = HELD
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    for name in NAMES:
        np.testing.assert_array_equal(loaded.trajectory(name), clf.trajectory(name))
    np.testing.assert_array_equal(
        loaded.trajectory("ant", start="few-shot"),
        clf.trajectory("ant", start="few-shot"),
    )
    np.testing.assert_array_equal(loaded.selection_.scores, clf.selection_.scores)
    assert not loaded.chain_.training
    assert load_head(tmp_path / "model").weight.equal(clf.head_.weight)
    again = loaded.fit(*TRAIN)
    assert_same(again, clf)


def test_a_choice_reads_the_same_from_a_file(tmp_path):
    clf = fitted("metamodelnet", performance_weight="auto")
    clf.save_classifier(tmp_path / "model")
    loaded = load_classifier(tmp_path / "model")
    assert loaded.selection_.candidates == clf.selection_.candidates
    assert loaded.selection_.facts() == clf.selection_.facts()


@pytest.mark.parametrize("row", ["metamodelnet", "model-regression"])
def test_single_precision_comes_back_from_a_file(row, tmp_path):
    X, y = TRAIN
    clf = fitted(row, (X.astype(np.float32), y))
    clf.save_classifier(tmp_path / "model")
    loaded = load_classifier(tmp_path / "model")
    assert_same(loaded, clf)
    np.testing.assert_array_equal(loaded.trajectory("bee"), clf.trajectory("bee"))


LAYER = "chain_.blocks.0.2.weight"


def renamed(fitted, tensors):
    tensors["chain_.blocks.0.2.heaviness"] = tensors.pop(LAYER)


def narrow(fitted, tensors):
    tensors[LAYER] = tensors[LAYER][:3].clone()


def whole(fitted, tensors):
    tensors[LAYER] = torch.ones(6, 6, dtype=torch.int64)


def no_number(fitted, tensors):
    tensors[LAYER][0, 0] = float("nan")


def another_chain(n_blocks, n_features, **changes):
    """Replace the chain by one that is whole, but does not fit the classifier."""

    def change(fitted, tensors):
        for name in [name for name in tensors if name.startswith("chain_.")]:
            del tensors[name]
        chain = Chain(n_blocks, n_features).double()
        tensors.update({f"chain_.{k}": t for k, t in chain.state_dict().items()})
        fitted["chain_"]["spec"].update(
            n_blocks=n_blocks, n_features=n_features, **changes
        )

    return change


def sized(**changes):
    return lambda fitted, tensors: fitted["chain_"]["spec"].update(changes)


def cut(name, *index):
    def change(fitted, tensors):
        tensors[name] = tensors[name][index].clone()

    return change


TENSORS = "a chain of 4 blocks must have their tensors"
BROKEN = {
    "tensor missing": (lambda f, t: t.pop(LAYER), TENSORS),
    "tensor more": (lambda f, t: t.update({"chain_.x": torch.ones(1)}), TENSORS),
    "not finite": (no_number, "tensors of the chain must be finite"),
    "fewer blocks": (sized(n_blocks=3), "a chain of 3 blocks"),
    "very many blocks": (sized(n_blocks=2**40), "a chain of 1099511627776 blocks"),
    "blocks no number": (sized(n_blocks="4"), "a chain of 4 blocks"),
    "width no number": (sized(n_features="6"), ""),
    "no chain": (lambda f, t: f.update(chain_=None), "chain_ must not be of type None"),
    "chain is a head": (
        lambda f, t: f.update(plain_head_=f["chain_"]),
        "a chain of 4 blocks must have their tensors",
    ),
    "block of a class missing": (cut("blocks_", slice(2)), "blocks_ must fit 5"),
    "lengths too narrow": (cut("lengths_", slice(4), slice(2)), "lengths_ must fit"),
    "few-shot weights narrow": (
        cut("few_shot_weight_", slice(5), slice(2)),
        "few_shot_weight_ must fit 5 classes",
    ),
    "unit no number": (lambda f, t: f.update(unit_="1"), "unit_ must not be"),
    "shots no tuple": (lambda f, t: f.update(shots_=4), "shots_ must not be"),
    "part missing": (lambda f, t: f.pop("unit_"), "'unit_'"),
    # These get as far as torch.
    "tensor renamed": (renamed, ""),
    "layer too narrow": (narrow, ""),
    "layer of integers": (whole, ""),
    "width is another": (sized(n_features=3), ""),
    "width below zero": (sized(n_features=-1), ""),
    "width very large": (sized(n_features=2**40), ""),
    # Every part is whole, but they do not fit each other.
    "chain of another width": (another_chain(4, 3), ""),
    "chain of fewer blocks than shots": (another_chain(2, 6), ""),
    "path is no truth": (sized(residual="no"), ""),
    "layer of another precision": (
        lambda f, t: t.update({LAYER: t[LAYER].float()}),
        "",
    ),
    "block below zero": (lambda f, t: t["blocks_"].fill_(-7), ""),
    "block beyond the chain": (lambda f, t: t["blocks_"].fill_(5), ""),
    "block no integer": (
        lambda f, t: t.update(blocks_=t["blocks_"].double()),
        "",
    ),
    "shots no numbers": (lambda f, t: f.update(shots_=["a", None, 2, 3]), ""),
    "unit zero": (lambda f, t: f.update(unit_=0.0), ""),
    "rows of the plain head unnamed": (
        lambda f, t: f["plain_head_"].update(classes=None),
        "",
    ),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model"
    fitted("metamodelnet").save_classifier(path)
    return path


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_files_whose_parts_do_not_fit_are_refused(
    change, message, saved, tmp_path, monkeypatch
):
    # Users run without the type checker of the tests, which would come first.
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    tensors, metadata = read_tensors(saved)
    metadata = json.loads(json.dumps(metadata))
    change(metadata["fitted"], tensors)
    write_tensors(tmp_path / "odd", tensors, metadata)
    with pytest.raises(
        ValueError, match=rf"(?s)odd must hold a classifier .*{message}"
    ):
        load_classifier(tmp_path / "odd")


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="device must be one that this torch can use"):
        fitted("metamodelnet", device="cuda:99")
    assert_same(fitted("metamodelnet", device="cpu"), fitted("metamodelnet"))
