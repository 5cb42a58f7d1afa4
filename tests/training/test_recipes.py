"""Every published recipe: it is read, its method can be, and both stages run."""

import re

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from headtail.datasets import ImageSet, get_protocol
from headtail.heads import CosineHead, LinearHead
from headtail.registry import get_method
from headtail.samplers.class_sampling import epoch_size
from headtail.training import load_recipe, recipe_names, train
from headtail.workflow.train import _build_method, build_model, check_method

RECIPES = {name: load_recipe(name) for name in recipe_names()}
LABELS = np.array([0, 0, 1, 1, 2])
# Many-shot, medium and few-shot classes.
COUNTS = (150, 110, 60, 40, 30, 24, 12, 6)
# Long trainings of stage 2 cut short, and what must suit so few classes.
SHORT = {"epochs": 5, "n_components": 7, "steps": 5, "n_models": 2, "shots": (1, 2, 4)}


def short_recipe(name, side=None):
    """Return a recipe for an epoch of two steps, with random weights."""
    own = RECIPES[name]
    shown = epoch_size(torch.from_numpy(LABELS), own.training["sampling"])
    changes = {
        "backbone.weights": None,
        "optimization.batch_size": shown // 2,
        "schedule.n_epochs": 1,
        "schedule.warmup_epochs": 0,
    }
    if own.schedule.decay == "steps":
        # Its milestones lie beyond one epoch.
        changes |= {"schedule.decay": "constant", "schedule.milestones": ()}
    if side is not None:
        changes |= {"preprocessing.size": side, "preprocessing.resize": side}
    return load_recipe(name, changes)


def unique_stages():
    """Group the recipes that train the same network in the same way.

    The first of a network sees images in full size, the others smaller ones: they
    differ in the head, the loss, the sampling, the rates or the parts that are trained.
    """
    groups, seen = {}, set()
    for name in RECIPES:
        short = vars(short_recipe(name))
        same = {key: short[key] for key in short if key not in NOT_STAGE_1}
        groups.setdefault(str(same), []).append(name)
    for names in groups.values():
        recipe = RECIPES[names[0]]
        network = recipe.backbone["name"].partition(".")[0]
        small = network in seen and "size" in recipe.preprocessing
        seen.add(network)
        yield pytest.param(names[0], 64 if small else None, id=", ".join(names))


def unique_methods():
    groups = {}
    for name, recipe in RECIPES.items():
        if recipe.method:
            groups.setdefault(f"{recipe.head} {recipe.method}", []).append(name)
    return [pytest.param(names[0], id=", ".join(names)) for names in groups.values()]


NOT_STAGE_1 = ("name", "title", "source", "protocol", "method")
STAGES = list(unique_stages())
METHODS = unique_methods()


def noise_for(preprocessing):
    """Return images of the size that those of the data set have, or nearly."""
    side = preprocessing.get("resize")
    shape = (32, 32) if side is None else (side, side + 32)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(LABELS), *shape, 3), dtype=np.uint8)
    return ImageSet(images, LABELS)


def cut_short(method):
    """Return the table of a method whose training is short, and so its base's."""
    known = get_method(method["name"]).build().get_params(deep=False)
    shorter = {key: value for key, value in SHORT.items() if key in known}
    table = {**method, "parameters": {**method.get("parameters", {}), **shorter}}
    if "base" in method:
        table["base"] = cut_short(method["base"])
    return table


def test_all_recipes_are_run():
    assert {n for stage in STAGES for n in stage.id.split(", ")} == set(RECIPES)
    with_method = {name for name, recipe in RECIPES.items() if recipe.method}
    assert {n for method in METHODS for n in method.id.split(", ")} == with_method


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_says_what_it_is(name):
    recipe = RECIPES[name]
    protocol = get_protocol(recipe.protocol["name"])
    assert recipe.name == name
    assert name.startswith(f"{protocol.name}/")
    assert recipe.title.startswith(f"{protocol.title.partition(' (')[0]}, ")
    assert re.fullmatch(r"https://\S+", recipe.source)
    if recipe.method:
        check_method(recipe.method)


def test_titles_are_distinct():
    assert len({recipe.title for recipe in RECIPES.values()}) == len(RECIPES)


def test_a_value_that_a_method_refuses_is_found_before_the_training():
    base = {"name": "crt", "parameters": {"epochs": 0}}
    with pytest.raises(ValueError, match="'epochs' parameter of RetrainedClassifier"):
        check_method({"name": "alphanet", "base": base})


@pytest.mark.parametrize(("name", "side"), STAGES)
def test_network_is_trained_for_two_steps(name, side):
    recipe = short_recipe(name, side)
    data = noise_for(RECIPES[name].preprocessing)
    model = build_model(recipe, data)
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    steps = []
    hook = register_optimizer_step_post_hook(lambda *_: steps.append(1))
    try:
        train(
            model,
            data,
            optimization=recipe.optimization,
            schedule=recipe.schedule,
            augmentation=recipe.augmentation,
            **recipe.training,
        )
    finally:
        hook.remove()
    assert len(steps) == 2
    moved = {k for k, p in model.named_parameters() if not torch.equal(p, before[k])}
    trained = {k for k, p in model.named_parameters() if p.requires_grad}
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    assert moved - trained <= {"head.scale"}  # LDAM sets it, and keeps it
    assert "head.weight" in moved
    if recipe.training.get("parts", "all") != "classifier":
        assert len(moved) > 0.9 * len(trained)


# Without a validation set of its own, τ on iNaturalist is chosen on training data.
@pytest.mark.filterwarnings("ignore:tau='auto' holds out training data")
@pytest.mark.parametrize("name", METHODS)
def test_method_is_fitted_on_features(name):
    recipe = RECIPES[name]
    rng = np.random.default_rng(0)
    centers = 3 * np.eye(len(COUNTS), 16)
    y = np.repeat(np.arange(len(COUNTS)), COUNTS)
    X, held = centers[y] + rng.normal(size=(2, len(y), 16)).astype(np.float32)
    build = CosineHead if recipe.head["kind"] == "cosine" else LinearHead
    head = build(torch.tensor(centers, dtype=torch.float32))
    method = _build_method(cut_short(recipe.method), head, seed=0)
    extra = {"validation": (held, y)} if recipe.method.get("uses_validation") else {}
    proba = method.fit(X, y, **extra).predict_proba(held)
    assert np.isfinite(proba).all()
    assert proba.sum(axis=1) == pytest.approx(np.ones(len(y)), abs=1e-5)
    right = proba.argmax(axis=1) == y
    assert np.mean([right[y == label].mean() for label in range(len(COUNTS))]) > 0.6
