"""Augmentation of a whole batch in one pass: one affine map and one colour map per image."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from slimp_pipeline.parameters import AugmentationParams

_LUMA = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601
_PIECE_PX = {"cpu": 200_000, "cuda": 8_000_000}  # what fits a core's cache; what is little beside a batch's activations


@dataclass(frozen=True)
class ViewFormat:
    """Views as a network takes them.

    Attributes:
        image_size: H, their side in pixels.
        mean_3: Channel means of the network's normalisation, for values in [0, 1]; on the device of the canvases.
        std_3: Channel standard deviations, likewise.
        dtype: Their type; they are computed in float32 and rounded once.
    """

    image_size: int
    mean_3: Tensor
    std_3: Tensor
    dtype: torch.dtype = torch.float32


class Maps(NamedTuple):
    """What becomes of each of B images.

    Crop, rotation and flip are one affine map, sampled bilinearly once; brightness, contrast, saturation and hue are
    one affine map of colours, which is taken together with the normalisation.

    Attributes:
        theta_B23: From coordinates of the view in [-1, 1] to those of the image in [-1, 1].
        matrix_B33: Colours in [0, 1] become matrix @ colour + offset.
        offset_B3: See there.
    """

    theta_B23: Tensor
    matrix_B33: Tensor
    offset_B3: Tensor

    def part(self, own: slice) -> "Maps":
        """Those of some images."""
        return Maps(*(values[own] for values in self))

    def to(self, device: torch.device) -> "Maps":
        """The same on a device."""
        return Maps(*(values.to(device) for values in self))


def draw_maps(batch: int, settings: AugmentationParams, generator: torch.Generator) -> Maps:
    """Draw a random view of each image of a batch.

    Args:
        batch: B.
        settings: How strong.
        generator: CPU generator; the same state gives the same views.
    """
    return Maps(_random_affine(batch, settings, generator), *_random_colour(batch, settings, generator))


def sample_views(canvas_B3SS: Tensor, side_px_B: Tensor, maps: Maps, view_format: ViewFormat) -> Tensor:
    """Sample and colour a view of each image, piece by piece; all on one device.

    Args:
        canvas_B3SS: uint8 images, each in the upper left corner of its canvas.
        side_px_B: Side of each image on its canvas, 1 <= side <= S.
        maps: What becomes of each image.
        view_format: Size, normalisation and type of the views.

    Returns:
        views_B3HH.
    """
    device, batch, image_size, dtype = canvas_B3SS.device, len(canvas_B3SS), view_format.image_size, view_format.dtype
    piece_px = _PIECE_PX["cuda"] if device.type != "cpu" else _PIECE_PX["cpu"] * torch.get_num_threads()
    step = max(1, piece_px // image_size**2)
    matrix_B33, offset_B31 = _normalised(maps, view_format)
    views_B3HH = torch.empty(batch, 3, image_size, image_size, dtype=dtype, device=device)
    for start in range(0, batch, step):
        piece = slice(start, start + step)
        pixels_B3P = _sample(canvas_B3SS[piece], side_px_B[piece], maps.theta_B23[piece], image_size).flatten(2)
        views_B3P = views_B3HH[piece].flatten(2)
        if dtype == torch.float32:
            torch.baddbmm(offset_B31[piece], matrix_B33[piece], pixels_B3P, out=views_B3P)
        else:
            views_B3P.copy_(torch.baddbmm(offset_B31[piece], matrix_B33[piece], pixels_B3P))
    return views_B3HH


def plain_views(canvas_B3SS: Tensor, side_px_B: Tensor, view_format: ViewFormat) -> Tensor:
    """Return the whole images, resized and normalised: what evaluation sees; shapes as in `sample_views`."""
    device, batch = canvas_B3SS.device, len(canvas_B3SS)
    unchanged = Maps(
        torch.eye(2, 3, device=device).expand(batch, 2, 3),
        torch.eye(3, device=device).expand(batch, 3, 3),
        torch.zeros(batch, 3, device=device),
    )
    return sample_views(canvas_B3SS, side_px_B, unchanged, view_format)


def _sample(canvas_B3SS: Tensor, side_px_B: Tensor, theta_B23: Tensor, image_size: int) -> Tensor:
    """Sample views; `theta` maps view coordinates in [-1, 1] to image coordinates in [-1, 1].

    Coordinates reflect at the image's edge, since beyond it lies the empty canvas, not skin. No view reaches
    further out than an image's width, so each is reflected once at most.
    """
    share_B1 = (side_px_B / canvas_B3SS.shape[-1]).unsqueeze(1)  # of the canvas's width
    centre_H = (2 * torch.arange(image_size, device=canvas_B3SS.device) + 1) / image_size - 1
    # Points are complex numbers, x + iy: one sum then writes both coordinates. From here on [-1, 1] is the canvas.
    across_B1, down_B1, middle_B1 = (torch.complex(*(share_B1 * theta_B23[:, :, i]).split(1, dim=1)) for i in range(3))
    middle_B1 = middle_B1 + torch.complex(share_B1 - 1, share_B1 - 1)
    rows_BH1, columns_B1H = (down_B1 * centre_H + middle_B1).unsqueeze(2), (across_B1 * centre_H).unsqueeze(1)
    grid_BHH2 = torch.view_as_real(rows_BH1 + columns_B1H)
    far_edge_B111 = (2 * share_B1 - 1).view(-1, 1, 1, 1)
    within_BHH2 = torch.minimum(grid_BHH2, far_edge_B111).clamp_(min=-1)
    torch.lerp(grid_BHH2, within_BHH2, 2.0, out=grid_BHH2)  # twice as far as the edge: reflected
    # Half a pixel inside the edge is the last pixel's centre; at the near edge "border" sees to that.
    torch.minimum(grid_BHH2, far_edge_B111 - 1 / canvas_B3SS.shape[-1], out=grid_BHH2)
    return F.grid_sample(canvas_B3SS.float(), grid_BHH2, mode="bilinear", padding_mode="border", align_corners=False)


def _random_affine(batch: int, settings: AugmentationParams, generator: torch.Generator) -> Tensor:
    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(batch, generator=generator) * (high - low) + low

    side = uniform(settings.min_crop_share, 1.0).sqrt()
    slack = 1 - side
    shift_x, shift_y = slack * uniform(-1, 1), slack * uniform(-1, 1)
    angle = uniform(-1, 1) * math.radians(settings.max_rotation_degrees)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0) if settings.flip else torch.ones(batch)
    cos, sin = angle.cos() * side, angle.sin() * side
    rows = [cos * flip, -sin, shift_x, sin * flip, cos, shift_y]
    return torch.stack(rows, dim=1).view(batch, 2, 3)


def _random_colour(batch: int, settings: AugmentationParams, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Colours in [0, 1] become matrix @ colour + offset."""

    def factor(strength: float) -> Tensor:
        return 1 + strength * (2 * torch.rand(batch, generator=generator) - 1)

    grey_33 = _LUMA.expand(3, 3)
    eye_33 = torch.eye(3)
    saturation_B11 = factor(settings.saturation).view(-1, 1, 1)
    hue_B = math.radians(settings.hue_degrees) * (2 * torch.rand(batch, generator=generator) - 1)
    matrix_B33 = _hue_rotation(hue_B) @ (saturation_B11 * eye_33 + (1 - saturation_B11) * grey_33)
    contrast_B1 = factor(settings.contrast).view(-1, 1)
    gain_B11 = (contrast_B1 * factor(settings.brightness).view(-1, 1)).unsqueeze(-1)
    return gain_B11 * matrix_B33, (0.5 * (1 - contrast_B1)).expand(batch, 3)


def _hue_rotation(angle_B: Tensor) -> Tensor:
    """Rotation about the grey axis (1, 1, 1), by Rodrigues' formula."""
    axis = 1 / math.sqrt(3)
    cross_33 = torch.tensor([[0.0, -axis, axis], [axis, 0.0, -axis], [-axis, axis, 0.0]])
    outer_33 = torch.full((3, 3), 1 / 3)
    cos, sin = angle_B.cos().view(-1, 1, 1), angle_B.sin().view(-1, 1, 1)
    return cos * torch.eye(3) + sin * cross_33 + (1 - cos) * outer_33


def _normalised(maps: Maps, view_format: ViewFormat) -> tuple[Tensor, Tensor]:
    """Colour map and normalisation as one map of values 0..255: matrix (B, 3, 3), offset (B, 3, 1)."""
    scale_31 = (1 / view_format.std_3).view(3, 1)
    offset_B31 = maps.offset_B3.unsqueeze(-1) - view_format.mean_3.view(3, 1)
    return maps.matrix_B33 * scale_31 / 255, offset_B31 * scale_31
