import unicodedata

import numpy as np
import pytest
import torch

from headtail.datasets._glyph_rendering import (
    _BOUNDS,
    SIDE,
    STYLES,
    _coloured,
    _drawn,
    _inked,
    _mixed,
    _pixel_noise,
    _scratched,
    _warped,
    letter_fields,
    render_letters,
)
from headtail.datasets.glyphs import GLYPH_CLASSES

LETTERS = np.array(GLYPH_CLASSES)


@pytest.fixture(scope="module")
def fields():
    return np.stack([letter_fields(letter) for letter in GLYPH_CLASSES])


def test_every_font_has_every_letter():
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    code_points = {ord(letter) for letter in GLYPH_CLASSES}
    for style in STYLES:
        font = FT2Font(f"{get_data_path()}/fonts/ttf/{style}")
        assert code_points <= set(font.get_charmap()), style


def test_every_letter_is_written_whole_in_every_style(fields):
    ink = (fields > 128).sum((2, 3))
    assert ink.min() > 60
    edge = np.ones((64, 64), bool)
    edge[1:-1, 1:-1] = False
    assert fields[..., edge].max() < 128


def test_letters_stand_in_the_middle_and_have_no_sharp_edges(fields):
    for across in (2, 3):
        inked = (fields > 20).any(across)
        centre = (inked.argmax(2) + 63 - inked[:, :, ::-1].argmax(2)) / 2
        assert abs(centre - 31.5).max() <= 4
    # A step, smoothed twice over three points, rises by at most a third per point.
    assert abs(np.diff(fields.astype(int), axis=3)).max() <= 86


def test_no_two_letters_look_the_same_in_most_styles(fields):
    """Not even where one is moved over the other by up to a sixteenth of its side."""
    small = torch.from_numpy(fields).float() / 255
    small = torch.nn.functional.avg_pool2d(small, 4)  # [n_classes, n_styles, 16, 16]
    ink = small.sum((2, 3)).T
    nearest = torch.full((len(STYLES), len(LETTERS), len(LETTERS)), torch.inf)
    moved = torch.nn.functional.pad(small, (1, 1, 1, 1))
    for down in range(3):
        for right in range(3):
            other = moved[:, :, down : down + 16, right : right + 16]
            gap = torch.cdist(
                small.flatten(2).transpose(0, 1), other.flatten(2).transpose(0, 1)
            )
            nearest = nearest.minimum(gap**2 / (ink[:, :, None] + ink[:, None, :]))
    nearest[:, range(len(LETTERS)), range(len(LETTERS))] = torch.inf
    assert nearest.mean(0).min() > 0.01


def test_a_letter_of_two_scripts_would_be_found_out():
    """Latin and Cyrillic o: the same outline, which is why the list has only one."""
    latin, cyrillic = "o", unicodedata.lookup("CYRILLIC SMALL LETTER O")
    np.testing.assert_array_equal(letter_fields(latin), letter_fields(cyrillic))
    assert latin in GLYPH_CLASSES
    assert cyrillic not in GLYPH_CLASSES


def test_hashes_are_those_of_splitmix64():
    # The first words of java.util.SplittableRandom's algorithm from seed 0 on.
    gamma = 0x9E3779B97F4A7C15
    states = np.array([k * gamma % 2**64 for k in range(3)], np.uint64)
    assert [hex(word) for word in _mixed(states).tolist()] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


def test_a_picture_does_not_depend_on_those_beside_it():
    rng = np.random.default_rng(0)
    letters = rng.choice(LETTERS[:20], 1500)
    numbers = rng.integers(0, 1000, 1500)
    images = render_letters(letters, numbers, 3)
    some = rng.permutation(1500)[:37]
    np.testing.assert_array_equal(
        render_letters(letters[some], numbers[some], 3), images[some]
    )


def test_a_picture_does_not_depend_on_the_number_of_threads():
    letters, numbers = LETTERS[:50], np.arange(50)
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = render_letters(letters, numbers, 0)
        torch.set_num_threads(3)
        three = render_letters(letters, numbers, 0)
    finally:
        torch.set_num_threads(n_threads)
    np.testing.assert_array_equal(one, three)


def test_letter_number_and_seed_each_make_another_picture():
    images = np.concatenate(
        [
            render_letters(np.array(["a", "a", "b"]), np.array([0, 1, 0]), 0),
            render_letters(np.array(["a"]), np.array([0]), 1),
        ]
    )
    assert images.dtype == np.uint8
    assert images.shape == (4, SIDE, SIDE, 3)
    assert len(np.unique(images.reshape(4, -1), axis=0)) == 4


def test_no_letters_give_no_pictures():
    images = render_letters(LETTERS[:0], np.arange(0), 0)
    assert images.shape == (0, SIDE, SIDE, 3)


def at_rest(**changes):
    terms = ("bend_xx", "bend_xy", "bend_yx", "bend_yy")
    draw = dict.fromkeys(("turn", "slant", "right", "down", *terms), 0.0)
    draw |= {"width": 1.0, "height": 1.0} | changes
    return {name: torch.full((1, 1, 1), value) for name, value in draw.items()}


def test_at_rest_the_picture_is_the_field_at_half_its_size():
    field = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.avg_pool2d(field, 2)[:, 0]
    np.testing.assert_allclose(_warped(field, at_rest()), expected, atol=1e-5)


