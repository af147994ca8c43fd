"""Views of images: geometry, colours, and what they must never show."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from slimp_pipeline.images import augment as module
from slimp_pipeline.images.augment import ViewFormat, draw_maps, plain_views, sample_views
from slimp_pipeline.parameters import AugmentationParams

MEAN = torch.tensor([0.5, 0.4, 0.3])
STD = torch.tensor([0.2, 0.3, 0.4])
ZERO, ONE = torch.zeros(3), torch.ones(3)
STILL = AugmentationParams(
    min_crop_share=1.0, max_rotation_degrees=0, flip=False, brightness=0, contrast=0, saturation=0, hue_degrees=0
)


def images(batch: int, side: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, generator=generator)


def on_canvas(image_B3SS: Tensor, canvas_px: int, empty: int = 0) -> tuple[Tensor, Tensor]:
    batch, _, side, _ = image_B3SS.shape
    canvas = torch.full((batch, 3, canvas_px, canvas_px), empty, dtype=torch.uint8)
    canvas[..., :side, :side] = image_B3SS
    return canvas, torch.full((batch,), side)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augment(
    canvas: Tensor,
    side: Tensor,
    image_size: int,
    how: AugmentationParams,
    source: torch.Generator,
    mean: Tensor,
    std: Tensor,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    maps = draw_maps(len(canvas), how, source)
    return sample_views(canvas, side, maps, ViewFormat(image_size, mean, std, dtype))


def plain_view(
    canvas: Tensor, side: Tensor, image_size: int, mean: Tensor, std: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    return plain_views(canvas, side, ViewFormat(image_size, mean, std, dtype))


def still(**changes: object) -> AugmentationParams:
    return STILL.model_copy(update=changes)


def test_the_plain_view_of_an_image_of_the_views_size_is_its_pixels_normalised() -> None:
    image = images(2, 16)
    canvas, side = on_canvas(image, 20, empty=255)
    view = plain_view(canvas, side, 16, MEAN, STD)
    wanted = (image.float() / 255 - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)
    torch.testing.assert_close(view, wanted, atol=1e-4, rtol=0)
    assert (view.dtype, view.shape) == (torch.float32, (2, 3, 16, 16))


def test_the_plain_view_interpolates_between_pixel_centres() -> None:
    image = torch.tensor([0, 100], dtype=torch.uint8).expand(1, 3, 2, 2).contiguous()
    view = plain_view(*on_canvas(image, 5), 4, ZERO, ONE)
    # Centres of four view pixels lie at -0.25, 0.25, 0.75, 1.25 of the two image pixels 0 and 1.
    torch.testing.assert_close(view[0, 0, 0] * 255, torch.tensor([0.0, 25.0, 75.0, 100.0]), atol=1e-3, rtol=0)


def test_settings_that_change_nothing_give_the_plain_view() -> None:
    canvas, side = on_canvas(images(3, 13), 20)
    views = augment(canvas, side, 16, STILL, generator(), MEAN, STD)
    torch.testing.assert_close(views, plain_view(canvas, side, 16, MEAN, STD), atol=1e-5, rtol=0)


def test_the_same_state_of_the_generator_gives_the_same_views_and_the_next_differ() -> None:
    canvas, side = on_canvas(images(3, 16), 20)
    source = generator(7)
    first, second = (augment(canvas, side, 16, AugmentationParams(), source, MEAN, STD) for _ in range(2))
    assert torch.equal(first, augment(canvas, side, 16, AugmentationParams(), generator(7), MEAN, STD))
    assert not torch.allclose(first, second)
    assert not torch.allclose(first[0], augment(canvas[:1], side[:1], 16, AugmentationParams(), source, MEAN, STD)[0])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    side=st.integers(1, 20),
    value=st.integers(0, 255),
    crop=st.floats(0.01, 1.0),
    empty=st.sampled_from([0, 255]),
)
def test_a_view_never_shows_the_empty_canvas(seed: int, side: int, value: int, crop: float, empty: int) -> None:
    constant = torch.full((4, 3, side, side), value, dtype=torch.uint8)
    canvas, side_px = on_canvas(constant, 20, empty)
    views = augment(
        canvas, side_px, 16, still(min_crop_share=crop, max_rotation_degrees=180, flip=True), generator(seed), ZERO, ONE
    )
    torch.testing.assert_close(views, torch.full_like(views, value / 255), atol=1e-5, rtol=0)


def test_images_of_different_sides_on_one_canvas_each_keep_to_their_own() -> None:
    canvas = torch.zeros(2, 3, 20, 20, dtype=torch.uint8)
    canvas[0, :, :5, :5], canvas[1, :, :20, :20] = 50, 200
    settings_ = still(min_crop_share=0.2, max_rotation_degrees=180)
    views = augment(canvas, torch.tensor([5, 20]), 16, settings_, generator(), ZERO, ONE) * 255
    torch.testing.assert_close(views[0], torch.full((3, 16, 16), 50.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(views[1], torch.full((3, 16, 16), 200.0), atol=1e-3, rtol=0)


def test_a_flip_mirrors_about_half_of_the_images_left_to_right() -> None:
    image = images(1, 16).expand(200, 3, 16, 16).contiguous()
    canvas, side = on_canvas(image, 20)
    views = augment(canvas, side, 16, still(flip=True), generator(), ZERO, ONE) * 255
    same = (views - image).abs().amax(dim=(1, 2, 3)) < 0.01
    mirrored = (views - image.flip(3)).abs().amax(dim=(1, 2, 3)) < 0.01
    assert torch.all(same ^ mirrored)
    assert 70 < int(mirrored.sum()) < 130


def test_a_crop_lies_within_the_image_and_has_at_least_the_least_area() -> None:
    side = 64
    ramp = torch.arange(side, dtype=torch.uint8).expand(500, 3, side, side).contiguous()
    ramp[:, 1] = ramp[:, 0].transpose(1, 2)
    views = augment(*on_canvas(ramp, 80), 32, still(min_crop_share=0.25), generator(), ZERO, ONE) * 255
    width = (views[:, 0, 0, -1] - views[:, 0, 0, 0]) * 32 / 31 / side  # of the image, seen in the view
    height = (views[:, 1, -1, 0] - views[:, 1, 0, 0]) * 32 / 31 / side
    torch.testing.assert_close(width, height, atol=0.02, rtol=0)
    area = width * height
    assert 0.24 < float(area.min()) < 0.3
    assert 0.9 < float(area.max()) < 1.02
    assert abs(float(area.mean()) - 0.625) < 0.05  # uniform between 0.25 and 1


def test_a_rotation_keeps_the_centre_and_turns_by_at_most_the_set_angle() -> None:
    side, limit = 64, 30.0
    ramp = torch.arange(side, dtype=torch.uint8).mul(2).expand(300, 3, side, side).contiguous()
    views = augment(*on_canvas(ramp, 80), 64, still(max_rotation_degrees=limit), generator(), ZERO, ONE) * 255
    middle = views[:, 0, 28:36, 28:36]
    torch.testing.assert_close(middle.mean(dim=(1, 2)), torch.full((300,), 63.0), atol=0.05, rtol=0)
    right = (middle[:, :, 1:] - middle[:, :, :-1]).mean(dim=(1, 2))
    down = (middle[:, 1:] - middle[:, :-1]).mean(dim=(1, 2))
    angle = torch.rad2deg(torch.atan2(-down, right))
    torch.testing.assert_close(right**2 + down**2, torch.full((300,), 4.0), atol=0.05, rtol=0)
    assert float(angle.abs().max()) <= limit + 0.1
    assert float(angle.min()) < -25
    assert float(angle.max()) > 25


@pytest.mark.parametrize(
    "strength", [{"hue_degrees": 90.0}, {"saturation": 0.9}, {"hue_degrees": 40.0, "saturation": 0.5}]
)
def test_hue_and_saturation_leave_grey_grey(strength: dict[str, float]) -> None:
    grey = images(5, 16)[:, :1].expand(5, 3, 16, 16).contiguous()
    canvas, side = on_canvas(grey, 20)
    views = augment(canvas, side, 16, still(**strength), generator(), ZERO, ONE)
    torch.testing.assert_close(views, grey / 255, atol=1e-5, rtol=0)


def test_hue_turns_colours_and_keeps_their_mean_and_length() -> None:
    image = images(4, 16)
    canvas, side = on_canvas(image, 20)
    views = augment(canvas, side, 16, still(hue_degrees=90.0), generator(), ZERO, ONE)
    assert not torch.allclose(views, image / 255, atol=0.05)
    torch.testing.assert_close(views.mean(dim=1), (image / 255).mean(dim=1), atol=1e-5, rtol=0)
    torch.testing.assert_close(views.norm(dim=1), (image / 255).norm(dim=1), atol=1e-5, rtol=0)


def test_the_strongest_saturation_may_reach_grey_of_the_same_luma() -> None:
    image = images(50, 4)
    canvas, side = on_canvas(image, 20)
    views = augment(canvas, side, 4, still(saturation=1.0), generator(), ZERO, ONE)
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    torch.testing.assert_close((views * luma).sum(1), (image / 255 * luma).sum(1), atol=1e-5, rtol=0)


def rotate_hue_slowly(rgb: list[float], angle: float) -> list[float]:
    """Turn one colour about the grey axis: its part across the axis, and that part's perpendicular."""
    red, green, blue = rgb
    mean = (red + green + blue) / 3
    across = [value - mean for value in rgb]
    perpendicular = [(blue - green) / math.sqrt(3), (red - blue) / math.sqrt(3), (green - red) / math.sqrt(3)]
    return [mean + a * math.cos(angle) + p * math.sin(angle) for a, p in zip(across, perpendicular, strict=True)]


