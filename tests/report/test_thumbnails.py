import base64
import io

import numpy as np
import pytest
from PIL import Image

from headtail.datasets import ImageSet
from headtail.report import thumbnails
from headtail.report.thumbnails import SIDE
from tests.report.conftest import NAMES


def sheet_of(pictures):
    head, data = pictures.uri.split(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def plain(color, size=(20, 30)):
    return np.broadcast_to(np.uint8(color), (*size, 3))


def test_every_class_has_the_first_of_its_images(report):
    colors = np.random.default_rng(0).integers(256, size=(len(NAMES), 3))
    every = [plain(color) for color in colors] + [plain((0, 0, 0))] * len(NAMES)
    images = ImageSet(np.stack(every), np.tile(np.arange(len(NAMES)), 2), NAMES)
    pictures = thumbnails(report, images)
    sheet = sheet_of(pictures)
    assert sheet.shape == (pictures.rows * SIDE, pictures.columns * SIDE, 3)
    assert sorted(pictures.places) == list(range(10))
    for c, place in pictures.places.items():
        down, across = divmod(place, pictures.columns)
        middle = sheet[down * SIDE + SIDE // 2, across * SIDE + SIDE // 2].astype(int)
        wanted = colors[NAMES.index(report.classes.names[c])]
        assert np.abs(middle - wanted).max() < 8


def test_the_middle_square_is_shown(report):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    images = ImageSet(np.stack([wide]), [0], NAMES)
    assert sheet_of(thumbnails(report, images)).min() > 240


def test_the_rarest_receivers_and_their_donors_come_first(report, images):
    pictures = thumbnails(report, images, most=3)
    donors = report.result("transfer").donors
    wanted = dict.fromkeys([9, *donors.donors[9], 8, *donors.donors[8]])
    assert list(pictures.places) == list(wanted)[:3]


def test_classes_without_an_image_are_left_out(report, images):
    pictures = thumbnails(report, images.subset([1]))
    assert [report.classes.names[c] for c in pictures.places] == [NAMES[1]]


def test_images_without_names_match_by_label(report, make_report, images):
    named = make_report()
    with pytest.raises(ValueError, match=r"none of its 4 class names has an image"):
        thumbnails(named, ImageSet(images.images, images.labels))


def test_the_same_images_give_the_same_picture(report, images):
    assert thumbnails(report, images) == thumbnails(report, images)
