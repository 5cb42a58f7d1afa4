import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from headtail.datasets import ImageFiles, read_image
from headtail.datasets.image_files import IMAGE_SUFFIXES, rgb

NOISE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
WHITE = 255


@pytest.fixture
def kept(tmp_path):
    """Return what `read_image` gives for an image after it was saved."""

    def keep(image, name, **options):
        image.save(tmp_path / name, **options)
        return read_image(tmp_path / name)

    return keep


def png(width, height, bits, kind, rows, *chunks):
    """Return a PNG file, made by hand: rows of bytes without filter."""

    def chunk(name, content):
        total = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + total.to_bytes(4)

    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    parts = [(b"IHDR", head), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tif", "tiff"])
def test_pixels_are_those_that_were_saved(suffix, kept):
    image = kept(Image.fromarray(NOISE), f"a.{suffix}")
    np.testing.assert_array_equal(image, NOISE)
    assert image.dtype == np.uint8
    assert image.flags.writeable


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp", "gif"])
def test_lossy_formats_come_close(suffix, kept):
    smooth = np.add.outer(np.arange(40) * 3, np.arange(30) * 4).clip(0, 255)
    smooth = np.repeat(smooth[..., None].astype(np.uint8), 3, axis=2)
    image = kept(Image.fromarray(smooth), f"a.{suffix}")
    assert np.abs(image.astype(int) - smooth).mean() < 3


def test_every_suffix_is_one_that_pillow_reads():
    assert set(Image.registered_extensions()) >= IMAGE_SUFFIXES


def test_grey_is_repeated_in_all_channels(kept):
    image = kept(Image.fromarray(NOISE[..., 0]), "a.png")
    np.testing.assert_array_equal(image, NOISE[..., :1].repeat(3, axis=2))


def test_one_bit_is_black_and_white(kept):
    image = kept(Image.fromarray(NOISE[..., 0] > 99), "a.png")
    np.testing.assert_array_equal(image[..., 2], 255 * (NOISE[..., 0] > 99))


LEVELS = np.array([[0, 0x00FF, 0x0100], [0x7FFF, 0x8000, 0xFFFF]], np.uint16)


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_16_bits_are_cut_to_the_upper_8(suffix, kept, tmp_path):
    if suffix == "pgm":
        content = b"P5 3 2 65535\n" + LEVELS.astype(">u2").tobytes()
        (tmp_path / "a.pgm").write_bytes(content)
        image = read_image(tmp_path / "a.pgm")
    else:
        image = kept(Image.fromarray(LEVELS), f"a.{suffix}")
    assert image[..., 0].tolist() == [[0, 0, 1], [127, 128, 255]]
    assert (image == image[..., :1]).all()


def test_16_bits_of_colour_are_cut_to_the_upper_8(tmp_path):
    row = np.array([[0x8000, 0x00FF, 0xFFFF], [0x0100, 0x7FFF, 0]], ">u2").tobytes()
    (tmp_path / "a.png").write_bytes(png(2, 1, 16, 2, [row]))
    assert read_image(tmp_path / "a.png").tolist() == [[[128, 0, 255], [1, 127, 0]]]


def test_cmyk_is_converted(kept):
    inks = np.array([[[255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255]]], np.uint8)
    image = Image.frombytes("CMYK", (3, 1), inks.tobytes())
    expected = [[[0, 255, 255], [255, 0, 0], [0, 0, 0]]]
    assert kept(image, "a.tiff").tolist() == expected
    large = kept(image.resize((48, 16), Image.Resampling.NEAREST), "a.jpg", quality=95)
    near = np.abs(large[8, [8, 24, 40]].astype(int) - expected[0])
    assert near.max() < 20


def on_white(colour, alpha):
    """Mix a colour with white in floating-point numbers."""
    return np.asarray(colour) * alpha / 255 + WHITE * (1 - alpha / 255)


@pytest.mark.parametrize("alpha", [0, 1, 64, 128, 254, 255])
def test_what_is_transparent_lies_on_white(alpha, kept):
    image = kept(Image.new("RGBA", (2, 2), (10, 200, 30, alpha)), "a.png")
    np.testing.assert_allclose(image[0, 0], on_white((10, 200, 30), alpha), atol=1)
    image = kept(Image.new("LA", (2, 2), (40, alpha)), "b.png")
    np.testing.assert_allclose(image[1, 1], on_white((40, 40, 40), alpha), atol=1)


def test_transparent_palettes_and_colours_lie_on_white(kept, tmp_path):
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    palette.putpalette([9, 9, 9, 20, 30, 40, 50, 60, 70])
    image = kept(palette, "a.png", transparency=bytes([0, 255, 255]))
    assert image.tolist() == [[[255] * 3, [20, 30, 40], [50, 60, 70]]]
    image = kept(palette, "b.gif", transparency=2)
    assert image.tolist() == [[[9] * 3, [20, 30, 40], [255] * 3]]
    clear = (b"tRNS", struct.pack(">HHH", 1, 2, 3))
    (tmp_path / "c.png").write_bytes(png(2, 1, 8, 2, [[1, 2, 3, 1, 2, 4]], clear))
    assert read_image(tmp_path / "c.png").tolist() == [[[255] * 3, [1, 2, 4]]]
    clear = (b"tRNS", struct.pack(">H", 7))
    (tmp_path / "d.png").write_bytes(png(2, 1, 8, 0, [[7, 8]], clear))
    assert read_image(tmp_path / "d.png").tolist() == [[[255] * 3, [8] * 3]]


def test_of_an_animation_the_first_picture_is_read(kept):
    first, second = (Image.new("RGB", (4, 3), colour) for colour in ("red", "blue"))
    image = kept(first, "a.gif", save_all=True, append_images=[second])
    assert image.tolist() == [[[255, 0, 0]] * 4] * 3


def test_exif_turns_nothing(kept):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    assert kept(Image.fromarray(NOISE), "a.png", exif=exif).shape == NOISE.shape
    assert kept(Image.fromarray(NOISE), "a.jpg", exif=exif).shape == NOISE.shape


def test_damaged_exif_is_no_matter_and_no_warning(kept):
    exif = b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01\x03\0\xff\xff\0\0"
    assert kept(Image.fromarray(NOISE), "a.jpg", exif=exif).shape == NOISE.shape


def test_floating_point_numbers_are_refused(kept):
    with pytest.raises(ValueError, match=r"a\.tiff must be .*without known range"):
        kept(Image.fromarray(np.ones((2, 2), np.float32)), "a.tiff")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tiff", "bmp"])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.95])
def test_truncated_files_are_named(suffix, part, tmp_path):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(NOISE).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=rf"a\.{suffix} must be a whole image"):
        read_image(path)


