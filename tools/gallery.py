"""The gallery of the documents: every figure of the library, drawn on the letters.

MkDocs calls `on_files` when the site is built. ``python -m tools.gallery FOLDER`` draws
the same into a new folder. It trains a small network, which takes a minute or two.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headtail import AlphaNetClassifier, LinearClassifier, MetaModelNetClassifier
from headtail.analysis import (
    Taxonomy,
    attended_similarity,
    prototype_accuracy,
    prototype_weight_match,
    sweep_gamma,
    sweep_n_neighbors,
    trajectory_map,
    weight_norms,
)
from headtail.demo import Size, letters, trained_network
from headtail.features import FeatureSet, extract
from headtail.files import written_whole
from headtail.methods.transfer import CompositionalClassifier
from headtail.report import about, thumbnails, write_html
from headtail.report import draw_analysis as draw
from headtail.report.figures import figures_of, new_figure, save_figure
from headtail.statistics import class_prototypes
from headtail.workflow import TRAINED, compare, methods_on, report_of

SIZE = Size(60, 150, 50, 20, 0.85, 64, 10)
REPORT = "report.html"
_METHODS = ["ncm", "logit-adjustment", "compositional", "count-aware-transfer"]
_CACHE = Path(__file__).parents[1] / "build" / "gallery"


def make_gallery(folder: Path, size: Size = SIZE, *, epochs: int = 30) -> list[str]:
    """Draw all figures and a report into a new folder; return the files' names.

    `epochs` are those of learned transfer.
    """
    images = letters(size, n_validation=10)
    model, _ = trained_network(images.train, size)

    def features_of(part: Any) -> FeatureSet:
        return extract(
            model.backbone, part, preprocessing=model.preprocessing, bf16=True
        )

    train, validation, test = map(
        features_of, (images.train, images.validation, images.test)
    )
    comparison = compare(
        methods_on(model.head, _METHODS), train, test, reference=TRAINED
    )
    report = report_of(comparison)
    # It always attends to donors, which the recommended method may choose not to do.
    figures = figures_of(about(report, "compositional"))
    figures |= _analyses(
        model.head,
        Taxonomy.from_paths(images.taxonomy),
        train,
        validation,
        test,
        epochs,
    )
    names: list[str] = []
    with written_whole(folder) as new:
        new.mkdir(parents=True)
        for name, figure in figures.items():
            names += save_figure(figure, new, name)
        write_html(report, new / REPORT, pictures=thumbnails(report, images.train))
    return [*names, REPORT]


def _analyses(
    head: Any,
    taxonomy: Taxonomy,
    train: FeatureSet,
    validation: FeatureSet,
    test: FeatureSet,
    epochs: int,
) -> dict[str, Figure]:
    """Draw what the papers show of their methods."""
    pairs = {
        name: (data.features, data.targets)
        for name, data in (("train", train), ("validation", validation), ("test", test))
    }
    sources = {name: pairs[name] for name in ("train", "validation")}
    targets = {name: pairs[name] for name in ("train", "test")}
    linear = LinearClassifier(random_state=0).fit(*pairs["train"])
    transfer = CompositionalClassifier(head, donors=0).fit(*pairs["train"])
    alphanet = AlphaNetClassifier(head, epochs=epochs, random_state=0)
    meta = MetaModelNetClassifier(n_models=epochs, random_state=0).fit(*pairs["train"])
    counts = transfer.class_counts_
    prototypes = class_prototypes(
        torch.from_numpy(train.features), torch.from_numpy(train.targets), len(counts)
    )
    accuracy = prototype_accuracy(sources, targets, counts)
    sharpness = {
        "cosine": prototype_weight_match(prototypes, head.weight.detach()),
        "linear": prototype_weight_match(prototypes, linear.head_.weight.detach()),
    }
    attended = attended_similarity(transfer.attention_[0], taxonomy)
    norms = {"linear": weight_norms(linear)}
    gammas, neighbors = (
        sweep(alphanet, pairs["train"], pairs["test"], validation=pairs["validation"])
        for sweep in (sweep_gamma, sweep_n_neighbors)
    )
    rare = meta.classes_[counts.argsort()[::10]]
    paths = trajectory_map(meta, rare, start="few-shot")
    figures: dict[str, tuple[Callable[..., None], Any]] = {
        "prototype-accuracy": (draw.draw_prototype_accuracy, accuracy),
        "sharpness": (draw.draw_sharpness, sharpness),
        "attended-similarity": (draw.draw_attended_similarity, attended),
        "weight-norms": (draw.draw_weight_norms, norms),
        "sweep-gamma": (draw.draw_sweep, gammas),
        "sweep-neighbors": (draw.draw_sweep, neighbors),
        "trajectories": (draw.draw_trajectories, paths),
    }
    wide = {"prototype-accuracy": (6.5, 3.2), "trajectories": (5.0, 3.6)}
    return {
        name: new_figure(wide.get(name, (4.5, 3.2)), partial(_painted, paint, result))
        for name, (paint, result) in figures.items()
    }


def _painted(paint: Callable[..., None], result: Any, axes: Axes) -> None:
    paint(axes, result)


def on_files(files: Any, config: Any) -> Any:
    """Add the gallery to the site; MkDocs calls this."""
    import shutil

    from mkdocs.structure.files import File

    shutil.rmtree(_CACHE, ignore_errors=True)
    _CACHE.parent.mkdir(exist_ok=True)
    for name in make_gallery(_CACHE):
        files.append(
            File.generated(config, f"gallery/{name}", abs_src_path=str(_CACHE / name))
        )
    return files


if __name__ == "__main__":
    print(*make_gallery(Path(sys.argv[1])), sep="\n")
