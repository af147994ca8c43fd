"""Augmentation of a whole batch in one pass: one affine map and one colour map per image."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from slimp_pipeline.parameters import AugmentationParams

_LUMA = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601


def augment(
    canvas_B3SS: Tensor,
    side_px_B: Tensor,
    image_size: int,
    settings: AugmentationParams,
    generator: torch.Generator,
    mean_3: Tensor,
    std_3: Tensor,
) -> Tensor:
    """Draw one random view of each image, normalised for the network.

    Crop, rotation and flip are one affine map, sampled bilinearly once; brightness, contrast, saturation
    and hue are one affine map of colours, which also holds the normalisation.

    Args:
        canvas_B3SS: uint8 images, each in the upper left corner of its canvas.
        side_px_B: Side of each image on its canvas, 1 <= side <= S.
        image_size: Side of the views in pixels.
        settings: How strong.
        generator: CPU generator; the same state gives the same views on any device.
        mean_3: Channel means of the network's normalisation, for values in [0, 1].
        std_3: Channel standard deviations, likewise.

    Returns:
        views_B3HH: float32 on the device of `canvas_B3SS`, H = image_size.
    """
    batch, device = len(canvas_B3SS), canvas_B3SS.device
    theta_B23 = _random_affine(batch, settings, generator).to(device)
    views_B3HH = _sample(canvas_B3SS, side_px_B, theta_B23, image_size)
    matrix_B33, offset_B3 = _random_colour(batch, settings, generator)
    return _apply_colour(views_B3HH, matrix_B33.to(device), offset_B3.to(device), mean_3, std_3)


def plain_view(canvas_B3SS: Tensor, side_px_B: Tensor, image_size: int, mean_3: Tensor, std_3: Tensor) -> Tensor:
    """Return the whole image, resized and normalised: what evaluation sees; shapes as in `augment`."""
    batch, device = len(canvas_B3SS), canvas_B3SS.device
    identity_B23 = torch.eye(2, 3, device=device).expand(batch, 2, 3)
    views_B3HH = _sample(canvas_B3SS, side_px_B, identity_B23, image_size)
    return _apply_colour(
        views_B3HH,
        torch.eye(3, device=device).expand(batch, 3, 3),
        torch.zeros(batch, 3, device=device),
        mean_3,
        std_3,
    )


def _sample(canvas_B3SS: Tensor, side_px_B: Tensor, theta_B23: Tensor, image_size: int) -> Tensor:
    """Sample views; `theta` maps view coordinates in [-1, 1] to image coordinates in [-1, 1]."""
    batch, canvas_px = len(canvas_B3SS), canvas_B3SS.shape[-1]
    grid_BHH2 = F.affine_grid(theta_B23, [batch, 3, image_size, image_size], align_corners=False)
    side_B111 = side_px_B.to(grid_BHH2.device, torch.float32).view(-1, 1, 1, 1)
    # Coordinates reflect at the image's edge, since beyond it lies the empty canvas, not skin.
    grid_BHH2 = 1 - ((grid_BHH2 + 1).remainder(4) - 2).abs()
    pixel_BHH2 = ((grid_BHH2 + 1) * side_B111 - 1) / 2
    pixel_BHH2 = torch.minimum(pixel_BHH2.clamp_min(0), side_B111 - 1)
    grid_BHH2 = (2 * pixel_BHH2 + 1) / canvas_px - 1
    return F.grid_sample(canvas_B3SS.float(), grid_BHH2, mode="bilinear", align_corners=False)


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


def _apply_colour(views_B3HH: Tensor, matrix_B33: Tensor, offset_B3: Tensor, mean_3: Tensor, std_3: Tensor) -> Tensor:
    """Colour map and normalisation as one batched matrix product over the pixels, range 0..255 in."""
    batch, _, height, width = views_B3HH.shape
    scale_31 = (1 / std_3).view(3, 1)
    matrix_B33 = matrix_B33 * scale_31 / 255
    offset_B31 = (offset_B3.unsqueeze(-1) - mean_3.view(3, 1)) * scale_31
    flat = torch.baddbmm(offset_B31, matrix_B33, views_B3HH.reshape(batch, 3, -1))
    return flat.view(batch, 3, height, width)
