"""What the loop scores, which epoch it keeps, and which data it refuses."""

import csv
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headtail.datasets import ImageSet
from headtail.files import read_tensors
from headtail.heads import LinearHead
from headtail.training import ImageClassifier, Optimization, trainer
from tests.training.tiny_runs import backbone, blotches, network, trained

COUNTS = [9, 7, 4, 2]
NOTHING = ImageSet(np.zeros((0, 8, 8, 3), np.uint8), [])


def recalls_of(model, data, labels):
    """Return each class's recall, image by image."""
    right, seen = dict.fromkeys(labels, 0), dict.fromkeys(labels, 0)
    model.eval()
    for image, label in zip(data.images, data.labels, strict=True):
        pixels = torch.tensor(image)[None].permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            found = labels[int(model((pixels - 0.5) / 0.5).argmax())]
        right[label] += found == label
        seen[label] += 1
    return [right[label] / seen[label] for label in labels if seen[label]]


@pytest.mark.parametrize("seen", [[3, 2, 5, 4], [3, 0, 5, 4]])
def test_validation_is_the_mean_recall_of_the_classes_that_are_there(seen):
    data, validation = blotches(COUNTS), blotches(seen, seed=1)
    model, rows = trained(data, validation, model=network(norm="batch"), n_epochs=4)
    expected = recalls_of(model, validation, [0, 1, 2, 3])
    assert 0 < np.mean(expected) < 1
    assert rows[-1]["validation_all"] == pytest.approx(np.mean(expected))
    assert rows[-1]["validation_few"] == pytest.approx(np.mean(expected))
    assert math.isnan(rows[-1]["validation_many"])


def test_groups_are_by_training_counts():
    data = blotches([101, 20, 19, 3])
    validation = blotches([4, 4, 4, 4], seed=1)
    model, (row,) = trained(data, validation, n_epochs=1)
    many, medium, *few = recalls_of(model, validation, [0, 1, 2, 3])
    assert row["validation_many"] == many
    assert row["validation_medium"] == medium
    assert row["validation_few"] == pytest.approx(np.mean(few))
    assert row["validation_all"] == pytest.approx(np.mean([many, medium, *few]))


def test_the_best_epoch_on_validation_data_is_kept(tmp_path, monkeypatch):
    # Recalls as they might be found: the second epoch is the first of the best two.
    recalls, weights = iter([0.2, 0.6, 0.6, 0.3]), []

    def scored(fabric, model, *data, n_classes, **options):
        state = model.module.state_dict()
        weights.append({name: value.clone() for name, value in state.items()})
        return np.full(n_classes, next(recalls))

    monkeypatch.setattr(trainer, "score", scored)
    folder = tmp_path / "run"
    _, rows = trained(blotches(COUNTS), blotches([4] * 4), folder, n_epochs=4)
    for name, epoch in (("best", 1), ("last", 3)):
        saved = load_file(folder / f"{name}.safetensors")
        assert saved.keys() == weights[epoch].keys()
        assert all(torch.equal(saved[key], weights[epoch][key]) for key in saved)
    _, metadata = read_tensors(folder / "best.safetensors")
    assert metadata["epoch"] == 2
    assert metadata["chosen"]["validation_all"] == 0.6
    with (folder / "log.csv").open(newline="") as file:
        log = list(csv.DictReader(file))
    assert max(log, key=lambda row: float(row["validation_all"]))["epoch"] == "2"
    # The file tells every number to its last digit.
    for written, row in zip(log, rows, strict=True):
        np.testing.assert_equal({k: float(v) for k, v in written.items()}, row)
    assert log[0]["validation_many"] == "nan"


def test_without_images_there_is_no_best_epoch(tmp_path):
    _, rows = trained(blotches(COUNTS), NOTHING, tmp_path / "run")
    assert all(math.isnan(row["validation_all"]) for row in rows)
    assert not (tmp_path / "run" / "best.safetensors").exists()
    assert (tmp_path / "run" / "last.safetensors").exists()


def test_validation_does_not_touch_the_training():
    data = blotches(COUNTS)
    options = {"norm": "batch", "dropout": 0.3}
    alone, rows = trained(data, model=network(**options))
    watched, more = trained(data, blotches([1] * 4), model=network(**options))
    assert [row["train_loss"] for row in rows] == [row["train_loss"] for row in more]
    other = watched.state_dict()
    assert all(torch.equal(v, other[name]) for name, v in alone.state_dict().items())


def test_labels_may_have_gaps():
    names = ("ant", "bee", "cat", "dog", "eel", "fox")
    gaps = blotches([6, 4, 3], labels=[0, 2, 5], names=names)
    held = blotches([2, 2, 2], labels=[0, 2, 5], names=names, seed=1)
    model, rows = trained(gaps, held)
    dense, expected = trained(blotches([6, 4, 3]), blotches([2, 2, 2], seed=1))
    np.testing.assert_equal(rows, expected)
    assert torch.equal(model.head.weight, dense.head.weight)
    assert model.class_counts == (6, 4, 3)
    assert model.class_names == ("ant", "cat", "fox")
    assert dense.class_names is None


def test_rows_are_in_the_order_of_the_head():
    names = ("ant", "bee", "cat", "dog", "eel", "fox")
    data = blotches([16, 12, 8], labels=[0, 2, 5], names=names)
    model, rows = trained(
        data,
        data,
        model=network(3, classes=[5, 0, 2]),
        n_epochs=15,
        optimization=Optimization(learning_rate=0.05, batch_size=8),
    )
    assert model.class_counts == (8, 16, 12)
    assert model.class_names == ("fox", "ant", "cat")
    assert rows[-1]["validation_all"] == 1
    assert recalls_of(model, data, [5, 0, 2]) == [1, 1, 1]


@pytest.mark.parametrize("n_rows", [2, 4])
def test_a_head_of_other_size_is_refused(n_rows):
    with pytest.raises(ValueError, match=rf"has {n_rows} rows, and 3 classes have"):
        trained(blotches([3, 2, 1]), model=network(n_rows))


def test_a_head_of_other_classes_is_refused():
    with pytest.raises(ValueError, match=r"one row for each class that has training"):
        trained(blotches([3, 2, 1]), model=network(3, classes=[0, 1, 3]))


def test_validation_images_of_other_classes_are_refused():
    held = blotches([1, 1, 1, 1], labels=[0, 1, 3, 7])
    with pytest.raises(ValueError, match=r"Classes \[3, 7\] occur in the validation"):
        trained(blotches([3, 2, 1]), held)


def test_other_class_names_in_the_validation_images_are_refused():
    data = blotches([3, 2], names=("ant", "bee"))
    with pytest.raises(ValueError, match=r"class names .* must be the same"):
        trained(data, blotches([1, 1], names=("bee", "ant")))
    # Without names they are taken to be the same.
    trained(data, blotches([1, 1]), n_epochs=1)


def test_an_unknown_loss_or_option_is_refused():
    with pytest.raises(ValueError, match=r"loss must be one of .*; got 'hinge'"):
        trained(blotches([3, 2]), loss="hinge")
    with pytest.raises(ValueError, match=r"loss 'focal' has no option \['beta'\]"):
        trained(blotches([3, 2]), loss="focal", loss_options={"beta": 1})


def test_a_head_of_other_width_is_refused():
    with pytest.raises(ValueError, match=r"take the 16 features .*; it takes 5"):
        ImageClassifier(backbone(), LinearHead(torch.ones(2, 5), torch.zeros(2)))