def test_a_file_with_a_wrong_length_inside_is_named(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(NOISE).save(path)
    content = bytearray(path.read_bytes())
    # Pillow raises SyntaxError where the next part of the file should begin.
    content[content.index(b"IDAT") - 1] = 0
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png must be a whole .*broken PNG file"):
        read_image(path)


def test_files_that_are_something_else_are_named(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    with pytest.raises(ValueError, match=r"a\.jpg must .* \(cannot identify image"):
        read_image(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").mkdir()
    with pytest.raises(ValueError, match=r"b\.jpg must be a whole image"):
        read_image(tmp_path / "b.jpg")
    with pytest.raises(FileNotFoundError, match=r"c\.jpg does not exist; check the"):
        read_image(tmp_path / "c.jpg")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("limit", [1000, 500])
def test_far_too_many_pixels_are_refused(limit, kept, monkeypatch):
    """Pillow warns above its limit, and raises above twice that."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ValueError, match=r"a\.png must .*exceeds limit of \d+ pixels"):
        kept(Image.fromarray(NOISE), "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", NOISE.shape[0] * NOISE.shape[1])
    np.testing.assert_array_equal(kept(Image.fromarray(NOISE), "a.png"), NOISE)


def test_files_are_read_when_they_are_asked_for(tmp_path):
    files = ImageFiles([tmp_path / "a.png", str(tmp_path / "b.png")])
    assert files.paths == [f"{tmp_path}/a.png", f"{tmp_path}/b.png"]
    assert len(files) == 2
    Image.fromarray(NOISE).save(tmp_path / "b.png")
    np.testing.assert_array_equal(files[1], NOISE)
    np.testing.assert_array_equal(files[-1], NOISE)
    with pytest.raises(FileNotFoundError, match=r"a\.png does not exist"):
        files[0]


def test_rgb_leaves_the_image_as_it_was():
    image = Image.fromarray(LEVELS)
    assert rgb(image).shape == (2, 3, 3)
    assert image.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(image), LEVELS)