def test_a_quarter_turn_a_shift_and_a_stretch_do_what_they_say():
    field = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    still = _warped(field, at_rest())
    # The window moves to the right by two pixels, so the letter goes to the left.
    moved = _warped(field, at_rest(right=2 * 2 / SIDE))
    np.testing.assert_allclose(moved[..., :-2], still[..., 2:], atol=1e-4)
    spot = torch.zeros(1, 1, 64, 64)
    spot[..., 31:33, 48:50] = 1
    turned = _warped(spot, at_rest(turn=0.25))[0]
    down, right = divmod(int(turned.argmax()), SIDE)
    assert right == pytest.approx(24, abs=1)
    assert down == pytest.approx(15.5 + 0.25 * 8.5, abs=1)
    smaller = _warped(spot, at_rest(width=1.3))[0]
    assert int(smaller.argmax()) % SIDE == pytest.approx(15.5 + 8.5 / 1.3, abs=1)


@pytest.mark.parametrize(
    ("change", "row", "column"),
    [
        ({}, 24, 16),
        ({"slant": 0.25}, 24, 14),  # looked up further right: the spot goes left
        ({"turn": 0.25}, 24, 14),
        ({"bend_xy": 0.25}, 24, 15),
        ({"bend_yy": 0.25}, 23, 16),
        ({"down": 0.25}, 20, 16),
        ({"height": 1.3}, 22, 16),
    ],
)
def test_a_spot_below_the_middle_goes_where_the_change_says(change, row, column):
    spot = torch.zeros(1, 1, 64, 64)
    spot[..., 48:50, 32:34] = 1
    found = divmod(int(_warped(spot, at_rest(**change))[0].argmax()), SIDE)
    assert found == pytest.approx((row, column), abs=0.6)


def numbers(**values):
    return {name: torch.full((1, 1, 1), float(value)) for name, value in values.items()}


NO_SCRATCH = {
    "scratch_slope": 0,
    "scratch_place": 0,
    "scratch_flatness": 0,
    "scratch_width": -1,
}


def test_thinner_is_less_ink_and_blur_only_spreads_it():
    field = torch.tensor(letter_fields("m")[:1, ::2, ::2]).float() / 255

    def inked(thinness, blur):
        draw = numbers(thinness=thinness, sharpness=3, blur=blur, **NO_SCRATCH)
        return _inked(field, draw)

    assert inked(0.3, 0).sum() > inked(0.5, 0).sum() > inked(0.65, 0).sum() > 10
    sharp, soft = inked(0.5, 0), inked(0.5, 1)
    assert float(soft.sum()) == pytest.approx(float(sharp.sum()), rel=1e-4)
    assert soft.square().sum() < 0.9 * sharp.square().sum()


@pytest.mark.parametrize("upright", [False, True])
def test_a_scratch_goes_across_where_it_was_drawn(upright):
    draw = numbers(
        scratch_slope=0.5,
        scratch_place=0.25,
        scratch_flatness=not upright,
        scratch_width=0.05,
    )
    scratch = _scratched(draw)[0]
    if upright:
        scratch = scratch.T
    for column in range(SIDE):  # rise = 0.5 run + 0.25, from -1 to 1
        row = 0.5 * (column - 15.5) + 0.25 * 16 + 15.5
        assert scratch[:, column].argmax() == pytest.approx(row, abs=1)
    assert scratch.sum() < 3 * SIDE


@pytest.mark.parametrize(("paper", "written"), [(0.2, 0.6), (0.7, 0.3), (0.8, 0.4)])
def test_ink_stands_out_from_the_paper_by_the_contrast(paper, written):
    tints = {f"{what}_{channel}": 0 for what in ("paper", "ink") for channel in "rgb"}
    draw = numbers(paper=paper, contrast=0.4, shade_x=0, shade_y=0, noise=0, **tints)
    ink = torch.zeros(1, SIDE, SIDE)
    ink[0, 3] = 1
    image = _coloured(ink, torch.zeros(1, SIDE, SIDE, 3), draw)
    assert set(image[0, 3].flatten().tolist()) == {round(255 * written)}
    assert set(image[0, 4:].flatten().tolist()) == {round(255 * paper)}


def test_shade_rises_across_the_paper_and_noise_is_added():
    tints = {f"{what}_{channel}": 0 for what in ("paper", "ink") for channel in "rgb"}
    ink, noise = torch.zeros(1, SIDE, SIDE), torch.zeros(1, SIDE, SIDE, 3)
    noise[0, 5, 5, 2] = 0.5
    draw = numbers(
        paper=0.4, contrast=0.4, shade_x=0.1, shade_y=0.2, noise=0.8, **tints
    )
    image = _coloured(ink, noise, draw)[0].int()
    near, far = image[0, 0, 0], image[-1, -1, 0]
    assert far - near == pytest.approx(255 * 2 * (0.1 + 0.2) * 31 / 32, abs=1)
    assert image[0, -1, 0] - near == pytest.approx(255 * 2 * 0.1 * 31 / 32, abs=1)
    assert image[5, 5, 2] - image[5, 5, 1] == pytest.approx(255 * 0.8 * 0.5, abs=1)


def test_what_is_drawn_fills_its_bounds_evenly():
    keys = np.arange(4000, dtype=np.uint64)
    for name, values in _drawn(keys).items():
        low, high = _BOUNDS[name]
        assert values.shape == (4000, 1, 1)
        assert low <= values.min()
        assert values.max() < high
        middle, width = (low + high) / 2, high - low
        # Five standard errors of a mean of 4,000 uniform numbers.
        assert abs(values.mean() - middle) < 5 * width / (12 * 4000) ** 0.5
    noise = _pixel_noise(keys[:20])
    assert (noise.min(), noise.max()) == (-0.5, 0.5)
    assert abs(noise.mean()) < 5 / (12 * noise.numel()) ** 0.5
