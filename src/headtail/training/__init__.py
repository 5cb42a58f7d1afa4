"""Stage 1: from images to a backbone and a head."""

from headtail.training.augmentation import Augmentation
from headtail.training.backbones import Backbone, backbone_names, build_backbone
from headtail.training.devices import checked_device, make_fabric
from headtail.training.fine_tuning import split_features
from headtail.training.image_classifier import ImageClassifier, new_head
from headtail.training.loop import train
from headtail.training.parts import TrainedParts
from headtail.training.recipe import Recipe, load_recipe, recipe_names, recipe_text
from headtail.training.run_folder import Row, RunFolder, is_run, load_run
from headtail.training.schedule import Optimization, Schedule

__all__ = [
    "Augmentation",
    "Backbone",
    "ImageClassifier",
    "Optimization",
    "Recipe",
    "Row",
    "RunFolder",
    "Schedule",
    "TrainedParts",
    "backbone_names",
    "build_backbone",
    "checked_device",
    "is_run",
    "load_recipe",
    "load_run",
    "make_fabric",
    "new_head",
    "recipe_names",
    "recipe_text",
    "split_features",
    "train",
]
