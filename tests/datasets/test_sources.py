import gzip
import io

import numpy as np
import pytest
from PIL import Image

from headtail.datasets import (
    image_arrays,
    image_folder,
    image_list,
    images_from_hugging_face,
    load_images,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)


@pytest.fixture
def saved(tmp_path):
    """Return a writer of images, by path and position in PIXELS."""

    def save(files):
        for name, position in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(PIXELS[position]).save(path)
        return tmp_path

    return save


def assert_holds(data, positions, labels, names=None):
    assert data.labels.tolist() == labels
    assert data.class_names == names
    for image, position in zip(data.images, positions, strict=True):
        np.testing.assert_array_equal(image, PIXELS[position])


def test_a_folder_holds_one_folder_a_class_in_the_order_of_names(saved):
    folder = saved(
        {"lynx/b.png": 0, "lynx/a.png": 1, "cat/deep/er/c.png": 2, "Zebra/d.PNG": 3}
    )
    (folder / "cat" / "notes.txt").write_text("no image")
    (folder / "readme.jpg.txt").write_text("no class")
    assert_holds(
        image_folder(folder), [3, 2, 1, 0], [0, 1, 2, 2], ("Zebra", "cat", "lynx")
    )


def test_hidden_files_and_folders_are_not_looked_at(saved):
    folder = saved({"cat/a.png": 0, "cat/b.png": 1})
    (folder / ".git").mkdir()
    (folder / "cat" / "._a.png").write_bytes(b"a resource fork of macOS")
    (folder / "cat" / ".ipynb_checkpoints").mkdir()
    (folder / "cat" / ".ipynb_checkpoints" / "a-checkpoint.png").touch()
    assert_holds(image_folder(folder), [0, 1], [0, 0], ("cat",))
    hidden = folder.rename(folder.with_name(".hidden"))
    assert_holds(image_folder(hidden), [0, 1], [0, 0], ("cat",))


