import time

import numpy as np
import pytest

from headtail.datasets import ImageFiles, ImageSet

PIXELS = np.arange(5 * 2 * 3 * 3, dtype=np.uint8).reshape(5, 2, 3, 3)
LABELS = [2, 0, 2, 0, 2]


class Lazy:
    """A sequence that notes which items are asked for."""

    def __init__(self, images):
        self.images, self.asked = images, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, position):
        self.asked.append(position)
        return self.images[position]


def test_counts_hold_every_class_of_the_names_or_up_to_the_largest_label():
    named = ImageSet(PIXELS, LABELS, ["a", "b", "c", "d"])
    assert (named.n_classes, named.class_counts.tolist()) == (4, [2, 0, 3, 0])
    bare = ImageSet(PIXELS, LABELS)
    assert (bare.n_classes, bare.class_counts.tolist()) == (3, [2, 0, 3])
    assert repr(bare) == "ImageSet(n_samples=5, n_classes=3)"
    assert bare.class_names is None


@pytest.mark.parametrize(("names", "n_classes"), [(None, 0), (["a", "b"], 2)])
def test_there_may_be_no_image(names, n_classes):
    data = ImageSet(PIXELS[:0], [], names)
    assert (len(data), data.n_classes) == (0, n_classes)
    assert data.class_counts.tolist() == [0] * n_classes


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64])
def test_labels_of_any_width_become_int64_and_images_are_not_copied(dtype):
    data = ImageSet(PIXELS, np.array(LABELS, dtype))
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == LABELS
    assert data.images is PIXELS


@pytest.mark.parametrize(
    "rows",
    [[4, 1, 4], np.array([4, 1, 4], np.uint8), (4, 1, -1)],
    ids=["list", "array", "negative"],
)
@pytest.mark.parametrize("wrap", [lambda x: x, list, Lazy])
def test_a_subset_has_the_rows_in_their_order(rows, wrap):
    part = ImageSet(wrap(PIXELS), LABELS, ["a", "b", "c"]).subset(rows)
    assert part.labels.tolist() == [2, 0, 2]
    assert part.class_names == ("a", "b", "c")
    for image, row in zip(part.images, (4, 1, 4), strict=True):
        np.testing.assert_array_equal(image, PIXELS[row])


@pytest.mark.parametrize("wrap", [lambda x: x, list])
def test_a_subset_is_where_a_mask_is_true(wrap):
    part = ImageSet(wrap(PIXELS), LABELS).subset(np.array(LABELS) == 0)
    assert part.labels.tolist() == [0, 0]
    np.testing.assert_array_equal(np.stack(list(part.images)), PIXELS[[1, 3]])
    assert len(part.subset([])) == 0


def test_a_subset_of_a_subset_reads_nothing_before_it_is_asked_for():
    images = Lazy(PIXELS)
    part = ImageSet(images, LABELS).subset([4, 3, 2, 1]).subset([1, 3])
    assert images.asked == []
    np.testing.assert_array_equal(part.images[1], PIXELS[1])
    assert images.asked == [1]


def test_a_subset_of_files_keeps_their_paths():
    data = ImageSet(ImageFiles(list("abcde")), LABELS)
    assert data.subset([3, 0]).subset([1, 0]).images.paths == ["a", "d"]


def test_the_fingerprint_tells_pixels_paths_and_labels():
    data = [
        ImageSet(PIXELS, LABELS),
        ImageSet(PIXELS[::-1], LABELS),
        ImageSet(PIXELS, [0] * 5),
        ImageSet(ImageFiles(list("abcde")), LABELS),
        ImageSet(ImageFiles(list("abced")), LABELS),
    ]
    assert len({one.fingerprint() for one in data}) == len(data)
    same = ImageSet(PIXELS.copy(), np.array(LABELS, np.int8), ["a", "b", "c"])
    assert same.fingerprint() == data[0].fingerprint()
    assert ImageSet(list(PIXELS), LABELS).fingerprint()


def test_eight_thousand_names_are_checked_in_no_time():
    names = [f"class {number}" for number in range(8142)]
    begin = time.monotonic()
    for _ in range(10):
        ImageSet(PIXELS, LABELS, names)
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PIXELS.astype(np.float32), r"got float32 of shape \[5, 2, 3, 3\]"),
        (PIXELS[..., 0], r"got uint8 of shape \[5, 2, 3\]"),
        (PIXELS[..., :1], r"got uint8 of shape \[5, 2, 3, 1\]"),
        (np.zeros((5, 3, 8, 8), np.uint8), r"got uint8 of shape \[5, 3, 8, 8\]"),
    ],
)
def test_other_arrays_are_refused(images, message):
    expected = rf"images must be uint8 \[n_samples, height, width, 3\]; {message}"
    with pytest.raises(ValueError, match=expected):
        ImageSet(images, LABELS)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 1], ValueError, r"one entry per image \(5\); got shape \[2\]"),
        (np.zeros((5, 1), int), ValueError, r"got shape \[5, 1\]"),
        ([0.0, 1, 2, 1, 0], TypeError, "must be integers, .*; got float64"),
        ([True] * 5, TypeError, "got bool"),
        (["a"] * 5, TypeError, "positions in class_names; got <U1"),
        ([0, -1, 2, -7, 0], ValueError, r"at least 0; got \[-1, -7\]"),
        ([0, 3, 2, 9, 3], ValueError, r"in 0 … 2, the positions .* got \[3, 9\]"),
    ],
)
def test_other_labels_are_refused(labels, error, message):
    with pytest.raises(error, match=message):
        ImageSet(PIXELS, labels, ["a", "b", "c"])


def test_a_name_that_comes_twice_is_named():
    with pytest.raises(ValueError, match=r"distinct; \['a', 'c'\] come twice"):
        ImageSet(PIXELS, LABELS, ["c", "a", "b", "a", "c"])


def test_files_that_were_moved_together_are_the_same(tmp_path):
    def fingerprint(*names):
        return ImageSet(ImageFiles(names), [0] * len(names)).fingerprint()

    here = fingerprint(tmp_path / "a" / "x" / "1.png", tmp_path / "a" / "y" / "2.png")
    there = fingerprint(tmp_path / "b" / "x" / "1.png", tmp_path / "b" / "y" / "2.png")
    other = fingerprint(tmp_path / "b" / "x" / "1.png", tmp_path / "b" / "y" / "3.png")
    assert here == there != other