def test_the_colour_map_equals_a_slow_computation_pixel_by_pixel() -> None:
    strengths = {"brightness": 0.3, "contrast": 0.4, "saturation": 0.5, "hue_degrees": 30.0}
    image = images(3, 4)
    canvas, side = on_canvas(image, 5)
    views = augment(canvas, side, 4, still(**strengths), generator(3), MEAN, STD)

    source = generator(3)
    for _ in range(4):  # crop, two shifts, angle are drawn first; no flip
        torch.rand(3, generator=source)
    draws = [(2 * torch.rand(3, generator=source) - 1).tolist() for _ in range(4)]
    for row in range(3):
        saturation, hue, contrast, brightness = (draw[row] for draw in draws)
        for y in range(4):
            for x in range(4):
                rgb = [float(value) / 255 for value in image[row, :, y, x]]
                luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
                rgb = [luma + (1 + 0.5 * saturation) * (value - luma) for value in rgb]
                rgb = rotate_hue_slowly(rgb, math.radians(30.0) * hue)
                rgb = [value * (1 + 0.3 * brightness) for value in rgb]
                rgb = [0.5 + (1 + 0.4 * contrast) * (value - 0.5) for value in rgb]
                wanted = [(value - m) / s for value, m, s in zip(rgb, MEAN.tolist(), STD.tolist(), strict=True)]
                torch.testing.assert_close(views[row, :, y, x], torch.tensor(wanted), atol=1e-4, rtol=0)


