import importlib
import unicodedata

import numpy as np
import pytest

from headtail.datasets import exponential_counts
from headtail.datasets.glyphs import (
    GLYPH_CLASSES,
    glyph_taxonomy,
    glyphs,
    render_glyphs,
)
from headtail.statistics import shot_groups

COUNTS = [9, 4, 2, 0, 1]


@pytest.fixture(scope="module")
def small():
    return glyphs(COUNTS, n_validation=3, n_test=4)


def test_the_training_set_is_long_tailed_and_the_others_are_balanced(small):
    assert small.train.class_counts.tolist() == COUNTS
    assert small.validation.class_counts.tolist() == [3] * 5
    assert small.test.class_counts.tolist() == [4] * 5
    for data in small[:3]:
        assert data.images.dtype == np.uint8
        assert data.images.shape == (len(data), 32, 32, 3)


def test_without_counts_they_fall_exponentially():
    data = glyphs(n_classes=6, largest=8, imbalance_ratio=4, n_validation=0, n_test=1)
    expected = exponential_counts(6, 8, 4)
    assert data.train.class_counts.tolist() == expected.tolist()
    assert (len(data.validation), len(data.test)) == (0, 6)


def test_no_image_is_in_two_sets_or_twice(small):
    images = np.concatenate([data.images for data in small[:3]])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_same_seed_same_images_and_another_seed_others(small):
    same, other = (glyphs(COUNTS, n_validation=3, n_test=4, seed=s) for s in (0, 1))
    for mine, again, else_ in zip(small[:3], same[:3], other[:3], strict=True):
        np.testing.assert_array_equal(mine.images, again.images)
        np.testing.assert_array_equal(mine.labels, else_.labels)
        assert (mine.images != else_.images).mean() > 0.5


def test_other_counts_leave_the_test_set_and_the_common_training_images(small):
    more = glyphs([10, 4, 2, 0, 1, 3], n_validation=3, n_test=4)
    known = more.test.labels < 5
    np.testing.assert_array_equal(small.test.images, more.test.images[known])
    mine, theirs = (data.train.images[data.train.labels == 0] for data in (small, more))
    np.testing.assert_array_equal(mine, theirs[:9])


def test_the_sets_are_cut_from_the_rows_of_pictures(small):
    row = render_glyphs([0] * 16)
    sets = (small.test, small.validation, small.train)
    cut = [data.images[data.labels == 0] for data in sets]
    np.testing.assert_array_equal(np.concatenate(cut), row)


def test_labels_in_any_order_get_the_pictures_of_their_class():
    labels = np.array([7, 3, 7, 3, 3])
    images = render_glyphs(labels, seed=5, first=2)
    for position, number in enumerate([0, 0, 1, 1, 2]):
        alone = render_glyphs(labels[[position]], seed=5, first=2 + number)
        np.testing.assert_array_equal(images[[position]], alone)
    assert render_glyphs([]).shape == (0, 32, 32, 3)


def test_many_labels_get_the_pictures_in_the_order_of_their_row():
    labels = np.random.default_rng(0).integers(0, 3, 300)
    images = render_glyphs(labels)
    for label in range(3):
        row = render_glyphs(np.full((labels == label).sum(), label))
        np.testing.assert_array_equal(images[labels == label], row)


def test_names_are_short_and_distinct_and_say_the_path(small):
    assert len(set(GLYPH_CLASSES)) == len(GLYPH_CLASSES) == 200
    data = glyphs([0] * 200, n_validation=0, n_test=0)
    names = data.test.class_names
    assert names[GLYPH_CLASSES.index("ç")] == "latin c cedilla"
    assert names[GLYPH_CLASSES.index("ά")] == "greek alpha tonos"
    for name, (script, base, letter) in zip(names, data.taxonomy, strict=True):
        assert len(name) < 32
        assert name.startswith(f"{script} ")
        assert unicodedata.name(letter).startswith(script.upper())
        assert unicodedata.name(base).startswith(script.upper())
        assert unicodedata.decomposition(base) == ""
    assert small.taxonomy == data.taxonomy[:5]
    assert {script for script, *_ in data.taxonomy} == {
        *("latin", "greek", "cyrillic", "armenian", "georgian"),
    }


def test_a_letter_has_kin_half_as_far_down_unless_it_is_the_first_with_its_base():
    places = {}
    for place, (_, base, _) in enumerate(glyph_taxonomy()):
        earlier = places.setdefault(base, [])
        assert not earlier or 2 * earlier[0] < place
        earlier.append(place)


@pytest.mark.parametrize(("n_classes", "marked_kin"), [(100, 0.6), (200, 0.9)])
def test_the_tail_has_kin_in_the_head_and_marks_are_in_every_group(
    n_classes, marked_kin
):
    groups = shot_groups(exponential_counts(n_classes, 200, 100))
    taxonomy = np.array(glyph_taxonomy()[:n_classes])
    scripts, bases, letters = taxonomy.T
    few, head = groups.few, ~groups.few
    assert set(scripts[few]) <= set(scripts[head])
    marked, has_kin = letters != bases, np.isin(bases, bases[head])
    assert has_kin[few & marked].mean() > marked_kin
    assert all(0.2 < marked[group].mean() < 0.5 for _, group in groups.items())