def test_an_empty_class_folder_is_named_or_keeps_its_place(saved):
    folder = saved({"ant/a.png": 0, "cat/a.png": 1})
    (folder / "bee").mkdir()
    (folder / "bee" / "a.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"hold an image \(.*\['bee'\] hold"):
        image_folder(folder)
    data = image_folder(folder, allow_empty=True)
    assert_holds(data, [0, 1], [0, 2], ("ant", "bee", "cat"))
    assert data.class_counts.tolist() == [1, 0, 1]


def test_classes_may_be_folders_in_folders(saved):
    folder = saved({"b/bar/wine/x.png": 0, "b/bar/y.png": 1, "a/abbey/z.png": 2})
    (folder / "a" / "empty").mkdir()
    names = ("a/abbey", "b/bar", "b/bar/wine")
    assert_holds(image_folder(folder, nested=True), [2, 1, 0], [0, 1, 2], names)
    with pytest.raises(FileNotFoundError, match="must hold one folder a class"):
        image_folder(folder / "a" / "empty", nested=True)


def test_a_folder_without_classes_is_refused(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(FileNotFoundError, match="must hold one folder a class"):
        image_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="gone must be a folder; it is not"):
        image_folder(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=r"a\.png must be a folder"):
        image_folder(tmp_path / "a.png")


def test_a_list_has_a_path_and_a_label_per_line(saved):
    folder = saved({"x/a.png": 0, "x/b.png": 1, "y/c.png": 2})
    (folder / "list.txt").write_text("y/c.png 1\nx/b.png 0\ny/c.png 1\n")
    assert_holds(image_list(folder / "list.txt", folder), [2, 1, 2], [1, 0, 1])
    named = image_list(folder / "list.txt", folder, ["ox", "yak", "zebu"])
    assert_holds(named, [2, 1, 2], [1, 0, 1], ("ox", "yak", "zebu"))


def test_labels_with_gaps_are_classes_without_images(saved):
    folder = saved({"a.png": 0, "b.png": 1})
    (folder / "list.txt").write_text("a.png 4\nb.png 1\n")
    with pytest.warns(UserWarning, match=r"list\.txt: classes \[0, 2, 3\] have no im"):
        data = image_list(folder / "list.txt", folder)
    assert data.class_counts.tolist() == [0, 1, 0, 0, 1]
    with pytest.raises(ValueError, match=r"labels must be in 0 … 2, .*got \[4\]"):
        image_list(folder / "list.txt", folder, ["a", "b", "c"])


def test_missing_files_of_a_list_are_counted_and_named(saved):
    folder = saved({"a.png": 0})
    lines = ["a.png 0", *(f"gone/{number}.png 0" for number in range(7))]
    (folder / "list.txt").write_text("\n".join(lines))
    expected = r"list\.txt must exist below .*; 7 of 8 do not: \['.*/gone/0\.png', .* 2"
    with pytest.raises(FileNotFoundError, match=expected):
        image_list(folder / "list.txt", folder)


def test_a_damaged_file_is_named_when_it_is_read(saved):
    folder = saved({"cat/a.png": 0, "cat/b.png": 1})
    (folder / "cat" / "b.png").write_bytes(b"")
    data = image_folder(folder)
    np.testing.assert_array_equal(data.images[0], PIXELS[0])
    with pytest.raises(ValueError, match=r"cat/b\.png must be a whole image"):
        data.images[1]


@pytest.mark.parametrize("names", [None, ["ox", "yak", "zebu"]])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_hold_images_labels_and_maybe_names(names, save, tmp_path):
    arrays = {"images": PIXELS, "labels": [2, 0, 0, 2, 2, 0], "other": [1]}
    save(
        tmp_path / "a.npz",
        **arrays,
        **({} if names is None else {"class_names": names}),
    )
    data = image_arrays(tmp_path / "a.npz")
    expected = None if names is None else tuple(names)
    assert_holds(data, range(6), [2, 0, 0, 2, 2, 0], expected)


LABELS = np.arange(6)


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"images": PIXELS}, ValueError, r"arrays .*; \['labels'\] are missing"),
        ({"x": LABELS}, ValueError, r"\['images', 'labels'\] are missing"),
        (
            {"images": PIXELS / 255, "labels": LABELS},
            ValueError,
            "got float64 of shape",
        ),
        ({"images": PIXELS, "labels": LABELS[1:]}, ValueError, r"got shape \[5\]"),
        ({"images": PIXELS, "labels": LABELS / 1}, TypeError, "must be integers"),
        ({"images": PIXELS, "labels": LABELS - 1}, ValueError, r"at least 0; got \[-1"),
        (
            {"images": PIXELS, "labels": LABELS, "class_names": ["a", "b"]},
            ValueError,
            r"in 0 … 1, .*got \[2, 3, 4, 5\]",
        ),
        (
            {"images": PIXELS.astype(object), "labels": LABELS},
            ValueError,
            "must be a whole .npz file without pickled objects",
        ),
    ],
)
def test_other_arrays_are_refused_by_the_name_of_the_file(
    arrays, error, message, tmp_path
):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(error, match=rf"a\.npz.*{message}"):
        image_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_truncated_arrays_are_refused(part, tmp_path):
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=LABELS)
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"a\.npz must be a whole \.npz file"):
        image_arrays(tmp_path / "a.npz")


def test_what_is_read_is_told_by_the_path(saved):
    folder = saved({"cat/a.png": 0, "dog/a.png": 1})
    assert_holds(load_images(folder), [0, 1], [0, 1], ("cat", "dog"))
    np.savez(folder / "a.npz", images=PIXELS[:2], labels=[0, 0])
    assert_holds(load_images(folder / "a.npz"), [0, 1], [0, 0])
    (folder / "a.txt").write_text("dog/a.png 0\n")
    assert_holds(load_images(str(folder / "a.txt")), [1], [0])
    (folder / "b.txt.gz").write_bytes(gzip.compress(b"a.png 0\n"))
    assert_holds(load_images(folder / "b.txt.gz", folder / "dog"), [1], [0])
    with pytest.raises(FileNotFoundError, match=r"1 of 1 do not: .*Check the root"):
        load_images(folder / "b.txt.gz")
    with pytest.raises(ValueError, match=r"must be a folder of .*; got '\.png'"):
        load_images(folder / "cat" / "a.png")
    with pytest.raises(FileNotFoundError, match=r"gone\.npz does not exist"):
        load_images(folder / "gone.npz")


