"""Bank of skin textures from which pictures take random parts; made once, the same on each run."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

Plane = NDArray[np.float32]

TILE_SIDE_PX = 640
TILE_PX_PER_MM = 20.0
_BANK_SEED = 20240


@lru_cache(maxsize=1)
def texture_bank() -> dict[str, Plane]:
    """Tiles of shape (640, 640), float32, at 20 pixels per mm.

    `clouds`, `grain`, `lines` and `wrinkles` have mean 0 and standard deviation 1; `network` (1 on the
    lines of a pigment network), `cobble` (1 at the top of a bump) and `dots` (1 in a globule) lie in 0 to
    1.
    """
    rng = np.random.default_rng(_BANK_SEED)
    side = TILE_SIDE_PX
    noise = rng.normal(size=(side, side)).astype(np.float32)
    grain = _standardised(gaussian_filter(noise, 1.0) + 0.4 * gaussian_filter(noise, 2.5) * 3)
    clouds = sum(
        (_standardised(gaussian_filter(rng.normal(size=(side, side)), sd, mode="wrap")) * share)
        for sd, share in ((48, 1.0), (22, 0.8), (10, 0.55), (4, 0.3))
    )
    network_gap, network_dome = _cells(rng, spacing_px=8.0, aspect=1.0)
    lines_gap, _ = _cells(rng, spacing_px=13.0, aspect=1.7)
    _, cobble = _cells(rng, spacing_px=15.0, aspect=1.0)
    lines = -np.exp(-((lines_gap / 2.2) ** 2)) + 0.35 * grain
    streaks = gaussian_filter(noise, (1.6, 16.0)) * 12 + gaussian_filter(noise, (3.0, 30.0)) * 20
    dots = np.clip(1.5 * network_dome - 0.6, 0, 1) * (gaussian_filter(noise, 9) > 0.004)
    return {
        "clouds": _standardised(np.asarray(clouds)),
        "grain": grain,
        "lines": _standardised(gaussian_filter(lines, 0.8)),
        "wrinkles": _standardised(-np.abs(_standardised(streaks))),
        "network": gaussian_filter(np.exp(-((network_gap / 2.4) ** 2)), 0.8).astype(np.float32),
        "cobble": gaussian_filter(cobble, 1.2).astype(np.float32),
        "dots": gaussian_filter(dots, 1.0).astype(np.float32),
    }


def sample_texture(
    rng: np.random.Generator,
    name: str,
    side_px: int,
    px_per_mm: float,
    *,
    fineness: float = 1.0,
    stretch: float = 1.0,
) -> Plane:
    """A random part of a tile, turned by any angle and scaled to the picture.

    Args:
        rng: Source of randomness.
        name: A key of `texture_bank`.
        side_px: Side of the square picture.
        px_per_mm: Scale of the picture.
        fineness: Above 1 shrinks the pattern, below 1 enlarges it.
        stretch: Below 1, to 0.5, lengthens the pattern along one axis.

    Returns:
        Float32, shape (side_px, side_px).
    """
    reach = side_px / px_per_mm * TILE_PX_PER_MM * fineness
    angle = rng.uniform(0, 2 * np.pi)
    cosine, sine = np.cos(angle), np.sin(angle)
    extent = reach * (abs(cosine) + abs(sine))
    shrink = min(1.0, (TILE_SIDE_PX - 2) / extent)
    step = reach * shrink / side_px
    centre = TILE_SIDE_PX / 2 + rng.uniform(-0.5, 0.5, size=2) * (TILE_SIDE_PX - 2 - extent * shrink)
    # Nearest tile pixel, by hand: pictures are averaged down afterwards, and this is four times as fast as
    # PIL.
    ticks = ((np.arange(side_px) - (side_px - 1) / 2) * step).astype(np.float32)
    column_right, column_down = ticks * np.float32(cosine * stretch), ticks * np.float32(sine)
    row_right, row_down = ticks * np.float32(-sine * stretch), ticks * np.float32(cosine)
    columns = (column_right + np.float32(centre[0]))[None, :] + column_down[:, None]
    rows = (row_right + np.float32(centre[1]))[None, :] + row_down[:, None]
    flat = rows.astype(np.int32) * np.int32(TILE_SIDE_PX) + columns.astype(np.int32)
    sample: Plane = texture_bank()[name].ravel().take(flat, mode="clip")  # none lies outside, and so none is checked
    return sample


def _cells(rng: np.random.Generator, spacing_px: float, aspect: float) -> tuple[Plane, Plane]:
    """Distance to the nearest cell wall in pixels, and a dome per cell (0 to 1), of a random honeycomb."""
    side = TILE_SIDE_PX
    step_y, step_x = spacing_px, spacing_px * aspect
    rows, columns = np.mgrid[-1 : side / step_y + 1, -1 : side / step_x + 1]
    jitter = rng.uniform(-0.42, 0.42, size=(2, *rows.shape))
    points = np.column_stack([(rows + jitter[0]).ravel(), ((columns + 0.5 * (rows % 2)) + jitter[1]).ravel()])
    pixel_rows, pixel_columns = np.mgrid[0:side, 0:side]
    wobble = gaussian_filter(rng.normal(size=(side, side)), 4) * 12
    rows_in_cells, columns_in_cells = (pixel_rows + wobble) / step_y, (pixel_columns - wobble) / step_x
    pixels = np.column_stack([rows_in_cells.ravel(), columns_in_cells.ravel()])
    distance = cKDTree(points).query(pixels, k=2)[0].reshape(side, side, 2)
    gap = (distance[..., 1] - distance[..., 0]) * spacing_px
    dome = 1.0 - np.clip(distance[..., 0] / 0.75, 0, 1) ** 2
    return gap.astype(np.float32), dome.astype(np.float32)


def _standardised(plane: NDArray[np.floating]) -> Plane:
    return np.asarray((plane - plane.mean()) / plane.std(), dtype=np.float32)
