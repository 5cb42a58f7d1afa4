"""Imports only point down; a lower room never knows a higher one."""

import ast
from pathlib import Path

import pytest

import headtail

ROOT = Path(headtail.__file__).parent

# Room -> the rooms that it may know. Each knows only rooms that stand above it here.
MAY_KNOW: dict[str, set[str]] = {
    "version": set(),
    "shards": set(),
    "tensors": {"shards"},
    "labels": set(),
    "writing": set(),
    "files": {"writing"},
    "progress": set(),
    "torchvision_operators": set(),
    "datasets": {"tensors", "files", "torchvision_operators"},
    "statistics": {"tensors", "files"},
    "samplers": set(),
    "losses": {"tensors"},
    "heads": {"tensors", "labels", "files"},
    "features": {"shards", "tensors", "labels", "files", "progress", "datasets"},
    "training": {
        "version",
        "tensors",
        "labels",
        "files",
        "progress",
        "torchvision_operators",
        "datasets",
        "statistics",
        "samplers",
        "losses",
        "heads",
        "features",
    },
    "scale": {
        "tensors",
        "files",
        "progress",
        "datasets",
        "statistics",
        "features",
        "training",
    },
    "methods": {
        "version",
        "shards",
        "tensors",
        "labels",
        "files",
        "progress",
        "statistics",
        "samplers",
        "losses",
        "heads",
    },
    "selection": {
        "tensors",
        "labels",
        "statistics",
        "samplers",
        "heads",
        "methods",
    },
    "transforms": {"tensors", "labels", "statistics", "heads", "methods"},
    "registry": {"files", "methods"},
    "evaluation": {"tensors", "labels", "statistics"},
    "analysis": {
        "tensors",
        "labels",
        "statistics",
        "heads",
        "methods",
        "evaluation",
    },
    "report": {
        "files",
        "labels",
        "datasets",
        "statistics",
        "evaluation",
        "analysis",
    },
    "matching": {"tensors", "labels", "features"},
    "predictions": {"files", "tensors"},
    "workflow": {
        "version",
        "tensors",
        "labels",
        "files",
        "statistics",
        "heads",
        "datasets",
        "features",
        "training",
        "methods",
        "registry",
        "evaluation",
        "analysis",
        "report",
        "matching",
        "predictions",
    },
    "export": {
        "version",
        "tensors",
        "files",
        "heads",
        "training",
        "registry",
        "matching",
    },
    "serve": {
        "version",
        "tensors",
        "files",
        "datasets",
        "statistics",
        "training",
        "methods",
        "registry",
        "analysis",
        "matching",
    },
    "demo": {
        "heads",
        "features",
        "training",
        "registry",
        "evaluation",
        "datasets",
        "workflow",
    },
    "cli": {
        "version",
        "files",
        "heads",
        "datasets",
        "features",
        "training",
        "registry",
        "report",
        "workflow",
        "export",
        "serve",
        "demo",
        "scale",
        "statistics",
    },
    "__main__": {"cli"},
}
# The door of the package: it gathers public names and may know all but the top.
MAY_KNOW["__init__"] = set(MAY_KNOW) - {"cli", "demo", "__main__"}


def imported_rooms(source):
    """Return the rooms that a source imports; "" for one that does not say which."""
    rooms = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            rooms.append("")
            continue
        elif isinstance(node, ast.ImportFrom):
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        parts = [target.split(".") for target in targets]
        rooms += [[*part, ""][1] for part in parts if part[0] == "headtail"]
    return rooms


def forbidden(room, source):
    """Return what a file of `room` imports and may not."""
    allowed = MAY_KNOW[room] | {room}
    return sorted(set(imported_rooms(source)) - allowed)


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    source = path.read_text(encoding="utf-8")
    assert forbidden(room_of(path), source) == []


def test_every_room_is_in_the_table_and_the_table_holds_no_other():
    assert {room_of(path) for path in FILES} == set(MAY_KNOW)


def test_the_table_only_points_down():
    rooms = list(MAY_KNOW)
    for position, room in enumerate(rooms):
        assert MAY_KNOW[room] <= set(rooms[:position]), room


def test_neighbours_do_not_know_each_other():
    neighbours = {"statistics", "samplers", "losses", "heads"}
    for room in neighbours:
        assert not MAY_KNOW[room] & neighbours


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from headtail.methods.base import LinearClassifier", ["methods"]),
        ("import headtail.registry", ["registry"]),
        ("from headtail import cli", ["cli"]),
        ("from headtail import compare", ["compare"]),
        ("import headtail", [""]),
        ("from . import files", [""]),
        ("from ..heads import LinearHead", [""]),
        ("def late():\n    from headtail.cli import main", ["cli"]),
        ("import torch\nfrom headtail.tensors import unit", []),
        ("from headtail.statistics.class_sums import class_sums", []),
        ("text = 'from headtail.cli import main'", []),
    ],
)
def test_a_forbidden_import_is_found(source, found):
    assert forbidden("statistics", source) == found