def sample_slowly(image_3SS: Tensor, x: float, y: float) -> list[float]:
    """Interpolate between four pixels at a point in pixels from the image's corner; beyond it lies its mirror image."""
    side = image_3SS.shape[-1]

    def pixel(row: int, column: int) -> Tensor:
        row, column = (
            place if place < side else 2 * side - 1 - place for place in (row % (2 * side), column % (2 * side))
        )
        return image_3SS[:, row, column].double()

    left, top = math.floor(x - 0.5), math.floor(y - 0.5)
    right_share, lower_share = x - 0.5 - left, y - 0.5 - top
    above = pixel(top, left) * (1 - right_share) + pixel(top, left + 1) * right_share
    below = pixel(top + 1, left) * (1 - right_share) + pixel(top + 1, left + 1) * right_share
    return (above * (1 - lower_share) + below * lower_share).tolist()


@settings(max_examples=25, deadline=None)
@given(
    sides=st.lists(st.integers(1, 24), min_size=1, max_size=4),
    empty_px=st.integers(0, 5),
    image_size=st.integers(1, 20),
    crop=st.floats(0.05, 1.0),
    degrees=st.floats(0, 180),
    seed=st.integers(0, 10_000),
)
def test_sampling_equals_a_slow_computation_pixel_by_pixel(
    sides: list[int], empty_px: int, image_size: int, crop: float, degrees: float, seed: int
) -> None:
    canvas_px = max(sides) + empty_px
    pixels = images(len(sides), canvas_px, seed)  # also outside an image, where none may be seen
    how = still(min_crop_share=crop, max_rotation_degrees=degrees, flip=True)
    views = augment(pixels, torch.tensor(sides), image_size, how, generator(seed), ZERO, ONE) * 255
    thetas = draw_maps(len(sides), how, generator(seed)).theta_B23.tolist()
    for row, (side, ((xx, xy, x0), (yx, yy, y0))) in enumerate(zip(sides, thetas, strict=True)):
        place = seed % image_size**2
        down, across = ((2 * step + 1) / image_size - 1 for step in divmod(place, image_size))
        x, y = (xx * across + xy * down + x0 + 1) * side / 2, (yx * across + yy * down + y0 + 1) * side / 2
        seen = views[row].flatten(1)[:, place]
        torch.testing.assert_close(
            seen, torch.tensor(sample_slowly(pixels[row, :, :side, :side], x, y)), atol=0.02, rtol=0
        )


