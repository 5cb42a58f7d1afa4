"""DisAlign: where it starts, what it minimises, what it leaves alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail import DisAlignClassifier, LinearClassifier, load_classifier
from headtail.heads import CosineHead, DisAlignHead, EnsembleHead, LinearHead
from headtail.losses import CrossEntropyLoss
from headtail.methods.decoupled import disalign
from headtail.methods.decoupled.disalign import reweighting

WEIGHT = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).double()
BIAS = torch.tensor([1.0, -1.0, 0.3, 0.0])
HEADS = {
    "linear": LinearHead(WEIGHT, BIAS),
    "centred": LinearHead(WEIGHT, BIAS, center=torch.ones(6), normalize=True),
    "bare": LinearHead(WEIGHT),
    "cosine": CosineHead(WEIGHT, 4.0),
    "ensemble": EnsembleHead([CosineHead(WEIGHT, 4.0), LinearHead(WEIGHT)]),
}
EVERY = pytest.mark.parametrize("kind", HEADS)


def logits_of(head, X):
    with torch.no_grad():
        return head(torch.from_numpy(X))


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=8),
    st.sampled_from([0.0, 0.5, 1.0, 1.2]),
)
def test_weights_are_powers_of_the_prior_that_sum_to_the_classes(counts, rho):
    powers = [(n / sum(counts)) ** -rho for n in counts]
    expected = [len(counts) * power / sum(powers) for power in powers]
    got = reweighting(torch.tensor(counts), rho=rho)
    assert got.dtype == torch.float64
    assert got.tolist() == pytest.approx(expected, rel=1e-9)
    assert got.sum().item() == pytest.approx(len(counts))


def test_the_paper_s_rho_is_the_default():
    counts = torch.tensor([90, 9, 1])
    assert reweighting(counts).equal(reweighting(counts, rho=1.2))
    assert DisAlignClassifier().rho == 1.2


@EVERY
def test_it_starts_as_the_base(kind, blobs):
    X, y, X_test, _ = blobs
    clf = DisAlignClassifier(
        HEADS[kind], learning_rate=1e-15, epochs=1, random_state=0
    ).fit(X, y)
    ones = torch.ones(4, dtype=torch.float64)
    torch.testing.assert_close(clf.head_.scale.detach(), ones)
    torch.testing.assert_close(clf.head_.bias.detach(), 0 * ones, atol=1e-9, rtol=0)
    tenth = torch.full((6,), 0.1, dtype=torch.float64)
    torch.testing.assert_close(clf.head_.confidence.detach(), tenth)
    np.testing.assert_allclose(
        clf.decision_function(X_test), logits_of(HEADS[kind], X_test), rtol=1e-9
    )


def test_the_loss_weighs_the_classes_in_order(blobs, monkeypatch):
    X, y, *_ = blobs
    given_weights = []

    def spy(*, weight):
        given_weights.append(weight)
        return CrossEntropyLoss(weight=weight)

    monkeypatch.setattr(disalign, "CrossEntropyLoss", spy)
    names = np.array(["d", "c", "b", "a"])[y]
    DisAlignClassifier(HEADS["linear"], rho=0.7, epochs=1, random_state=0).fit(X, names)
    (weight,) = given_weights
    expected = (np.array([4, 10, 30, 80]) / 124) ** -0.7
    np.testing.assert_allclose(weight, 4 * expected / expected.sum())


@EVERY
def test_training_lowers_the_reweighted_loss_of_the_fitted_head(kind, blobs):
    X, y, *_ = blobs
    clf = DisAlignClassifier(HEADS[kind], random_state=0).fit(X, y)
    weight = reweighting(torch.from_numpy(clf.class_counts_))
    losses = [
        torch.nn.functional.cross_entropy(
            logits_of(head, X), torch.from_numpy(y), weight=weight
        ).item()
        for head in (HEADS[kind], clf.head_)
    ]
    assert losses[1] < losses[0] - 0.05


def test_the_head_is_what_was_trained(blobs):
    # Scaling the features by c and the base by 1/c leaves all logits as they are; so
    # what differs can only be the confidence.
    X, y, X_test, _ = blobs
    clf = DisAlignClassifier(HEADS["linear"], epochs=3, random_state=0).fit(X, y)
    z = logits_of(HEADS["linear"], X_test)
    state = clf.head_.state_dict()
    share = (torch.from_numpy(X_test) @ state["confidence"]).sigmoid()[:, None]
    expected = share * (state["scale"] * z + state["bias"]) + (1 - share) * z
    np.testing.assert_allclose(clf.decision_function(X_test), expected, rtol=1e-9)
    assert type(clf.head_) is DisAlignHead
    for name, start in (("scale", 1.0), ("bias", 0.0), ("confidence", 0.1)):
        assert (state[name] - start).abs().max() > 1e-3


@EVERY
def test_the_head_given_is_never_changed(kind, blobs):
    X, y, *_ = blobs
    head = HEADS[kind]
    before = {name: value.clone() for name, value in head.state_dict().items()}
    clf = DisAlignClassifier(head, epochs=1, random_state=0).fit(X, y)
    for state in (head.state_dict(), clf.head_.head.state_dict()):
        assert all(value.equal(before[name]) for name, value in state.items())
    assert head.classes is None
    assert clf.head_.classes.tolist() == [0, 1, 2, 3]


def test_the_default_base_is_the_linear_classifier_with_the_same_seed(blobs):
    X, y, *_ = blobs
    clf = DisAlignClassifier(epochs=1, random_state=3).fit(X, y)
    base = LinearClassifier(random_state=3).fit(X, y)
    assert clf.head_.head.weight.equal(base.head_.weight)


def test_a_missing_row_is_refused(blobs):
    X, y, *_ = blobs
    with pytest.raises(ValueError, match=r"a row for every class in y; .* for \[3\]"):
        DisAlignClassifier(LinearHead(WEIGHT[:3], classes=[0, 1, 2])).fit(X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": -0.1}, r"'rho' parameter of .* Got -0\.1"),
        ({"epochs": 0}, "'epochs' parameter of .* Got 0"),
        ({"learning_rate": -1}, "'learning_rate' parameter of .* Got -1"),
    ],
)
def test_other_settings_are_refused(options, message, blobs):
    X, y, *_ = blobs
    with pytest.raises(ValueError, match=message):
        DisAlignClassifier(HEADS["linear"], **options).fit(X, y)


def test_one_example_per_class_two_classes_and_constant_features():
    X = np.eye(2)
    clf = DisAlignClassifier(random_state=0).fit(X, ["lynx", "cat"])
    assert clf.predict(X).tolist() == ["lynx", "cat"]
    constant = DisAlignClassifier(random_state=0).fit(np.ones((4, 2)), [0, 0, 1, 2])
    assert np.isfinite(constant.predict_proba(X)).all()


def test_same_seed_same_bytes_and_everything_comes_back(blobs, tmp_path):
    X, y, X_test, _ = blobs
    for name in ("first", "second"):
        base = LinearClassifier(epochs=1)
        clf = DisAlignClassifier(base, epochs=1, random_state=0).fit(X, y)
        clf.save_classifier(tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("first", "second"))
    assert first == second
    loaded = load_classifier(tmp_path / "first")
    assert loaded.head_.head.weight.equal(clf.head_.head.weight)
    np.testing.assert_array_equal(
        loaded.predict_proba(X_test), clf.predict_proba(X_test)
    )
