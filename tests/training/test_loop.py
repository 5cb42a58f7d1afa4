"""What the loop does to a network: steps, rates, bounds, parts, losses."""

import math

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from headtail.losses import DeferredReweightingLoss
from headtail.training import (
    Augmentation,
    ImageClassifier,
    Optimization,
    Schedule,
    build_backbone,
    make_fabric,
    new_head,
)
from tests.training.tiny_runs import blotches, network, trained

COUNTS = [9, 7, 4, 2]  # batches of 8: three steps an epoch
SGD = {"learning_rate": 0.1, "batch_size": 8}


def weights_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.fixture
def rates():
    """Collect the rates of all groups before every step."""
    found = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, *_: found.append(
            {group["name"]: group["lr"] for group in optimizer.param_groups}
        )
    )
    yield found
    handle.remove()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_a_separable_data_set_is_learned(kind, optimizer):
    rate = {"sgd": {"linear": 0.05, "cosine": 0.02}[kind], "adamw": 0.01}[optimizer]
    _, rows = trained(
        blotches([30, 20, 10, 6]),
        blotches([5] * 4, seed=1),
        model=network(kind=kind),
        n_epochs=12,
        optimization=Optimization(
            learning_rate=rate, batch_size=8, optimizer=optimizer
        ),
        schedule=Schedule(n_epochs=12, warmup_epochs=1),
    )
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert rows[-1]["train_loss"] < 0.2 * rows[0]["train_loss"]
    assert rows[-1]["train_accuracy"] == 1
    assert rows[-1]["validation_all"] == 1


def test_the_log_tells_loss_and_accuracy_of_the_steps():
    # One batch and no step that matters: the loss before it can be told from outside.
    data = blotches([3, 2, 1])
    model = network(3)
    pixels = torch.tensor(data.images).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        logits = model((pixels - 0.5) / 0.5)
    labels = torch.tensor(data.labels)
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    accuracy = (logits.argmax(dim=1) == labels).double().mean().item()
    optimization = Optimization(learning_rate=1e-12, batch_size=3)
    _, (row,) = trained(data, model=model, n_epochs=1, optimization=optimization)
    assert row["train_loss"] == pytest.approx(loss, rel=1e-5)
    assert row["train_accuracy"] == pytest.approx(accuracy)
    assert row.keys() == {"epoch", "learning_rate", "train_loss", "train_accuracy"}


def test_rates_follow_the_schedule_from_step_to_step(rates):
    _, rows = trained(
        blotches(COUNTS),
        model=network(kind="cosine"),
        optimization=Optimization(classifier_learning_rate=0.4, **SGD),
        schedule=Schedule(n_epochs=3, warmup_epochs=1),
    )
    # A third, two thirds, all of the rate; then six steps along a cosine.
    expected = [1 / 3, 2 / 3, 1] + [
        (1 + math.cos(math.pi * k / 6)) / 2 for k in range(6)
    ]
    assert [r["backbone"] for r in rates] == pytest.approx([0.1 * e for e in expected])
    for name in ("classifier", "scale"):
        assert [r[name] for r in rates] == pytest.approx([0.4 * e for e in expected])
    # The log has the rate of the epoch's last step.
    assert [row["learning_rate"] for row in rows] == [r["scale"] for r in rates[2::3]]


def test_rates_step_down_between_epochs(rates):
    schedule = Schedule(n_epochs=3, decay="steps", milestones=(1, 2), factor=0.01)
    trained(blotches(COUNTS), schedule=schedule)
    expected = [0.1] * 3 + [1e-3] * 3 + [1e-5] * 3
    assert [rate["backbone"] for rate in rates] == pytest.approx(expected)


def test_all_slow_is_a_tenth_of_every_rate(rates):
    optimization = Optimization(classifier_learning_rate=0.4, **SGD)
    data, constant = blotches(COUNTS), Schedule(n_epochs=1, decay="constant")
    trained(data, optimization=optimization, schedule=constant, parts="all-slow")
    for rate in rates:
        assert rate == pytest.approx({"backbone": 0.01, "classifier": 0.04})


def test_clipping_bounds_the_step():
    # One step of plain descent with rate 1 moves the weights by the gradient itself.
    moved = {}
    for clip_norm in (None, 0.01, 1e6):
        model = network()
        before = torch.cat([p.detach().flatten() for p in model.parameters()])
        optimization = Optimization(
            learning_rate=1,
            batch_size=22,
            momentum=0,
            weight_decay=0,
            clip_norm=clip_norm,
        )
        constant = Schedule(n_epochs=1, decay="constant")
        trained(
            blotches(COUNTS), model=model, optimization=optimization, schedule=constant
        )
        after = torch.cat([p.detach().flatten() for p in model.parameters()])
        moved[clip_norm] = after - before
    free = moved[None]
    assert free.norm() > 0.1
    torch.testing.assert_close(
        moved[0.01], 0.01 * free / free.norm(), rtol=1e-3, atol=1e-7
    )
    torch.testing.assert_close(moved[1e6], free)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_loss_that_is_not_a_number_is_an_error(clip_norm):
    model = network()
    model.head.weight.data[0] = math.nan
    optimization = Optimization(clip_norm=clip_norm, **SGD)
    with pytest.raises(ValueError, match="its loss was nan in epoch 1, or"):
        trained(blotches(COUNTS), model=model, optimization=optimization)


