import numpy as np
import pytest
import torch
from PIL import Image

from headtail.datasets import (
    BatchReader,
    ImageFiles,
    ImageSet,
    Preprocessing,
    batches_in_order,
    read_ahead,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 6, 5, 3), dtype=np.uint8)
LABELS = [0, 1, 2, 0, 1, 2, 0]
ROWS = np.array([6, 0, 3, 3, 5])


@pytest.fixture
def files(tmp_path):
    """Return the paths of the images; "wide" and "damaged" files lie beside them."""
    paths = {}
    for number, image in enumerate(PIXELS):
        paths[number] = tmp_path / f"{number}.png"
        Image.fromarray(image).save(paths[number])
    paths["damaged"] = tmp_path / "damaged.png"
    paths["damaged"].write_bytes(paths[0].read_bytes()[:60])
    paths["wide"] = tmp_path / "wide.png"
    Image.new("RGB", (9, 6)).save(paths["wide"])
    return paths


@pytest.fixture
def mapped(tmp_path):
    """Return the images as a memory map that cannot be written to."""
    np.save(tmp_path / "images.npy", PIXELS)
    return np.load(tmp_path / "images.npy", mmap_mode="r")


def as_set(files, keys):
    return ImageSet(ImageFiles([files[key] for key in keys]), [0] * len(keys))


def read(data, rows=ROWS, preprocessing=None, batch_size=2, **options):
    """Return the batches: shapes, all images and all indices."""
    preprocessing = Preprocessing() if preprocessing is None else preprocessing
    batches = list(
        batches_in_order(data, rows, preprocessing, batch_size=batch_size, **options)
    )
    for images, kept in batches:
        assert (images.dtype, kept.dtype) == (torch.uint8, torch.int64)
        assert len(images) == len(kept)
    indices = [kept.tolist() for _, kept in batches]
    images = [image.numpy() for batch, _ in batches for image in batch]
    return images, indices


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("size", [None, 4])
def test_arrays_memory_maps_lists_and_files_give_the_same(
    size, n_workers, files, mapped
):
    preprocessing = Preprocessing(size=size)
    expected = [preprocessing.prepare(PIXELS[row]) for row in ROWS]
    paths = ImageFiles([files[number] for number in range(7)])
    for source in [paths] if n_workers else [PIXELS, mapped, list(PIXELS), paths]:
        data = ImageSet(source, LABELS)
        images, indices = read(data, ROWS, preprocessing, n_workers=n_workers)
        np.testing.assert_array_equal(images, expected)
        assert indices == [[6, 0], [3, 3], [5]]


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, [1] * 5), (5, [5]), (9, [5])])
def test_batches_have_their_size_but_the_last(batch_size, sizes):
    data = ImageSet(PIXELS, LABELS)
    _, indices = read(data, batch_size=batch_size)
    assert [len(kept) for kept in indices] == sizes
    assert [row for kept in indices for row in kept] == ROWS.tolist()


def test_there_may_be_nothing_to_read():
    assert read(ImageSet(PIXELS, LABELS), ROWS[:0]) == ([], [])


def test_what_is_read_may_be_written_to_and_is_no_part_of_the_source(mapped):
    for source in (PIXELS, mapped):
        reader = BatchReader(ImageSet(source, LABELS))
        images, _ = reader[[2, 1]]
        images += 1
        np.testing.assert_array_equal(reader[[2]][0].numpy(), PIXELS[[2]])


def test_each_image_goes_through_what_was_given():
    reader = BatchReader(ImageSet(PIXELS, LABELS), lambda image: image[:2, ::-1])
    images, kept = reader[[4, 0]]
    np.testing.assert_array_equal(images.numpy(), PIXELS[[4, 0], :2, ::-1])
    assert kept.tolist() == [4, 0]


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_damaged_file_is_named_in_one_line(n_workers, files):
    data = as_set(files, [0, 1, "damaged"])
    with pytest.raises(ValueError, match=r"damaged\.png must be a whole") as caught:
        read(data, np.arange(3), n_workers=n_workers)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("size", [None, 4])
def test_damaged_files_are_left_out_if_asked(size, n_workers, files):
    data = as_set(files, [0, "damaged", 2, "damaged", "damaged", 5, "damaged"])
    preprocessing = Preprocessing(size=size)
    images, indices = read(
        data, np.arange(7), preprocessing, n_workers=n_workers, skip_damaged=True
    )
    # Of the third batch and of the last nothing is left.
    assert indices == [[0], [2], [5]]
    expected = [preprocessing.prepare(PIXELS[row]) for row in (0, 2, 5)]
    np.testing.assert_array_equal(images, expected)


def test_a_batch_of_damaged_files_is_empty(files):
    reader = BatchReader(as_set(files, ["damaged"]), skip_damaged=True)
    images, kept = reader[[0, 0]]
    assert (len(images), images.dtype, kept.tolist()) == (0, torch.uint8, [])


def test_a_missing_file_is_no_damaged_one(files):
    files[1].unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.png does not exist"):
        read(as_set(files, [0, 1]), np.arange(2), skip_damaged=True)


def test_images_of_several_sizes_need_a_size(files):
    data = as_set(files, [0, "wide", 1])
    expected = r"one size; got \[\(6, 5\), \(6, 9\)\]\. Give the preprocessing a size"
    with pytest.raises(ValueError, match=expected):
        read(data, np.arange(3), batch_size=3)
    images, _ = read(data, np.arange(3), Preprocessing(size=5))
    assert {image.shape for image in images} == {(5, 5, 3)}


def test_a_bug_in_what_reads_is_not_dressed_up():
    def fail(image):
        raise ZeroDivisionError("a bug")

    reader = BatchReader(ImageSet(PIXELS, LABELS), fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        list(read_ahead(reader, [[0]], 0))
