"""Run a recipe: train a network, extract features, fit the method that follows."""

import inspect
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from headtail.datasets import ImageSet, Splits
from headtail.evaluation import Comparison, compare_predictions
from headtail.features import FeatureSet, extract_to_folder, source_of
from headtail.files import only_writer
from headtail.heads import Head
from headtail.matching import matched_labels, name_classes
from headtail.registry import get_method
from headtail.training import (
    ImageClassifier,
    Recipe,
    build_backbone,
    load_run,
    make_fabric,
    new_head,
    train,
)
from headtail.workflow.compare import TRAINED, methods_on

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["TrainedRecipe", "build_model", "run_recipe"]

_METHOD_KEYS = {"name", "parameters", "base", "uses_validation"}


@dataclass(frozen=True)
class TrainedRecipe:
    """What a recipe came to.

    Attributes
    ----------
    model
        The network: of the best epoch on validation data, if there are any.
    classifier
        The method of the second stage, fitted on features; None if there is none.
    comparison
        The trained head and the method on the test images; None without those.
    """

    model: ImageClassifier
    classifier: Any
    comparison: Comparison | None


def run_recipe(
    recipe: Recipe,
    splits: Splits,
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    fabric: "Fabric | None" = None,
    n_workers: int = 0,
    tensorboard: bool = False,
) -> TrainedRecipe | None:
    """Train the network of a recipe, and fit the method that follows on its features.

    The folder gets what `train` writes, the features of every split that is needed
    under ``features``, and the fitted method as ``head.safetensors``. Broken off and
    called again, it goes on. The test images choose nothing.

    Parameters
    ----------
    recipe
        See `load_recipe`.
    splits
        See `load_splits`.
    folder
        Of the run; new, or of the same run.
    seed, fabric, n_workers, tensorboard
        As in `train`.

    Returns
    -------
    result
        None in all processes but the first.
    """
    fabric = make_fabric("cpu") if fabric is None else fabric
    fabric.launch()
    if recipe.method:
        check_method(recipe.method, recipe.head.get("kind"))
        if recipe.method.get("uses_validation") and splits.validation is None:
            warnings.warn(
                "There are no validation images: the method chooses on training data "
                "held back.",
                stacklevel=2,
            )
    if splits.test is not None:
        splits.test.check_fits(splits.train, "test")
    train(
        build_model(recipe, splits.train, seed=seed),
        splits.train,
        splits.validation,
        folder,
        optimization=recipe.optimization,
        schedule=recipe.schedule,
        augmentation=recipe.augmentation,
        seed=seed,
        fabric=fabric,
        n_workers=n_workers,
        tensorboard=tensorboard,
        **recipe.training,
    )
    if not fabric.is_global_zero:
        return None
    with only_writer(folder):
        return _second_stage(
            recipe, splits, Path(folder), seed, fabric.device, n_workers=n_workers
        )


def build_model(recipe: Recipe, data: ImageSet, *, seed: int = 0) -> ImageClassifier:
    """Return the untrained network of a recipe, for the classes that have images."""
    backbone = build_backbone(**recipe.backbone, seed=seed)
    classes = np.unique(data.labels).tolist()
    head = new_head(
        n_features=backbone.n_features,
        n_classes=len(classes),
        classes=classes,
        seed=seed,
        **recipe.head,
    )
    preprocessing = replace(backbone.preprocessing, **recipe.preprocessing)
    return ImageClassifier(backbone, head, preprocessing)


def _second_stage(
    recipe: Recipe,
    splits: Splits,
    folder: Path,
    seed: int,
    device: torch.device,
    *,
    n_workers: int,
) -> TrainedRecipe:
    model = load_run(folder)
    model.backbone.to(device)
    model.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not recipe.method and splits.test is None:
        return TrainedRecipe(model, None, None)

    def features_of(split: str, images: ImageSet) -> FeatureSet:
        path = folder / "features" / split
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            extract_to_folder(
                model.backbone,
                images,
                path,
                preprocessing=model.preprocessing,
                n_workers=n_workers,
            )
        elif source_of(path) != images.fingerprint():
            raise FileExistsError(
                f"{path} must hold the features of the same images; it holds others. "
                "Remove it, or choose another folder for the run."
            )
        return FeatureSet.load(path)

    data = features_of("train", splits.train)
    trained = methods_on(model.head, [])[TRAINED]
    fitted = {TRAINED: trained.fit(data.features, data.targets)}
    classifier = None
    if recipe.method:
        classifier = _build_method(recipe.method, model.head, seed)
        extra = {}
        if recipe.method.get("uses_validation") and splits.validation is not None:
            held = features_of("val", splits.validation)
            extra = {"validation": (held.features, held.targets)}
        classifier.fit(data.features, data.targets, **extra)
        name_classes(classifier, data)
        classifier.save_classifier(folder / "head.safetensors")
        fitted[str(recipe.method["name"])] = classifier
    if splits.test is None:
        return TrainedRecipe(model, classifier, None)
    test = features_of("test", splits.test)
    comparison = compare_predictions(
        {name: one.predict_proba(test.features) for name, one in fitted.items()},
        matched_labels(test, trained.classes_),
        trained.class_counts_,
        classes=trained.classes_,
        seed=seed,
        provenance={"recipe": recipe.name, "seed": seed},
    )
    return TrainedRecipe(model, classifier, comparison)


def check_method(table: Mapping[str, Any], head_kind: str | None = None) -> None:
    """Refuse a method that is not known, before hours of training, not after."""
    unknown = sorted(set(table) - _METHOD_KEYS)
    if unknown or "name" not in table:
        raise ValueError(
            "[method] must have a name, and may have "
            f"{sorted(_METHOD_KEYS - {'name'})}; got {sorted(table)}."
        )
    estimator = get_method(table["name"]).build()
    known = estimator.get_params(deep=False)
    given = {*table.get("parameters", {}), *({"base"} & set(table))}
    wrong = sorted(given - set(known))
    if wrong:
        raise ValueError(
            f"Method {table['name']!r} has no parameter {wrong}; it has "
            f"{sorted(known)}."
        )
    estimator.set_params(**table.get("parameters", {}))._validate_params()
    validates = "validation" in inspect.signature(estimator.fit).parameters
    if table.get("uses_validation") and not validates:
        raise ValueError(
            f"Method {table['name']!r} chooses nothing on validation data; leave "
            "uses_validation out."
        )
    if "base" in table:
        if "uses_validation" in table["base"]:
            raise ValueError(
                "[method.base] must not have uses_validation: a base chooses on "
                "training data held back. Set it in [method]."
            )
        check_method(table["base"])
    elif table["name"] == "tau-norm" and head_kind == "cosine":
        raise ValueError(
            "tau-norm needs a linear head: the lengths of a cosine head's weights say "
            "nothing. Set head.kind to linear, or give [method.base]."
        )


def _build_method(table: Mapping[str, Any], head: Head, seed: int) -> Any:
    """Return the unfitted method, on the trained head where it takes a base."""
    estimator = get_method(table["name"]).build()
    known = estimator.get_params(deep=False)
    parameters = dict(table.get("parameters", {}))
    if "base" in known:
        below = table.get("base")
        parameters["base"] = head if below is None else _build_method(below, head, seed)
    if "random_state" in known:
        parameters.setdefault("random_state", seed)
    return estimator.set_params(**parameters)