def test_views_of_half_precision_are_those_of_float32_rounded_once() -> None:
    canvas, side = on_canvas(images(3, 16), 20)
    settings_ = AugmentationParams()
    views = augment(canvas, side, 16, settings_, generator(), MEAN, STD, torch.bfloat16)
    assert torch.equal(views, augment(canvas, side, 16, settings_, generator(), MEAN, STD).bfloat16())
    plain = plain_view(canvas, side, 16, MEAN, STD, torch.bfloat16)
    assert torch.equal(plain, plain_view(canvas, side, 16, MEAN, STD).bfloat16())


@pytest.mark.parametrize("images_per_piece", [1, 3, 100])
def test_views_dont_depend_on_the_pieces_they_are_computed_in(
    monkeypatch: pytest.MonkeyPatch, images_per_piece: int
) -> None:
    canvas, side = on_canvas(images(7, 16), 20)
    whole = augment(canvas, side, 24, AugmentationParams(), generator(), MEAN, STD)
    monkeypatch.setattr(module, "_PIECE_PX", {"cpu": max(1, images_per_piece * 24**2 // torch.get_num_threads())})
    assert torch.equal(whole, augment(canvas, side, 24, AugmentationParams(), generator(), MEAN, STD))


@pytest.mark.parametrize("own", [slice(0, 2), slice(2, 7), slice(0, 7)])
def test_a_part_of_a_batch_gets_the_views_that_it_gets_in_the_whole(own: slice) -> None:
    canvas, side = on_canvas(images(7, 16), 20)
    maps, how = draw_maps(7, AugmentationParams(), generator()), ViewFormat(24, MEAN, STD)
    whole = sample_views(canvas, side, maps, how)
    assert torch.equal(sample_views(canvas[own], side[own], maps.part(own), how), whole[own])
