"""The gallery shows every figure, and only those that are drawn when it is built."""

import re
from pathlib import Path

import pytest

from headtail.demo import Size
from headtail.report.figures import PLOTS
from tools.gallery import REPORT, make_gallery

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"


@pytest.mark.usefixtures("short_trainings")
def test_the_gallery_shows_what_is_drawn(tmp_path):
    size = Size(18, 50, 5, 3, 0.3, 32, 2)
    names = make_gallery(tmp_path / "gallery", size, epochs=2)
    assert sorted(path.name for path in (tmp_path / "gallery").iterdir()) == sorted(
        names
    )
    drawn = {name for name in names if name.endswith(".png")} | {REPORT}
    shown = re.findall(r"\]\(gallery/(.*?)\)", PAGE.read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(drawn)
    assert {f"{name}.png" for name in PLOTS} < drawn
