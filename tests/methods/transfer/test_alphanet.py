"""The AlphaNet estimator: what is composed, of what, and which epoch is kept."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.base import clone

from headtail import (
    AlphaNetClassifier,
    CosineClassifier,
    RetrainedClassifier,
    WeightScaledClassifier,
    load_classifier,
)
from headtail.heads import (
    AffineHead,
    CosineHead,
    EnsembleHead,
    LinearHead,
    linear_form,
    load_head,
)
from headtail.methods.transfer import _train_alphanet, alphanet
from headtail.methods.transfer._coefficient_training import Schedule

VARIANTS = pytest.mark.parametrize("variant", ["per-class", "direct", "shared"])
COUNTS = np.array([60, 40, 25, 20, 19, 8, 3])
NAMES = np.array(["ant", "bee", "cat", "dog", "eel", "fox", "gnu"])
CENTERS = np.random.default_rng(7).normal(size=(7, 6))


def blobs(counts, seed=0, labels=NAMES):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    return CENTERS[y] + rng.normal(size=(len(y), 6)), labels[y]


TRAIN, HELD = blobs(COUNTS), blobs([12] * 7, 1)
GENERATOR = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(7, 6, generator=GENERATOR, dtype=torch.float64)
BIAS = torch.randn(7, generator=GENERATOR, dtype=torch.float64)
SCALE = 0.5 + torch.rand(7, generator=GENERATOR, dtype=torch.float64)
LINEAR = LinearHead(WEIGHT, BIAS)
COSINE = CosineHead(WEIGHT, 6.0)
LAYER = torch.nn.Linear(6, 7)
BASES = {
    "linear": LINEAR,
    "bare": LinearHead(WEIGHT),
    "centred": LinearHead(WEIGHT, BIAS, center=BIAS[:6], normalize=True),
    "layer": LAYER,
    "cosine": COSINE,
    "scaled cosine": AffineHead(COSINE, SCALE, BIAS),
    "retrained": RetrainedClassifier(epochs=1),
    "scaled": WeightScaledClassifier(RetrainedClassifier(epochs=1), epochs=1),
    "cosine classifier": CosineClassifier(epochs=1),
}
EVERY = pytest.mark.parametrize("kind", BASES)


def alpha_net(base=LINEAR, **settings):
    usual = {"n_neighbors": 3, "epochs": 3, "random_state": 0}
    return AlphaNetClassifier(base, **(usual | settings))


def fitted(base=LINEAR, **settings):
    return alpha_net(base, **settings).fit(*TRAIN, validation=HELD)


def expected_base(base):
    """Return the base of TRAIN as one linear head."""
    if isinstance(base, torch.nn.Linear):
        return LinearHead(base.weight, base.bias)
    if isinstance(base, torch.nn.Module):
        return linear_form(base)
    estimator = clone(base)
    seeds = {"random_state": 0}
    if isinstance(base, WeightScaledClassifier):
        seeds["base__random_state"] = 0
    return linear_form(estimator.set_params(**seeds).fit(*TRAIN).head_)


def loss_of(head, X, y):
    labels = torch.from_numpy(np.searchsorted(NAMES, y))
    with torch.no_grad():
        return torch.nn.functional.cross_entropy(head(torch.from_numpy(X)), labels)


def mean_recalls(predicted, y, names):
    return np.mean([(predicted[y == c] == c).mean() for c in names])


@EVERY
@VARIANTS
def test_base_rows_stay_and_few_shot_rows_are_composed(kind, variant):
    base = BASES[kind]
    clf = fitted(base, variant=variant)
    torch.testing.assert_close(
        clf.base_head_.weight, expected_base(base).weight, check_dtype=False
    )
    ours, theirs = clf.head_, clf.base_head_
    assert type(ours) is type(theirs) is LinearHead
    assert clf.few_classes_.tolist() == [4, 5, 6]
    assert ours.weight[:4].equal(theirs.weight[:4])
    for i, c in enumerate(clf.few_classes_):
        vectors = [c, *clf.neighbors_[i]]
        terms = list(zip(clf.coefficients_[i].tolist(), vectors, strict=True))
        row = sum(a * theirs.weight[v].detach() for a, v in terms)
        torch.testing.assert_close(ours.weight[c].detach(), row)
        if theirs.bias is not None:
            bias = sum(a * theirs.bias[v].detach() for a, v in terms)
            bias = theirs.bias[c].detach() if variant == "shared" else bias
            torch.testing.assert_close(ours.bias[c].detach(), bias)
    if theirs.bias is None:
        assert ours.bias is None
    else:
        assert ours.bias[:4].equal(theirs.bias[:4])
        assert ours.bias[4:].equal(theirs.bias[4:]) == (variant == "shared")
    assert not ours.weight[4:].equal(theirs.weight[4:])
    assert ours.classes.tolist() == NAMES.tolist()


@pytest.mark.parametrize("kind", ["centred", "cosine", "scaled cosine", "linear"])
def test_centre_and_unit_length_of_the_base_are_kept(kind):
    clf, base = fitted(BASES[kind]), expected_base(BASES[kind])
    X = torch.from_numpy(HELD[0])
    torch.testing.assert_close(clf.base_head_(X), base(X))
    assert clf.head_.normalize == clf.base_head_.normalize == base.normalize
    if base.center is None:
        assert clf.head_.center is None
    else:
        assert clf.head_.center.equal(base.center)
    with torch.no_grad():
        np.testing.assert_array_equal(clf.head_(X), clf.decision_function(HELD[0]))
        before = clf.base_head_(X)[:, :4]
    np.testing.assert_allclose(clf.head_(X).detach()[:, :4], before, rtol=1e-9)


def test_the_default_base_is_the_retrained_classifier_with_the_same_seed():
    X, y = blobs([30, 25, 20, 5])
    clf = AlphaNetClassifier(n_neighbors=2, epochs=1, random_state=3).fit(X, y)
    base = RetrainedClassifier(random_state=3).fit(X, y)
    assert clf.base_head_.weight.equal(base.head_.weight)
    assert clf.base_head_.bias.equal(base.head_.bias)


@pytest.mark.parametrize("kind", ["linear", "layer", "cosine", "scaled cosine"])
def test_the_head_given_is_never_changed(kind):
    base = BASES[kind]
    before = {name: value.clone() for name, value in base.state_dict().items()}
    fitted(base)
    assert all(value.equal(before[name]) for name, value in base.state_dict().items())
    assert all(parameter.grad is None for parameter in base.parameters())


@pytest.mark.filterwarnings("ignore:The epoch is chosen on training data")
def test_rows_of_the_base_match_by_label():
    order = torch.tensor([3, 6, 0, 2, 5, 1, 4])
    named = LinearHead(WEIGHT[order], BIAS[order], classes=NAMES[order])
    ours, expected = fitted(named), fitted(LINEAR)
    assert ours.head_.weight.equal(expected.head_.weight)
    with pytest.raises(ValueError, match="7 distinct labels"):
        alpha_net(LinearHead(WEIGHT[:6])).fit(*TRAIN)
    with pytest.raises(TypeError, match=r"one weight vector .*got Ensemble"):
        alpha_net(EnsembleHead([LINEAR])).fit(*TRAIN)
    with pytest.raises(TypeError, match="base must be a classifier of headtail"):
        alpha_net("lws").fit(*TRAIN)


def test_neighbours_are_the_base_classes_with_the_nearest_means():
    X, y = TRAIN
    clf = fitted()
    means = np.array([X[y == name].mean(axis=0) for name in NAMES])
    for i, c in enumerate([4, 5, 6]):
        distances = np.linalg.norm(means[:4] - means[c], axis=1)
        nearest = np.argsort(distances)[:3]
        assert clf.neighbors_[i].tolist() == nearest.tolist()
        np.testing.assert_allclose(clf.neighbor_distances_[i], distances[nearest])


def test_the_order_of_classes_changes_nothing_but_their_order():
    # Full batches of all base examples: nothing that is drawn has a say.
    order = np.array([5, 2, 6, 0, 3, 4, 1])  # class c is called NAMES[order[c]]
    settings = {"variant": "direct", "batch_size": 1000, "base_ratio": 145 / 30}
    ours = fitted(**settings, epochs=8)
    positions = torch.from_numpy(np.argsort(order))
    renamed = alpha_net(
        LinearHead(WEIGHT[positions], BIAS[positions]), **settings, epochs=8
    )
    (X, _), (X_held, _) = TRAIN, HELD
    renamed.fit(
        X,
        np.repeat(NAMES[order], COUNTS),
        validation=(X_held, np.repeat(NAMES[order], 12)),
    )
    rows = [renamed.few_classes_.tolist().index(order[c]) for c in ours.few_classes_]
    np.testing.assert_array_equal(renamed.neighbors_[rows], order[ours.neighbors_])
    np.testing.assert_allclose(
        renamed.best_coefficients_[:, rows], ours.best_coefficients_, rtol=1e-9
    )
    np.testing.assert_allclose(renamed.selection_.scores, ours.selection_.scores)
    np.testing.assert_allclose(
        renamed.head_.weight.detach()[order], ours.head_.weight.detach(), rtol=1e-9
    )


@pytest.mark.parametrize("variant", ["per-class", "direct"])
@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.6, 0.9, 1.0])
def test_coefficients_keep_the_bounds_and_learn_from_where_clamps_act(variant, gamma):
    clf = fitted(variant=variant, gamma=gamma, epochs=20)
    start = np.array([gamma] + [(1 - gamma) / 3] * 3)
    best = clf.best_coefficients_
    assert (np.abs(best[:, :, 0]) <= gamma).all()
    assert (np.abs(best[:, :, 1:]) >= (1 - gamma) / 3).all()
    assert np.abs(best - start).max() > 0.02


@VARIANTS
def test_the_composed_head_fits_the_few_shot_classes_better(variant):
    X, y = TRAIN
    few = np.isin(y, NAMES[4:])
    clf = fitted(variant=variant, epochs=30, base_ratio=0.1, learning_rate=0.02)
    assert loss_of(clf.head_, X[few], y[few]) < loss_of(LINEAR, X[few], y[few])


def test_the_own_coefficient_of_the_shared_network_is_one():
    clf = fitted(variant="shared")
    assert (clf.best_coefficients_[:, :, 0] == 1).all()
    sizes = np.abs(clf.best_coefficients_[:, :, 1:]).sum(axis=2)
    np.testing.assert_allclose(sizes, 1)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("per-class", Schedule(100, 64, 0.1, 20, False, 1.0, False)),
        ("direct", Schedule(100, 64, 0.1, 20, False, 1.0, False)),
        ("shared", Schedule(25, 64, 0.001, 10, True, 1.0, True)),
    ],
)
def test_the_usual_schedules_are_those_of_the_paper_and_the_code(
    variant, expected, monkeypatch
):
    seen = []
    train = _train_alphanet.train_coefficients

    def recording(*args, schedule, **kwargs):
        seen.append(schedule)
        return train(*args, schedule=schedule._replace(epochs=1), **kwargs)

    monkeypatch.setattr(_train_alphanet, "train_coefficients", recording)
    AlphaNetClassifier(LINEAR, n_neighbors=2, variant=variant).fit(
        *TRAIN, validation=HELD
    )
    own = {"epochs": 7, "learning_rate": 0.5, "base_ratio": 2.0, "batch_size": 9}
    fitted(variant=variant, **own)
    assert seen == [expected, expected._replace(**own)]


@pytest.mark.parametrize("factor", [1e-3, 1e3])
@pytest.mark.parametrize("variant", ["per-class", "shared"])
def test_the_length_of_weights_does_not_change_what_networks_see(variant, factor):
    vectors = torch.tensor([[4, 0, 1], [5, 2, 3], [6, 1, 0]])
    networks = [
        _train_alphanet._network(
            weight, vectors, variant, 0.6, None, torch.Generator().manual_seed(0)
        )
        for weight in (WEIGHT, factor * WEIGHT)
    ]
    first, second = (network.state_dict() for network in networks)
    assert first.keys() == second.keys()
    for name, values in first.items():
        torch.testing.assert_close(values, second[name])
    if variant == "shared":
        rows = WEIGHT / WEIGHT.square().sum(dim=1).mean().sqrt()
        torch.testing.assert_close(first["inputs"], rows[vectors].flatten(1))


# Recalls of seven classes: of the base classes and of the few-shot ones, by epoch.
BASE_RECALLS = [0.9, 0.1, 0.6, 0.8, 0.1, 0.5, 0.4]
FEW_RECALLS = [0.1, 0.9, 0.4, 0.4, 0.8, 0.6, 0.8]


def told(monkeypatch, n_epochs):
    recalls = [
        [b] * 4 + [f] * 3 for b, f in zip(BASE_RECALLS, FEW_RECALLS, strict=True)
    ]
    recalls = torch.tensor(recalls[:n_epochs], dtype=torch.float64)
    monkeypatch.setattr(alphanet, "epoch_recalls", lambda *_: recalls)
    return recalls.numpy()


@pytest.mark.parametrize(
    ("variant", "n_epochs", "first", "best_few", "best_overall"),
    [
        ("per-class", 7, 1, 2, 4),
        ("direct", 7, 1, 2, 4),
        ("shared", 7, 5, 5, 7),
        ("shared", 6, 5, 5, 6),
        ("shared", 5, 5, 5, 5),
        ("shared", 3, 3, 3, 3),
        ("shared", 1, 1, 1, 1),
    ],
)
@pytest.mark.parametrize("select", ["few", "overall"])
def test_of_the_epochs_the_best_is_kept(
    variant, n_epochs, first, best_few, best_overall, select, monkeypatch
):
    recalls = told(monkeypatch, n_epochs)
    clf = fitted(variant=variant, epochs=n_epochs, select=select)
    record = clf.selection_
    epochs = list(range(first, n_epochs + 1))
    assert list(record.candidates) == [{"epochs": e} for e in epochs]
    scores = recalls[:, 4:] if select == "few" else recalls
    np.testing.assert_allclose(record.scores, scores.mean(axis=1)[first - 1 :])
    assert record.best["epochs"] == (best_few if select == "few" else best_overall)
    own = clf.best_coefficients_[int(select == "overall")]
    np.testing.assert_array_equal(clf.coefficients_, own)
    # Which epochs these are: a shorter training ends with them.
    for i, last in enumerate((best_few, best_overall)):
        told(monkeypatch, last)
        monkeypatch.setattr(alphanet, "FIRST_EPOCH", {variant: last})
        short = fitted(variant=variant, epochs=last)
        np.testing.assert_array_equal(short.coefficients_, clf.best_coefficients_[i])


def test_both_best_heads_are_at_hand(monkeypatch):
    told(monkeypatch, 7)
    few, overall = (fitted(epochs=7, select=select) for select in ("few", "overall"))
    assert not few.head_.weight.equal(overall.head_.weight)
    for clf in (few, overall):
        assert clf.best_head("few").weight.equal(few.head_.weight)
        assert clf.best_head("few").bias.equal(few.head_.bias)
        assert clf.best_head("overall").weight.equal(overall.head_.weight)
        assert clf.best_head("overall").classes.tolist() == NAMES.tolist()
    with pytest.raises(ValueError, match="'few' or 'overall'; got 'many'"):
        few.best_head("many")


@VARIANTS
@pytest.mark.parametrize("select", ["few", "overall"])
def test_scores_are_mean_recalls_on_the_data_given(variant, select):
    clf = fitted(variant=variant, select=select, epochs=1)
    names = NAMES[4:] if select == "few" else NAMES
    score = mean_recalls(clf.predict(HELD[0]), HELD[1], names)
    np.testing.assert_allclose(clf.selection_.scores, [score])
    record = clf.selection_
    assert record.data == "the validation data given to fit"
    assert record.n_samples == 84
    assert record.missing_classes.tolist() == []
    assert record.optimistic is False
    assert record.facts()["best"] == {"epochs": 1}


def test_a_fifth_is_held_out_class_by_class_and_all_of_it_trained_on_again():
    base = RetrainedClassifier(epochs=1)
    clf = alpha_net(base).fit(*TRAIN)
    record = clf.selection_
    assert record.n_samples == 12 + 8 + 5 + 4 + 4 + 2 + 1
    assert record.data == "0.2 of the training data, held out"
    assert record.optimistic is False
    assert clf.base_head_.weight.equal(expected_base(base).weight)
    assert clf.class_counts_.tolist() == COUNTS.tolist()
    # The means of all examples, not of those that were left.
    np.testing.assert_array_equal(
        clf.neighbor_distances_, fitted(base).neighbor_distances_
    )
    half = alpha_net(base, validation_fraction=0.5).fit(*TRAIN)
    assert half.selection_.n_samples == 30 + 20 + 12 + 10 + 10 + 4 + 2
    assert half.selection_.data == "0.5 of the training data, held out"


@pytest.mark.filterwarnings("ignore:The epoch is chosen on training data")
def test_held_out_examples_are_not_trained_on(monkeypatch):
    seen = []
    recalls, train = alphanet.epoch_recalls, alphanet.train_alphanet

    def training(head, features, positions, *args, **kwargs):
        seen.append(features)
        return train(head, features, positions, *args, **kwargs)

    def scoring(history, composition, frozen, labels):
        seen.append(labels)
        return recalls(history, composition, frozen, labels)

    monkeypatch.setattr(alphanet, "train_alphanet", training)
    monkeypatch.setattr(alphanet, "epoch_recalls", scoring)
    alpha_net().fit(*TRAIN)
    part, labels, whole = seen
    assert len(part) == 175 - 36
    assert torch.bincount(labels).tolist() == [12, 8, 5, 4, 4, 2, 1]
    assert len(whole) == 175


@pytest.mark.parametrize("given", [True, False])
def test_the_base_is_fitted_no_more_than_is_needed(given, monkeypatch):
    sizes = []
    fit = RetrainedClassifier.fit

    def counting(self, X, y):
        sizes.append(len(X))
        return fit(self, X, y)

    monkeypatch.setattr(RetrainedClassifier, "fit", counting)
    extra = {"validation": HELD} if given else {}
    alpha_net(RetrainedClassifier(epochs=1)).fit(*TRAIN, **extra)
    assert sizes == ([175] if given else [175 - 36, 175])


def test_a_trained_head_without_validation_is_optimistic():
    with pytest.warns(UserWarning, match="the choice is optimistic"):
        assert alpha_net().fit(*TRAIN).selection_.optimistic is True
    assert fitted().selection_.optimistic is False


def test_held_out_data_without_few_shot_classes_choose_overall():
    X, y = blobs([60, 40, 25, 20, 2, 1, 2])
    clf = alpha_net(RetrainedClassifier(epochs=1))
    with pytest.warns(UserWarning, match="No few-shot class has a held-out") as w:
        clf.fit(X, y)
    assert [warning.filename for warning in w] == [__file__]
    assert clf.selection_.missing_classes.tolist() == ["eel", "fox", "gnu"]
    np.testing.assert_array_equal(*clf.best_coefficients_)
    with pytest.warns(UserWarning, match="lack 3 of 7|No few-shot class") as w:
        clf.fit(X, y, validation=blobs([9] * 4))
    assert [warning.filename for warning in w] == [__file__] * 2
    messages = " ".join(str(warning.message) for warning in w)
    assert "lack 3 of 7 classes" in messages
    assert "No few-shot class" in messages


def test_few_shot_classes_without_held_out_examples_have_no_say():
    X, y = blobs([60, 40, 25, 20, 19, 2, 1])
    clf = alpha_net(RetrainedClassifier(epochs=1), select="few", epochs=1).fit(X, y)
    assert clf.selection_.missing_classes.tolist() == ["fox", "gnu"]
    assert np.isfinite(clf.selection_.scores).all()


def test_no_example_to_hold_out_is_an_error():
    clf = alpha_net(RetrainedClassifier(epochs=1), validation_fraction=0.005)
    with pytest.raises(ValueError, match=r"AlphaNet needs .*0\.005.*largest has 60"):
        clf.fit(*TRAIN)


@pytest.mark.parametrize(
    ("counts", "lacking"), [([60, 40, 25, 20], "few-shot"), ([19, 8, 5, 3], "base")]
)
@pytest.mark.parametrize("extra", [{}, {"validation": blobs([5] * 4, 1)}])
def test_without_giver_or_receiver_the_base_stays(counts, lacking, extra, tmp_path):
    base = LinearHead(WEIGHT[:4], BIAS[:4])
    clf = alpha_net(base)
    with pytest.warns(UserWarning, match=f"There is no {lacking} class") as w:
        clf.fit(*blobs(counts), **extra)
    assert [warning.filename for warning in w] == [__file__]
    for head in (clf.head_, clf.best_head("few"), clf.best_head("overall")):
        assert head.weight.equal(base.weight)
        assert head.bias.equal(base.bias)
        assert head.classes.tolist() == NAMES[:4].tolist()
    assert clf.selection_ is None
    assert clf.few_classes_.tolist() == []
    assert clf.neighbors_.shape == clf.neighbor_distances_.shape == (0, 3)
    assert clf.coefficients_.shape == (0, 4)
    assert clf.best_coefficients_.shape == (2, 0, 4)
    clf.save_classifier(tmp_path / "head")
    loaded = load_classifier(tmp_path / "head")
    assert loaded.head_.weight.equal(base.weight)
    assert loaded.best_coefficients_.shape == (2, 0, 4)


@VARIANTS
def test_of_too_few_base_classes_all_are_neighbours(variant):
    clf = alpha_net(n_neighbors=5, variant=variant)
    with pytest.warns(UserWarning, match="base classes, .* are only 4") as w:
        clf.fit(*TRAIN, validation=HELD)
    assert [warning.filename for warning in w] == [__file__]
    assert np.sort(clf.neighbors_, axis=1).tolist() == [[0, 1, 2, 3]] * 3
    assert clf.coefficients_.shape == (3, 5)
    assert clf.n_neighbors == 5


def test_one_base_class_and_one_few_shot_class():
    X, y = blobs([20, 19])
    base = LinearHead(WEIGHT[:2], BIAS[:2])
    clf = alpha_net(base, n_neighbors=1).fit(X, y, validation=blobs([5, 5], 1))
    assert clf.neighbors_.tolist() == [[0]]
    assert clf.decision_function(X).shape == (39,)


@pytest.mark.parametrize("n_components", [1, 3, 6])
def test_the_number_of_components_can_be_set(n_components):
    clf = fitted(n_components=n_components)
    default = fitted()
    same = np.array_equal(clf.coefficients_, default.coefficients_)
    assert same == (n_components == 6)  # min(6 features, 7 - 1)


def test_more_components_than_there_are_is_an_error():
    message = "6 features and 7 classes. Use at most 6, or 'auto'"
    with pytest.raises(ValueError, match=f"got 7 for {message}"):
        alpha_net(n_components=7).fit(*TRAIN)
    X, y = blobs([30, 20, 4])
    with pytest.raises(ValueError, match="got 3 for 6 features and 3 classes"):
        alpha_net(LinearHead(WEIGHT[:3]), n_components=3).fit(X, y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("variant", "per-head"),
        ("n_neighbors", 0),
        ("n_neighbors", 1.5),
        ("gamma", -0.1),
        ("gamma", 1.1),
        ("n_components", 0),
        ("n_components", "all"),
        ("select", "many"),
        ("base_ratio", -1.0),
        ("epochs", 0),
        ("learning_rate", 0.0),
        ("batch_size", 0),
        ("validation_fraction", 0.0),
        ("validation_fraction", 1.0),
        ("random_state", "seed"),
        ("device", 3),
    ],
)
def test_refuses_other_parameters(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of AlphaNet"):
        alpha_net(**{name: value}).fit(*TRAIN)


def test_refuses_validation_data_that_do_not_fit():
    clf = alpha_net()
    with pytest.raises(TypeError, match="must be a pair"):
        clf.fit(*TRAIN, validation=HELD[0])
    with pytest.raises(ValueError, match="must occur in the training data"):
        clf.fit(*TRAIN, validation=(HELD[0][:1], ["lynx"]))
    with pytest.raises(ValueError, match="In the validation data: X must be finite"):
        clf.fit(*TRAIN, validation=(np.full((1, 6), np.nan), ["ant"]))


@VARIANTS
@pytest.mark.parametrize("ratio", [0.0, 0.01])
def test_base_examples_can_be_left_out(variant, ratio):
    clf = fitted(variant=variant, base_ratio=ratio)
    assert np.isfinite(clf.coefficients_).all()


@VARIANTS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_overconfident_base_does_not_end_in_nan(variant, dtype):
    X, y = TRAIN
    head = LinearHead(1e5 * WEIGHT, 1e5 * BIAS)
    assert head(torch.from_numpy(X)).abs().max() > 1e5
    base = head.float() if dtype == np.float32 else head
    clf = alpha_net(base, variant=variant, epochs=20)
    clf.fit(X.astype(dtype), y, validation=HELD)
    assert np.isfinite(clf.best_coefficients_).all()
    assert np.isfinite(clf.predict_proba(X)).all()


@VARIANTS
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_coefficients_are_of_the_base_heads_kind(variant, dtype):
    base = LinearHead(WEIGHT.to(dtype), BIAS)
    clf = fitted(base, variant=variant)
    expected = torch.promote_types(dtype, torch.float32)
    assert clf.head_.weight.dtype == clf.base_head_.weight.dtype == expected
    assert torch.from_numpy(clf.coefficients_).dtype == expected
    assert clf.neighbor_distances_.dtype == np.float64


def test_tensors_and_read_only_maps_give_what_arrays_give(tmp_path):
    X, y = TRAIN
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    base = RetrainedClassifier(epochs=1)
    expected = alpha_net(base).fit(X, y)
    positions = torch.from_numpy(np.searchsorted(NAMES, y))
    for clf in (
        alpha_net(base).fit(mapped, y),
        alpha_net(base).fit(torch.from_numpy(X), y),
        alpha_net(base).fit(torch.from_numpy(X), positions),
    ):
        np.testing.assert_array_equal(clf.coefficients_, expected.coefficients_)
        np.testing.assert_array_equal(
            clf.predict_proba(mapped), expected.predict_proba(X)
        )


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_fits_whatever_gradient_mode_the_caller_is_in(mode):
    with mode():
        clf = fitted()
    np.testing.assert_array_equal(clf.coefficients_, fitted().coefficients_)


@pytest.mark.filterwarnings("ignore:The epoch is chosen on training data")
@pytest.mark.parametrize(
    ("settings", "data", "message"),
    [
        ({}, (np.full((175, 6), np.inf), TRAIN[1]), "X must be finite"),
        ({}, (TRAIN[0][:, :4], TRAIN[1]), "takes 6"),
        ({"n_components": 7}, TRAIN, "n_components must be at most"),
        ({"gamma": 2}, TRAIN, "'gamma' parameter"),
        ({"validation_fraction": 0.005}, TRAIN, "to hold out"),
    ],
)
def test_a_fit_that_fails_changes_nothing(settings, data, message):
    clf = fitted()
    before = clf.__dict__.copy()
    clf.set_params(**settings)
    with pytest.raises(ValueError, match=message):
        clf.fit(*data)
    after = {k: v for k, v in clf.__dict__.items() if k not in settings}
    assert after.keys() == before.keys() - settings.keys()
    assert all(value is before[name] for name, value in after.items())


@VARIANTS
def test_same_seed_same_bytes(variant, tmp_path):
    base = RetrainedClassifier(epochs=1)
    for name, seed in (("first", 0), ("second", 0), ("third", 1)):
        clf = alpha_net(base, variant=variant, random_state=seed).fit(*TRAIN)
        clf.save_classifier(tmp_path / name)
    first, second, third = (
        (tmp_path / name).read_bytes() for name in ("first", "second", "third")
    )
    assert first == second
    assert first != third


@pytest.mark.parametrize(
    "kind", ["linear", "layer", "scaled cosine", "scaled", "cosine classifier"]
)
@VARIANTS
def test_everything_comes_back_from_a_file(kind, variant, tmp_path):
    clf = fitted(BASES[kind], variant=variant, select="few")
    clf.save_classifier(tmp_path / "head")
    loaded = load_classifier(tmp_path / "head")
    for name in AlphaNetClassifier._shapes:
        ours, theirs = getattr(loaded, name), getattr(clf, name)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(
        loaded.predict_proba(HELD[0]), clf.predict_proba(HELD[0])
    )
    np.testing.assert_array_equal(loaded.selection_.scores, clf.selection_.scores)
    assert loaded.selection_.candidates == clf.selection_.candidates
    for select in ("few", "overall"):
        assert loaded.best_head(select).weight.equal(clf.best_head(select).weight)
    assert load_head(tmp_path / "head").weight.equal(clf.head_.weight)
    loaded.save_classifier(tmp_path / "again")
    if kind != "layer":
        first, again = ((tmp_path / name).read_bytes() for name in ("head", "again"))
        assert first == again
    refitted = loaded.fit(*TRAIN, validation=HELD)
    np.testing.assert_array_equal(refitted.coefficients_, clf.coefficients_)


def tampered(path, change):
    """Rewrite a saved classifier after `change(tensors, metadata)`."""
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["headtail"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, metadata)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, path, metadata={"headtail": json.dumps(metadata)})


def put(name, change):
    return lambda tensors, _: tensors.update({name: change(tensors[name])})


def wider(tensor):
    return torch.cat([tensor, tensor[..., :1]], dim=-1)


def wider_coefficients(tensors, _):
    for name in ("coefficients_", "best_coefficients_"):
        tensors[name] = wider(tensors[name])


def cosine_base(tensors, metadata):
    tensors["base_head_.scale"] = torch.tensor(1.0)
    del tensors["base_head_.bias"]
    metadata["fitted"]["base_head_"]["spec"] = {"type": "cosine"}


POSITIONS = "must be positions of classes"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("few_classes_", lambda t: t + 1), POSITIONS),
        (put("few_classes_", lambda t: -t), POSITIONS),
        (put("few_classes_", lambda t: t.double()), POSITIONS),
        (put("neighbors_", lambda t: t + 7), POSITIONS),
        (put("neighbors_", lambda t: -1 - t), POSITIONS),
        (put("few_classes_", lambda t: t[:2]), "must fit"),
        (put("neighbors_", lambda t: t[:2]), "neighbors_ must fit"),
        (put("neighbors_", lambda t: t[:, :2]), "must fit"),
        (put("neighbors_", lambda t: t[0]), "neighbors_ must fit"),
        (put("neighbor_distances_", wider), "neighbor_distances_ must fit"),
        (put("coefficients_", wider), "coefficients_ must fit"),
        (put("coefficients_", lambda t: t[0]), "coefficients_ must fit"),
        (put("best_coefficients_", wider), "best_coefficients_ must fit"),
        (put("best_coefficients_", lambda t: t[:1]), "best_coefficients_ must fit"),
        (wider_coefficients, "coefficients_ must"),
        (put("base_head_.weight", lambda t: t[:, :5]), "base_head_ must fit"),
        (cosine_base, "base_head_ must"),
        (lambda _, metadata: metadata["fitted"].pop("neighbors_"), "neighbors_"),
    ],
)
def test_saved_parts_that_do_not_fit_are_refused(change, message, tmp_path):
    fitted().save_classifier(tmp_path / "head")
    tampered(tmp_path / "head", change)
    with pytest.raises(ValueError, match=message):
        load_classifier(tmp_path / "head")


def test_a_training_that_does_not_converge_is_refused():
    with pytest.raises(ValueError, match=r"must converge.*learning_rate=1e\+300"):
        alpha_net(learning_rate=1e300).fit(*TRAIN, validation=HELD)
