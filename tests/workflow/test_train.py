from dataclasses import replace

import numpy as np
import pytest
import torch

from headtail import load_classifier
from headtail.datasets import ImageSet, Preprocessing, Splits, glyphs
from headtail.features import extract
from headtail.methods.decoupled import LogitAdjustedClassifier
from headtail.training import Augmentation, Optimization, Recipe, Schedule, load_run
from headtail.workflow import build_model, run_recipe
from headtail.workflow.train import check_method

PREPROCESSING = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
RECIPE = Recipe(
    name="tiny",
    title="Tiny",
    source="none",
    protocol={"name": "cifar100-lt"},
    backbone={"name": "resnet20"},
    head={"kind": "cosine", "scale": 8.0},
    preprocessing={"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
    augmentation=Augmentation(flip=True),
    optimization=Optimization(learning_rate=0.05, batch_size=8),
    schedule=Schedule(n_epochs=2),
    training={"sampling": "sqrt"},
    method={"name": "compositional", "parameters": {"donors": [0]}},
)


def small(data):
    """Return every fourth pixel of the images."""
    return ImageSet(data.images[:, ::4, ::4], data.labels, data.class_names)


@pytest.fixture(scope="module")
def splits():
    data = glyphs([12, 6, 3], n_validation=2, n_test=4)
    return Splits(small(data.train), small(data.validation), small(data.test))


@pytest.fixture(scope="module")
def trained(splits, tmp_path_factory):
    """Return the folder and the result of a run with a second stage."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, run_recipe(RECIPE, splits, folder, seed=3)


def again(method, splits, trained, **changes):
    """Run another method on the network of the run, which is trained already."""
    return run_recipe(
        replace(RECIPE, method=method, **changes), splits, trained[0], seed=3
    )


def logits_by_hand(model, data):
    """Run the network on whole batches of images, without `extract`."""
    pixels = torch.from_numpy(data.images / 255.0).float()
    with torch.no_grad():
        return model.eval()((pixels.permute(0, 3, 1, 2) - 0.5) / 0.5)


def bytes_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_the_run_and_the_fitted_method(trained):
    folder, result = trained
    names = {"best", "last", "head"}
    assert {path.name for path in folder.iterdir()} == {
        *(f"{name}.safetensors" for name in names),
        *("log.csv", "settings.json", "state.pt", "features"),
    }
    assert {path.name for path in (folder / "features").iterdir()} == {"train", "test"}
    loaded = load_classifier(folder / "head.safetensors")
    assert loaded.donors_ == (0,)
    assert loaded.class_names_ == ("latin d", "greek mu", "cyrillic ya")
    features = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    np.testing.assert_array_equal(
        loaded.predict_proba(features), result.classifier.predict_proba(features)
    )


def test_the_network_is_the_best_of_the_folder(trained):
    folder, result = trained
    best = load_run(folder).state_dict()
    for name, value in result.model.state_dict().items():
        assert value.equal(best[name]), name
    assert result.model.class_counts == (12, 6, 3)


def test_the_base_of_the_method_is_the_trained_head(trained):
    _, result = trained
    assert result.classifier.base is result.model.head
    assert result.classifier.base_head_.weight.equal(result.model.head.weight)


def test_the_comparison_is_of_the_trained_head_and_the_method(splits, trained):
    _, result = trained
    comparison = result.comparison
    assert list(comparison.evaluations) == ["trained head", "compositional"]
    assert comparison.reference == "trained head"
    assert comparison.classes.tolist() == [0, 1, 2]
    assert comparison.y_true.tolist() == splits.test.labels.tolist()
    assert comparison.provenance == {"recipe": "tiny", "seed": 3}
    logits = logits_by_hand(result.model, splits.test)
    np.testing.assert_allclose(
        comparison.predictions["trained head"], logits.softmax(1), atol=1e-4
    )
    features = extract(result.model.backbone, splits.test, preprocessing=PREPROCESSING)
    np.testing.assert_array_equal(
        comparison.predictions["compositional"],
        result.classifier.predict_proba(features.features),
    )
    accuracy = (logits.argmax(1).numpy() == splits.test.labels).mean()
    evaluation = comparison.evaluations["trained head"]
    assert evaluation["all"].value == pytest.approx(accuracy)
    assert evaluation["all"].n == 12


def test_called_again_nothing_is_trained_and_no_byte_changes(splits, trained):
    folder, first = trained
    before = bytes_of(folder)
    times = {path: path.stat().st_mtime_ns for path in before}
    second = run_recipe(RECIPE, splits, folder, seed=3)
    assert bytes_of(folder) == before
    for path, time in times.items():
        assert path.name == "head.safetensors" or path.stat().st_mtime_ns == time
    assert second.comparison.as_json() == first.comparison.as_json()


def test_another_run_is_refused(splits, trained):
    folder, _ = trained
    before = bytes_of(folder)
    with pytest.raises(FileExistsError, match="seed is 3, now 4"):
        run_recipe(RECIPE, splits, folder, seed=4)
    assert bytes_of(folder) == before


def test_features_of_other_images_are_refused(splits, trained):
    swapped = ImageSet(
        splits.test.images[::-1], splits.test.labels, splits.test.class_names
    )
    before = bytes_of(trained[0])
    expected = "features/test must hold the features of the same images; it holds oth"
    with pytest.raises(FileExistsError, match=expected):
        again({"name": "ncm"}, splits._replace(test=swapped), trained)
    kept = bytes_of(trained[0])
    for path in kept:
        assert path.name == "head.safetensors" or kept[path] == before[path]


def test_a_base_of_the_recipe_stands_under_the_method(splits, trained):
    method = {
        "name": "tau-norm",
        "parameters": {"tau": 0.5},
        "base": {"name": "linear", "parameters": {"epochs": 2}},
    }
    result = again(method, splits, trained)
    assert result.classifier.tau == 0.5
    base = result.classifier.base
    assert type(base).__name__ == "LinearClassifier"
    assert (base.epochs, base.random_state) == (2, 3)


def test_the_seed_of_the_run_is_that_of_the_method_unless_it_has_its_own(
    splits, trained
):
    for parameters, seed in (({}, 3), ({"random_state": 8}, 8)):
        method = {"name": "linear", "parameters": {"epochs": 1, **parameters}}
        assert again(method, splits, trained).classifier.random_state == seed


@pytest.fixture
def validated(monkeypatch):
    """Note the validation data that a method gets."""
    seen = []
    fit = LogitAdjustedClassifier.fit

    def noting(self, X, y, *, validation=None):
        if self.tau != 0:
            seen.append(validation)
        return fit(self, X, y, validation=validation)

    monkeypatch.setattr(LogitAdjustedClassifier, "fit", noting)
    return seen


def test_validation_images_choose_if_the_recipe_says_so(splits, trained, validated):
    method = {"name": "logit-adjustment", "parameters": {"tau": "auto"}}
    uses = again({**method, "uses_validation": True}, splits, trained)
    features, labels = validated[0]
    held = extract(uses.model.backbone, splits.validation, preprocessing=PREPROCESSING)
    np.testing.assert_array_equal(features, held.features)
    assert labels.tolist() == splits.validation.labels.tolist()
    with pytest.warns(UserWarning, match=r"the choice is optimistic\. Pass validat"):
        again(method, splits, trained)
    assert validated[1:] == [None]


def test_without_a_method_there_is_the_trained_head_alone(splits, trained):
    result = again({}, splits, trained)
    assert result.classifier is None
    assert list(result.comparison.evaluations) == ["trained head"]
    bare = again({}, splits._replace(test=None), trained)
    assert (bare.classifier, bare.comparison) == (None, None)
    assert isinstance(bare.model, type(result.model))


def test_without_test_images_there_is_no_comparison(splits, trained):
    result = again(RECIPE.method, splits._replace(test=None), trained)
    assert result.comparison is None
    assert result.classifier.donors_ == (0,)


def test_without_validation_images_the_last_network_is_taken(splits, tmp_path):
    alone = Splits(splits.train, None, None)
    recipe = replace(RECIPE, method={}, schedule=Schedule(n_epochs=1))
    result = run_recipe(recipe, alone, tmp_path / "run")
    assert not (tmp_path / "run" / "best.safetensors").exists()
    last = load_run(tmp_path / "run" / "last.safetensors").state_dict()
    assert result.model.state_dict()["head.weight"].equal(last["head.weight"])


def test_labels_with_gaps_stay_what_they_are(splits, tmp_path):
    names = [f"class {label}" for label in range(8)]
    spread = np.array([1, 4, 6])
    gaps = Splits(
        *(ImageSet(data.images, spread[data.labels], names) for data in splits)
    )
    recipe = replace(RECIPE, schedule=Schedule(n_epochs=1), method={"name": "ncm"})
    result = run_recipe(recipe, gaps, tmp_path / "run")
    assert result.model.head.classes.tolist() == [1, 4, 6]
    assert result.classifier.classes_.tolist() == [1, 4, 6]
    assert result.classifier.class_names_ == ("class 1", "class 4", "class 6")
    assert result.comparison.y_true.tolist() == spread[splits.test.labels].tolist()


def test_the_model_is_that_of_the_recipe_and_the_seed(splits):
    model, same, other = (build_model(RECIPE, splits.train, seed=s) for s in (1, 1, 2))
    assert model.head.scale.item() == pytest.approx(8.0)
    assert model.preprocessing == PREPROCESSING
    for part in ("head.weight", "backbone.network.conv1.weight"):
        weights = [one.state_dict()[part] for one in (model, same, other)]
        assert weights[0].equal(weights[1])
        assert not weights[0].equal(weights[2])


def names_swapped(splits):
    swapped = splits.test.class_names[::-1]
    return ImageSet(splits.test.images, splits.test.labels, swapped)


def unknown_class(splits):
    return ImageSet(splits.test.images, splits.test.labels + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "nope"}, "Unknown method 'nope'. Known methods: linear"),
        ({"parameters": {}}, r"\[method\] must have a name.*got \['parameters'\]"),
        ({"name": "ncm", "extra": 1}, r"\['base', 'parameters', 'uses_validation'\];"),
        (
            {"name": "ncm", "parameters": {"k": 3}},
            r"'ncm' has no parameter \['k'\]; it has \['metric'\]",
        ),
        ({"name": "ncm", "base": {"name": "linear"}}, r"no parameter \['base'\]"),
        (
            {"name": "tau-norm", "base": {"name": "linear", "parameters": {"k": 1}}},
            r"'linear' has no parameter \['k'\]",
        ),
        (
            {"name": "ncm", "uses_validation": True},
            "'ncm' chooses nothing on validation data; leave uses_validation out",
        ),
        (names_swapped, "class names of the test and the training images must be"),
        (unknown_class, r"Classes \[3\] occur in the test images but have no train"),
    ],
)
def test_mistakes_are_found_before_the_training(change, message, splits, tmp_path):
    recipe = RECIPE
    if callable(change):
        splits = splits._replace(test=change(splits))
    else:
        recipe = replace(RECIPE, method=change)
    with pytest.raises(ValueError, match=message):
        run_recipe(recipe, splits, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_validation_class_without_training_images_is_refused(splits, tmp_path):
    held = ImageSet(splits.validation.images, splits.validation.labels + 1)
    with pytest.raises(ValueError, match=r"Classes \[3\] occur in the validation"):
        run_recipe(RECIPE, splits._replace(validation=held), tmp_path / "run")
    assert not (tmp_path / "run" / "state.pt").exists()


def test_what_the_recipe_leaves_open_is_preprocessed_as_the_backbone_wants(splits):
    recipe = replace(RECIPE, preprocessing={"size": 24})
    model = build_model(recipe, splits.train)
    assert model.preprocessing == replace(model.backbone.preprocessing, size=24)


def test_a_cosine_head_under_tau_norm_is_refused_before_the_training():
    with pytest.raises(ValueError, match="tau-norm needs a linear head"):
        check_method({"name": "tau-norm"}, "cosine")
    check_method({"name": "tau-norm"}, "linear")
    check_method({"name": "tau-norm", "base": {"name": "linear"}}, "cosine")


def test_a_base_does_not_use_validation_images():
    table = {"name": "lws", "base": {"name": "tau-norm", "uses_validation": True}}
    with pytest.raises(ValueError, match="must not have uses_validation"):
        check_method(table)