@pytest.fixture(scope="module")
def hub():
    """Return the library of Hugging Face for data sets."""
    return pytest.importorskip("datasets")


@pytest.fixture
def table(hub):
    """Return a data set made of encoded images; an int is a position in PIXELS."""

    def make(images, labels, label=None, names=("picture", "animal")):
        label = hub.ClassLabel(names=["cat", "dog"]) if label is None else label
        rows = {names[0]: [encoded(image) for image in images], names[1]: labels}
        features = hub.Features({names[0]: hub.Image(), names[1]: label})
        return hub.Dataset.from_dict(rows, features=features)

    return make


def encoded(image):
    if not isinstance(image, int):
        return image
    stream = io.BytesIO()
    Image.fromarray(PIXELS[image]).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def test_columns_of_a_data_set_of_the_hub(table, hub):
    dataset = table([3, 1, 4], [1, 0, 1])
    data = images_from_hugging_face(dataset, image="picture", label="animal")
    assert_holds(data, [3, 1, 4], [1, 0, 1], ("cat", "dog"))
    assert_holds(data.subset([2, 1]), [4, 1], [1, 0], ("cat", "dog"))
    plain = table([3, 1], [5, 0], hub.Value("int64"), ("image", "label"))
    assert_holds(images_from_hugging_face(plain), [3, 1], [5, 0])


def test_images_of_the_hub_become_rgb(table, hub):
    grey = Image.fromarray(PIXELS[0, ..., 0])
    clear = Image.new("RGBA", (2, 1), (9, 9, 9, 0))
    dataset = table([grey, clear], [0, 1], names=("image", "label"))
    data = images_from_hugging_face(dataset)
    np.testing.assert_array_equal(data.images[0], PIXELS[0, ..., :1].repeat(3, axis=2))
    assert data.images[1].tolist() == [[[255] * 3] * 2]


def test_missing_columns_are_explained(table, hub):
    dataset = table([3, 1], [1, 0])
    expected = (
        r"must have the columns 'image' and 'label'; it has \['picture', 'animal'\]\. "
        r"Choose one split, and name its columns with image= and label="
    )
    with pytest.raises(ValueError, match=expected):
        images_from_hugging_face(dataset)
    with pytest.raises(ValueError, match=r"'picture' and 'label'; it has"):
        images_from_hugging_face(dataset, image="picture")
    with pytest.raises(ValueError, match=r"it has \['train'\]\. Choose one split"):
        images_from_hugging_face(hub.DatasetDict({"train": dataset}))
    with pytest.raises(ValueError, match=r"it has \[\]"):
        images_from_hugging_face([1, 2])


def test_labels_of_the_hub_that_are_no_positions_are_refused(table, hub):
    for labels, kind, error, message in (
        (["x", "y"], hub.Value("string"), TypeError, "must be integers"),
        ([-1, 0], None, ValueError, r"at least 0; got \[-1\]"),
    ):
        dataset = table([3, 1], labels, kind)
        with pytest.raises(error, match=message):
            images_from_hugging_face(dataset, image="picture", label="animal")


def test_a_damaged_row_of_the_hub_is_named(table):
    dataset = table([{"bytes": b"no image", "path": None}, None, 2], [0, 1, 1])
    data = images_from_hugging_face(dataset, image="picture", label="animal")
    with pytest.raises(ValueError, match="Row 0 of column 'picture' must be a whole"):
        data.images[0]
    with pytest.raises(ValueError, match=r"Row 1 of column .*'NoneType'"):
        data.images[1]
    np.testing.assert_array_equal(data.images[2], PIXELS[2])