def test_the_classifier_alone_leaves_the_backbone_bit_for_bit():
    model = network(norm="batch", dropout=0.5)
    backbone, head = weights_of(model.backbone), weights_of(model.head)
    assert "network.1.running_mean" in backbone
    trained(blotches(COUNTS), blotches([2] * 4), model=model, parts="classifier")
    assert_same(weights_of(model.backbone), backbone)
    assert not torch.equal(model.head.weight, head["weight"])
    # All of it trains the statistics too.
    trained(blotches(COUNTS), model=model)
    mean = model.state_dict()["backbone.network.1.running_mean"]
    assert not torch.equal(mean, backbone["network.1.running_mean"])


def test_the_last_block_is_trained_alone():
    backbone = build_backbone("resnet20")
    model = ImageClassifier(backbone, new_head("linear", 64, 2))
    before = weights_of(backbone.network)
    trained(blotches([5, 3]), model=model, n_epochs=1, parts="last-block")
    changed = {
        name.split(".")[0]
        for name, value in backbone.network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"layer3"}


def test_ldam_fixes_the_scale_and_reweights_after_80_percent(monkeypatch):
    calls = []
    advance = DeferredReweightingLoss.advance

    def recorded(self, progress):
        advance(self, progress)
        calls.append((progress, self.switched))

    monkeypatch.setattr(DeferredReweightingLoss, "advance", recorded)
    logs = {}
    for loss in ("ldam", "ldam-drw"):
        model = network(kind="cosine")
        assert model.head.scale == 16
        _, logs[loss] = trained(
            blotches(COUNTS),
            model=model,
            n_epochs=5,
            loss=loss,
            optimization=Optimization(weight_decay=0.1, **SGD),
        )
        assert model.head.scale == 30
        assert not model.head.scale.requires_grad
    assert [p for p, _ in calls] == pytest.approx([k / 15 for k in range(15)])
    assert [switched for _, switched in calls] == [False] * 12 + [True] * 3
    # To the same bits plain LDAM for four epochs, and not in the fifth.
    losses = {name: [row["train_loss"] for row in rows] for name, rows in logs.items()}
    assert losses["ldam"][:4] == losses["ldam-drw"][:4]
    assert losses["ldam"][4] != losses["ldam-drw"][4]


def test_the_options_of_a_loss_reach_it():
    model = network(kind="cosine")
    trained(blotches(COUNTS), model=model, loss="ldam", loss_options={"scale": 7.0})
    assert model.head.scale == 7
    # Another loss learns the scale again.
    trained(blotches(COUNTS), model=model)
    assert model.head.scale != 7


def test_a_loss_with_a_scale_refuses_a_linear_head():
    with pytest.raises(ValueError, match=r"needs a cosine head .*; got LinearHead"):
        trained(blotches(COUNTS), loss="ldam-drw")


def test_bfloat16_ends_near_float32():
    ends = {}
    for bf16 in (False, True):
        model, rows = trained(
            blotches(COUNTS), n_epochs=4, fabric=make_fabric("cpu", bf16=bf16)
        )
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        ends[bf16] = [row["train_loss"] for row in rows]
    assert ends[True] != ends[False]
    assert ends[True] == pytest.approx(ends[False], rel=0.02)


AUGMENTED = {"augmentation": Augmentation(crop="pad", padding=1, flip=True)}


@pytest.mark.parametrize("sampling", ["instance", "progressive", "class-aware", "over"])
def test_same_seed_same_bits(sampling):
    runs = []
    for seed, drawn in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(drawn)  # what was drawn before is of no effect
        model, rows = trained(
            blotches(COUNTS),
            model=network(dropout=0.3),
            sampling=sampling,
            seed=seed,
            **AUGMENTED,
        )
        runs.append((weights_of(model), rows))
    assert_same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert runs[0][1] != runs[2][1]


def test_random_changes_and_dropout_matter():
    plain = trained(blotches(COUNTS))[1]
    assert trained(blotches(COUNTS), **AUGMENTED)[1] != plain
    assert trained(blotches(COUNTS), model=network(dropout=0.3))[1] != plain
    assert trained(blotches(COUNTS), model=network(dropout=0.0))[1] == plain


def test_the_global_generator_is_left_as_it_was():
    model, data = network(dropout=0.3), blotches(COUNTS)
    state = torch.get_rng_state()
    trained(data, blotches([1] * 4), model=model, **AUGMENTED)
    assert torch.equal(torch.get_rng_state(), state)
