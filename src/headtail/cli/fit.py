"""``headtail fit``."""

from pathlib import Path
from typing import Annotated

import typer

from headtail.cli.output import check_output, load_features, naming, note, read_setting
from headtail.files import only_writer, unchanged
from headtail.heads import load_head
from headtail.registry import get_method, recommended_method
from headtail.statistics import holds_statistics, load_statistics
from headtail.workflow import fit_method, fit_on_statistics

__all__ = ["fit"]


def fit(
    features: Annotated[
        Path, typer.Argument(help="Features with labels, or statistics.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    method: Annotated[
        str | None,
        typer.Option(help="Name from `headtail methods`; default: the recommended."),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="A trained head to build on, used as it is.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of the method, as name=value."),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(help='What a parameter that is "auto" is chosen on.'),
    ] = None,
    seed: Annotated[int, typer.Option(help="Makes the fit repeatable.")] = 0,
) -> None:
    """Fit a method on features and write its head.

    Example: `headtail fit train.npz --method compositional -o head.safetensors`
    """
    check_output(output)
    parameters = dict(read_setting(text) for text in setting or [])
    if base is not None:
        parameters["base"] = load_head(base)
    if holds_statistics(features):
        if validation is not None:
            raise ValueError("Statistics choose nothing; leave --validation out.")
        with only_writer(output), naming(features, base):
            stored = load_statistics(features)
            classifier = fit_on_statistics(stored, method, parameters)
            classifier.save_classifier(output)
        note(f"{type(classifier).__name__}: {len(classifier.classes_)} classes.")
        typer.echo(str(output))
        return
    recommended = recommended_method(on_base=base is not None)
    row = recommended if method is None else get_method(method)
    with only_writer(output):
        with unchanged(features, validation):
            data = load_features(str(features))
            held = None if validation is None else load_features(str(validation))
            with naming(features, base, validation):
                classifier = fit_method(
                    data, row.name, parameters, validation=held, random_state=seed
                )
        classifier.save_classifier(output)
    note(
        f"{type(classifier).__name__}: {len(classifier.classes_)} classes, "
        f"{len(data)} examples."
    )
    if getattr(classifier, "selection_", None) is not None:
        selection = classifier.selection_
        seen = ", which the given head may have seen" if selection.optimistic else ""
        note(f"Chosen on {selection.data}{seen}: {dict(selection.best)}.")
    missing = set(range(len(data.class_names or ()))) - set(data.targets.tolist())
    if missing and data.class_names is not None:
        names = [data.class_names[label] for label in sorted(missing)]
        note(f"Without example, so not learned: {', '.join(names)}.")
    typer.echo(str(output))
