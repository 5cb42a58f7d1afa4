"""Documents: every method has its card, limits hold, and what is shown runs."""

import pydoc
import re
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import pytest

import headtail
from headtail.cli import main
from headtail.registry import METHODS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CARDS = DOCS / "methods"
PAGES = [
    ROOT / "README.md",
    DOCS / "index.md",
    DOCS / "which-method.md",
    *sorted((DOCS / "tutorials").glob("*.md")),
    *sorted((DOCS / "how-to").glob("*.md")),
]
CARD_PARTS = 10

BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
METHOD_ROWS = pytest.mark.parametrize("method", METHODS, ids=lambda row: row.name)


def read(path):
    return path.read_text(encoding="utf-8")


def blocks(text):
    """Return (language, code, line of the code) of every block that can be run."""
    return [
        (found[1], found[2], text[: found.start(2)].count("\n"))
        for found in BLOCK.finditer(text)
    ]


def commands(code):
    """Return the commands of a console block, without their prompt."""
    return [line[2:] for line in code.splitlines() if line.startswith("$ ")]


def run_command(line):
    """Run a `headtail …` line in the working folder; return what it printed."""
    out, err = StringIO(), StringIO()
    with (
        patch.object(sys, "argv", shlex.split(line)),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as stop,
    ):
        main()
    assert stop.value.code in (0, None), f"{line}\n{err.getvalue()}"
    return out.getvalue()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return str(found.getsockname()[1])


@contextmanager
def served(line):
    """Run a `headtail serve …` line beside the page, until the page ends."""
    argv = [sys.executable, "-m", *shlex.split(line)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            first = process.stderr.readline()
            assert first.startswith("Serving"), first
            yield
        finally:
            process.terminate()


def run_page(path):
    """Run the blocks of a page in their order, in one namespace, then its tests."""
    namespace = {"__name__": path.stem}
    text = read(path)
    with ExitStack() as servers:
        if "$ headtail serve" in text:
            text = text.replace("8000", free_port())
        for language, code, line in blocks(text):
            if language == "python":
                # Empty lines before it, so that a traceback shows the line of the page.
                exec(compile("\n" * line + code, path, "exec"), namespace)
                continue
            for command in commands(code):
                if command.startswith("headtail serve "):
                    servers.enter_context(served(command))
                elif command.startswith("headtail "):
                    run_command(command)
    for name, value in namespace.items():
        if name.startswith("test_"):
            value()


@METHOD_ROWS
def test_every_method_has_a_card_with_its_paper_and_class(method):
    card = read(CARDS / f"{method.name}.md")
    assert method.paper in card
    assert method.estimator.__name__ in card


@METHOD_ROWS
def test_a_card_has_its_ten_parts(method):
    headings = re.findall(r"^## (\d+)\. ", read(CARDS / f"{method.name}.md"), re.M)
    assert headings == [str(number + 1) for number in range(CARD_PARTS)]


@METHOD_ROWS
def test_a_card_names_every_parameter(method):
    card = read(CARDS / f"{method.name}.md")
    for parameter in method.estimator().get_params(deep=False):
        assert f"`{parameter}`" in card, parameter


@METHOD_ROWS
def test_the_overview_shows_the_row(method):
    rows = [
        line for line in read(CARDS / "index.md").splitlines() if line.startswith("| [")
    ]
    (row,) = [line for line in rows if line.startswith(f"| [{method.name}](")]
    for fact in (method.estimator.__name__, method.family, method.summary):
        assert fact in row
    assert ("recommended" in row) == method.recommended
    assert len(rows) == len(METHODS)


def test_the_reference_lists_every_public_name():
    listed = re.findall(
        r"^::: headtail\.(?:[\w.]+\.)?(\w+)$", read(DOCS / "api.md"), re.M
    )
    assert set(headtail.__all__) <= set(listed)
    assert len(listed) == len(set(listed))


def test_the_changelog_begins_with_this_version():
    text = read(ROOT / "CHANGELOG.md")
    assert re.findall(r"^## \[(.*?)\]", text, re.M)[0] == headtail.__version__
    for version in text.split("\n## ")[1:]:
        assert re.findall(r"^### (.*)$", version, re.M)[0] == "Changed numbers"


def test_the_readme_is_short_and_begins_with_two_commands():
    text = read(ROOT / "README.md")
    assert len(text.splitlines()) < 120
    shell = re.findall(r"^```(?:console|bash|sh)\n(.*?)^```$", text, re.M | re.S)
    lines = [line.removeprefix("$ ") for code in shell for line in code.splitlines()]
    first = [" ".join(line.split()[:2]) for line in lines if line.strip()][:4]
    assert {"make demo", "make test"} <= set(first)


@METHOD_ROWS
def test_the_readme_lists_every_method(method):
    card = f"[{method.name}](docs/methods/{method.name}.md)"
    row = f"| {card} | `{method.estimator.__name__}` | {method.summary} |"
    assert row in read(ROOT / "README.md")


@METHOD_ROWS
def test_every_name_on_a_card_is_real(method):
    names = re.findall(r"`(headtail(?:\.\w+)+)`", read(CARDS / f"{method.name}.md"))
    assert names
    for name in names:
        assert pydoc.locate(name) is not None, name


def test_contributing_is_short():
    assert len(read(ROOT / "CONTRIBUTING.md").splitlines()) <= 60


@pytest.mark.parametrize(
    "path", sorted((DOCS / "decisions").glob("*.md")), ids=lambda path: path.stem
)
def test_a_decision_is_short_and_has_its_parts(path):
    text = read(path)
    assert len(text.splitlines()) <= 40
    assert text.startswith(f"# {path.stem[:4]}: ")
    parts = ["Context", "Decision", "Consequences", "When to look again"]
    assert re.findall(r"^## (.*)$", text, re.M) == parts


def test_every_page_can_be_reached():
    nav = read(ROOT / "mkdocs.yml").split("\nnav:")[1]
    for path in DOCS.rglob("*.md"):
        assert str(path.relative_to(DOCS).as_posix()) in nav


@pytest.mark.usefixtures("short_trainings")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_what_a_page_shows_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(path)


def test_every_page_that_runs_shows_python_and_commands():
    for path in PAGES:
        shown = blocks(read(path))
        lines = [
            c for kind, code, _ in shown if kind == "console" for c in commands(code)
        ]
        assert "python" in {kind for kind, *_ in shown}, path.stem
        program = "make " if path.stem == "index" else "headtail "
        assert any(line.startswith(program) for line in lines), path.stem


def test_every_block_stands_on_a_page_that_is_run():
    shown = {path for path in DOCS.rglob("*.md") if blocks(read(path))}
    assert shown < set(PAGES)


def test_blocks_are_found_with_their_language_and_line():
    text = "# A\n\n```python\nx = 1\n```\n\n```console\n$ headtail a\nout\n```\n"
    assert blocks(text) == [
        ("python", "x = 1\n", 3),
        ("console", "$ headtail a\nout\n", 7),
    ]
    assert commands("$ headtail a\nout\n") == ["headtail a"]


def test_a_command_that_fails_is_noticed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match=r"absent\.npz does not exist"):
        run_command("headtail info absent.npz")


def test_the_package_runs_as_a_program():
    argv = [sys.executable, "-m", "headtail", "methods"]
    done = subprocess.run(argv, capture_output=True, encoding="utf-8", check=True)
    assert "compositional" in done.stdout