def test_classes_can_be_learned_and_are_not_trivial():
    """The nearest class mean of smoothed brightness, on letters without a mark."""
    data = glyphs([60] * 10, n_validation=0, n_test=30)

    def features(images):
        grey = images.astype(np.float64).mean(3)
        grey = grey.reshape(len(grey), 8, 4, 8, 4).mean((2, 4)).reshape(len(grey), -1)
        grey = abs(grey - np.median(grey, axis=1, keepdims=True))
        return grey / np.linalg.norm(grey, axis=1, keepdims=True)

    known, asked = features(data.train.images), features(data.test.images)
    means = np.stack([known[data.train.labels == c].mean(0) for c in range(10)])
    found = ((asked[:, None] - means) ** 2).sum(2).argmin(1)
    accuracy = (found == data.test.labels).mean()
    assert 0.25 < accuracy < 0.9  # chance is 0.1


def test_the_cache_gives_the_same_images_without_rendering(
    small, tmp_path, monkeypatch
):
    folder = tmp_path / "new" / "cache"
    options = {"n_validation": 3, "n_test": 4, "cache": folder}
    first = glyphs(COUNTS, **options)
    (written,) = folder.iterdir()
    # By its name among the modules: as an attribute, `glyphs` is the function.
    module = importlib.import_module("headtail.datasets.glyphs")
    monkeypatch.setattr(module, "render_letters", None)
    again = glyphs(COUNTS, **options)
    for mine, kept, read in zip(small[:3], first[:3], again[:3], strict=True):
        np.testing.assert_array_equal(mine.images, kept.images)
        np.testing.assert_array_equal(mine.images, read.images)
        np.testing.assert_array_equal(mine.labels, read.labels)
    assert [*folder.iterdir()] == [written]


def test_every_parameter_has_its_own_cache_file(tmp_path):
    base = {"n_validation": 1, "n_test": 1, "seed": 0}
    for change in ({}, {"n_validation": 2}, {"n_test": 2}, {"seed": 1}):
        glyphs([1, 2], **base | change, cache=tmp_path)
    glyphs([2, 1], **base, cache=tmp_path)
    assert len([*tmp_path.iterdir()]) == 5


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("cut", "not a zip file"),
        ("flipped", "Bad CRC-32"),
        ("other", r"train has shape \[2, 32, 32, 3\]"),
        ("pickled", "allow_pickle"),
    ],
)
def test_a_damaged_cache_file_is_rendered_again_with_a_warning(
    damage, reason, tmp_path
):
    options = {"n_validation": 0, "n_test": 2, "cache": tmp_path}
    whole = glyphs([3, 1], **options)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-100])
    elif damage == "flipped":
        place = len(content) // 4
        flipped = bytes([content[place] ^ 1])
        path.write_bytes(content[:place] + flipped + content[place + 1 :])
    elif damage == "other":
        images = {"validation": whole.validation.images, "test": whole.test.images}
        np.savez(path, train=whole.train.images[:2], **images)
    else:
        np.savez(path, train=np.array([None]), validation=1, test=1)
    with pytest.warns(
        UserWarning, match=rf"glyphs-\d+-\w+\.npz must .*{reason}.* again"
    ):
        again = glyphs([3, 1], **options)
    np.testing.assert_array_equal(again.train.images, whole.train.images)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([[1, 2]], r"1 to 200 entries, one per class; got shape \[1, 2\]"),
        ([1] * 201, r"1 to 200 entries, one per class; got shape \[201\]"),
        ([], r"1 to 200 entries, one per class; got shape \[0\]"),
        ([1.0, 2.5], r"integers, at least 0; got \[1.0, 2.5\] of float64"),
        ([3, -1], r"integers, at least 0; got \[3, -1\] of int64"),
    ],
)
def test_counts_that_are_none_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        glyphs(counts)


@pytest.mark.parametrize("name", ["n_validation", "n_test", "seed"])
@pytest.mark.parametrize("value", [-1, 1.5, None, True])
def test_numbers_that_are_none_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be an integer, at least 0; got"):
        glyphs([1, 2], **{name: value})


def test_more_classes_than_there_are_are_refused():
    with pytest.raises(ValueError, match=r"1 to 200 entries.* got shape \[300\]"):
        glyphs(n_classes=300)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([[1]], TypeError, r"got int64 of shape \[1, 1\]"),
        ([1.5], TypeError, r"got float64 of shape \[1\]"),
        ([1, 200, -3], ValueError, r"labels must be in 0 … 199.* got \[-3, 200\]"),
    ],
)
def test_labels_that_are_none_are_refused(labels, error, message):
    with pytest.raises(error, match=message):
        render_glyphs(labels)
    with pytest.raises(
        ValueError, match="first must be an integer, at least 0; got -1"
    ):
        render_glyphs([1], first=-1)


def test_at_hardness_0_the_pictures_of_a_style_are_alike_and_dark_on_white():
    images = render_glyphs([5] * 60, hardness=0.0)
    # Twelve fonts, and nothing else that differs.
    assert len(np.unique(images.reshape(60, -1), axis=0)) <= 12
    assert (images[:, 0] == 255).all()
    assert (images.min(axis=(1, 2, 3)) < 100).all()


def test_pictures_come_nearer_to_the_plain_one_as_hardness_falls():
    hard, half, plain = (
        render_glyphs([5] * 40, hardness=h).astype(float) for h in (1.0, 0.5, 0.0)
    )
    assert np.abs(half - plain).mean() < 0.7 * np.abs(hard - plain).mean()


@pytest.mark.parametrize("hardness", [-0.1, 1.1, float("nan")])
def test_hardness_is_a_share(hardness):
    with pytest.raises(ValueError, match=r"hardness must be in \[0, 1\]; got"):
        render_glyphs([0], hardness=hardness)
    with pytest.raises(ValueError, match=r"hardness must be in \[0, 1\]; got"):
        glyphs([1], hardness=hardness)
