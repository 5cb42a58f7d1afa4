"""Every command shows an example, and every example runs."""

import re
import shlex
from importlib import import_module

import pytest

from headtail.cli.app import app
from headtail.registry import get_method, recommended_method

COMMANDS = {row.callback.__name__: row.callback for row in app.registered_commands}
EXAMPLES = {
    name: re.findall(r"Example: `(.*?)`", command.__doc__, re.DOTALL)
    for name, command in COMMANDS.items()
}


def plain(text):
    """Return text without colours and frames, its words one space apart."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_shows_its_example(name, run):
    (example,) = EXAMPLES[name]
    code, out, err = run(name, "--help")
    assert (code, err) == (0, "")
    assert f"Example: {plain(example)}" in plain(out)
    assert shlex.split(example)[:2] == ["headtail", name]


def test_the_help_lists_every_command(run):
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    for command in COMMANDS.values():
        assert plain(command.__doc__.splitlines()[0]) in plain(out)


def test_the_examples_run_one_after_the_other(files, run, monkeypatch):
    # The demonstration of all methods has a test of its own.
    few = (get_method("cosine"), recommended_method())
    # The package's attributes of these names are functions.
    monkeypatch.setattr(import_module("headtail.workflow.compare"), "METHODS", few)
    demo = import_module("headtail.demo")
    monkeypatch.setattr(demo, "FULL", demo.QUICK)
    for name in (
        *("demo", "fit", "evaluate", "predict", "compare", "report", "figures"),
        *("add", "export", "info", "statistics"),
    ):
        code, out, err = run(*shlex.split(EXAMPLES[name][0])[1:])
        assert (code, bool(out)) == (0, True), err
        assert "Error" not in err
    written = {path.name for path in files.iterdir()}
    assert {
        "head.safetensors",
        "larger.safetensors",
        "head.onnx",
        "predictions.csv",
        "run",
        "demo.html",
        "report.html",
        "statistics.safetensors",
        "figures",
    } <= written
    page = (files / "demo.html").read_text("utf-8")
    assert "data:image/jpeg;base64," in page
    assert run(*shlex.split(EXAMPLES["methods"][0])[1:])[0] == 0
    assert set(EXAMPLES) == {
        *("demo", "train", "extract", "fit", "evaluate", "predict", "compare"),
        *("report", "figures", "add", "export", "info", "methods", "recipes"),
        *("statistics", "serve"),
    }
