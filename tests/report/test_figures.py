import numpy as np
import pytest
from PIL import Image

from headtail.report import about, write_figures
from headtail.report.draw import draw_groups
from headtail.report.figures import PLOTS, figures_of, new_figure


def test_every_plot_is_written_as_pdf_and_png(report, tmp_path):
    written = write_figures(report, tmp_path / "figures")
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"{name}.{kind}" for name in PLOTS for kind in ("pdf", "png")}
    assert {path.name for path in written} == names
    for path in written:
        if path.suffix == ".png":
            pixels = np.asarray(Image.open(path).convert("L"))
            assert pixels.std() > 5
        else:
            assert path.read_bytes().startswith(b"%PDF")


def test_the_same_report_gives_the_same_bytes(report, tmp_path, monkeypatch):
    few = {name: PLOTS[name] for name in ("recall", "map")}
    monkeypatch.setattr("headtail.report.figures.PLOTS", few)
    for folder in ("one", "two"):
        write_figures(report, tmp_path / folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_what_a_method_has_not_is_left_out(report):
    assert set(figures_of(about(report, "base"))) == {
        name for name, plot in PLOTS.items() if plot.needs == "recall"
    }


def test_a_report_without_intervals_and_groups_can_be_drawn(make_report, make_result):
    none = dict.fromkeys(("all", "many", "few"), (None, None, None))
    report = make_report(methods=(make_result("old", none), make_result("new", none)))
    figures = figures_of(report)
    for figure in figures.values():
        figure.canvas.draw()


def test_bars_are_accuracies_with_their_intervals(make_report, make_result):
    old = make_result("old", {"few": (0.3, 0.2, 0.45)})
    report = make_report(methods=(old, make_result("new")))
    figure = new_figure((4, 3), lambda axes: draw_groups(axes, report))
    (axes,) = figure.axes
    before = next(c for c in axes.containers if c.get_label() == "old")
    assert before[2].get_height() == pytest.approx(30.0)
    low, high = before.errorbar[2][0].get_segments()[2][:, 1]
    assert (low, high) == pytest.approx((20.0, 45.0))


def test_a_folder_that_holds_something_is_kept(report, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(FileExistsError, match="choose a new folder"):
        write_figures(report, tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"


def test_intervals_that_do_not_hold_the_value_can_be_drawn(make_report, make_result):
    odd = make_result("new", {"few": (0.3, 0.35, 0.4), "all": (0.3, 0.1, 0.2)})
    report = make_report(methods=(make_result("old"), odd))
    new_figure((4, 3), lambda axes: draw_groups(axes, report)).canvas.draw()


def test_names_that_begin_with_an_underscore_are_in_legends(make_report, make_result):
    report = make_report(
        method="_new",
        reference="_old",
        methods=(make_result("_old"), make_result("_new")),
    )
    for name in ("groups", "recall"):
        (axes,) = figures_of(report)[name].axes
        texts = [text.get_text() for text in axes.get_legend().get_texts()]
        assert [text.strip().removeprefix("mean, ").strip() for text in texts] == [
            "_old",
            "_new",
        ]


def test_the_reference_alone_is_one_line(make_report):
    (axes,) = figures_of(make_report(method="old"))["recall"].axes
    assert len(axes.get_legend().get_texts()) == 1
