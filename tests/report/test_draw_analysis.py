import numpy as np
import pytest

from headtail.analysis import (
    AttendedSimilarity,
    PrototypeAccuracy,
    PrototypeWeightMatch,
    Sweep,
    TrajectoryMap,
    WeightNorms,
)
from headtail.report import draw_analysis as draw
from headtail.report.figures import new_figure


@pytest.fixture
def drawn():
    """Draw a result and return its axes, rendered once."""

    def paint(function, result):
        figure = new_figure((4, 3), lambda axes: function(axes, result))
        figure.canvas.draw()
        return figure.axes[0]

    return paint


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_bars_of_prototypes_are_accuracies(drawn):
    accuracy = np.array([[[0.9, np.nan, 0.5, 0.7]], [[0.8, np.nan, 0.6, 0.7]]])
    result = PrototypeAccuracy(
        sources=("train", "validation"),
        targets=("test",),
        groups=("many", "medium", "few", "all"),
        accuracy=accuracy,
        within_accuracy=accuracy + 0.1,
        n_classes=np.ones((2, 1, 4), dtype=np.int64),
        recall=np.zeros((2, 1, 3)),
    )
    axes = drawn(draw.draw_prototype_accuracy, result)
    bars = {c.get_label(): [b.get_height() for b in c] for c in axes.containers}
    assert bars["many"] == pytest.approx([90, 80])
    assert bars["few"] == pytest.approx([50, 60])
    pale = [b.get_height() for b in axes.containers[0]]
    assert pale == pytest.approx([100, 90])
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels == ["train →\ntest", "validation →\ntest"]


def test_sharpness_is_drawn_by_rank_with_its_mismatches(drawn):
    result = PrototypeWeightMatch(
        compared=np.array([True, True]),
        nearest=np.array([0, 0]),
        mismatched=np.array([False, True]),
        own_similarity=np.array([0.9, 0.2]),
        n_compared=2,
        n_mismatched=1,
        sharpness=np.array([0.8, 0.1]),
    )
    axes = drawn(draw.draw_sharpness, {"cosine": result})
    assert legend_of(axes) == ["cosine: 1 of 2 mismatched"]
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), [[1, 0.8], [2, 0.1]])


def test_relatedness_is_drawn_beside_chance(drawn):
    result = AttendedSimilarity(
        attended=np.array([[0, 1], [1, 0]]),
        is_self=np.array([[True, False], [True, False]]),
        similarity=np.ones((2, 2)),
        chance=np.array([0.2, 0.4]),
        mean_similarity=np.array([0.9, 1.0]),
        n_similarity=np.array([1, 2]),
        mean_chance=0.3,
    )
    axes = drawn(draw.draw_attended_similarity, result)
    attended, chance = axes.lines
    np.testing.assert_array_equal(attended.get_ydata(), [np.nan, 1.0])
    assert chance.get_ydata()[0] == 0.3


def test_lengths_are_drawn_by_counts(drawn):
    known = WeightNorms(np.arange(2), np.array([100, 3]), np.array([2.0, 1.0]), 1.0)
    axes = drawn(draw.draw_weight_norms, {"linear": known})
    assert legend_of(axes) == ["linear (rank correlation +1.00)"]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[100, 2], [3, 1]])
    unknown = WeightNorms(np.arange(2), None, np.array([2.0, 1.0]), np.nan)
    with pytest.raises(ValueError, match=r"those of linear are not"):
        drawn(draw.draw_weight_norms, {"linear": unknown})


def test_sweeps_have_a_line_per_group_and_the_base_dotted(drawn):
    result = Sweep(
        parameter="n_neighbors",
        values=(2, 5),
        groups=("many", "few", "all"),
        accuracy=np.array([[0.9, 0.1, 0.5], [0.8, 0.3, 0.6]]),
        base_accuracy=np.array([0.95, 0.05, 0.4]),
        top5_accuracy=np.array([0.9, 0.9]),
        base_top5_accuracy=0.8,
    )
    axes = drawn(draw.draw_sweep, result)
    assert legend_of(axes) == ["many", "few", "all"]
    assert axes.get_xlabel() == "n neighbors"
    few, base = axes.lines[2:4]
    np.testing.assert_allclose(few.get_ydata(), [10, 30])
    assert base.get_ydata()[0] == pytest.approx(5)
    assert few.get_color() == base.get_color()


def test_trajectories_are_lines_with_the_name_at_their_end(drawn):
    result = TrajectoryMap(
        labels=np.array(["$a", "$a", "b", "b"]),
        steps=np.array([0, 1, 0, 1]),
        lengths=np.ones(4),
        coordinates=np.array([[0.0, 0], [1, 2], [3, 3], [4, 1]]),
    )
    axes = drawn(draw.draw_trajectories, result)
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[0, 0], [1, 2]])
    assert [text.get_text() for text in axes.texts] == [r"\$a", "b"]
    assert tuple(axes.texts[1].xy) == (4, 1)
