import numpy as np
import pytest
from PIL import Image

METHODS = ("--methods", "ncm,compositional")


@pytest.fixture
def compared(files, run):
    words = ("compare", "train.npz", "test.npz", *METHODS, "-o", "run")
    assert run(*words)[0] == 0
    return files / "run"


def test_a_run_becomes_a_page(compared, run):
    code, out, err = run("report", "run", "-o", "page.html", "--title", "Pets & more")
    assert (code, out) == (0, "page.html\n")
    text = (compared.parent / "page.html").read_text("utf-8")
    assert "<title>Pets &amp; more</title>" in text
    assert err.strip() in text
    assert err.startswith("compositional ")


def test_the_answer_may_be_about_another_method(compared, run):
    err = run("report", "run", "-o", "page.html", "--method", "ncm")[2]
    assert "ncm reaches" in err
    code, _, err = run("report", "run", "-o", "page.html", "--method", "crt")
    assert code == 2
    assert "method must be one of ['ncm', 'compositional']; got 'crt'" in err


def test_compare_writes_the_same_page_at_once(compared, run):
    words = ("compare", "train.npz", "test.npz", *METHODS, "--report", "at-once.html")
    assert run(*words)[0] == 0
    assert run("report", "run", "-o", "later.html")[0] == 0
    folder = compared.parent
    at_once = (folder / "at-once.html").read_bytes()
    assert at_once == (folder / "later.html").read_bytes()


def test_pictures_come_from_a_folder_of_images(compared, run):
    folder = compared.parent
    for name in ("ant", "bee"):
        (folder / "images" / name).mkdir(parents=True)
        pixels = np.full((8, 8, 3), 90, np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name / "a.png")
    run("report", "run", "-o", "plain.html")
    code = run("report", "run", "-o", "page.html", "--images", "images")[0]
    assert code == 0
    page = (folder / "page.html").read_text("utf-8")
    assert "data:image/jpeg;base64," in page
    assert "data:image/jpeg;base64," not in (folder / "plain.html").read_text("utf-8")
    (folder / "others" / "yak").mkdir(parents=True)
    (folder / "images" / "ant" / "a.png").rename(folder / "others" / "yak" / "a.png")
    code, _, err = run("report", "run", "-o", "page.html", "--images", "others")
    assert code == 2
    assert "none of its 4 class names has an image" in err


def test_figures_are_written_into_a_new_folder(compared, run):
    code, out, _ = run("figures", "run", "-o", "figures", "--method", "compositional")
    assert code == 0
    written = [compared.parent / line for line in out.split()]
    assert len(written) >= 10
    assert all(path.stat().st_size > 1000 for path in written)
    code, _, err = run("figures", "run", "-o", "figures")
    assert code == 2
    assert "figures holds something already; choose a new folder" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("report", "absent", "-o", "page.html"), "absent does not exist"),
        (("report", "train.npz", "-o", "page.html"), "train.npz must be a report"),
        (("report", ".", "-o", "page.html"), "must hold report.json"),
        (("report", "run", "-o", "page.txt"), "must end in one of ['.html', '.htm']"),
        (("report", "run", "-o", "no/page.html"), "The folder of no/page.html"),
        (
            ("compare", "train.npz", "test.npz", "--report", "page.pdf"),
            "must end in one of ['.html', '.htm']; got '.pdf'",
        ),
        (("figures", "absent", "-o", "new"), "absent does not exist"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(files, run, words, told):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1
