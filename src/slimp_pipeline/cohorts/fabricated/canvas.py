"""What a picture is painted on: planes of pigment and light at twice the final resolution."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from slimp_pipeline.cohorts.fabricated.textures import Plane, sample_texture
from slimp_pipeline.cohorts.fabricated.traits import LesionTraits, PatientTraits

SUPERSAMPLING = 2


@dataclass(frozen=True)
class Shot:
    """How a picture is taken.

    Attributes:
        side_px: Side of the square picture.
        field_of_view_mm: What the side spans on the skin.
        centre_offset: Where the lesion's centre lies from the picture's, (down, right) as shares of the side.
        exposure: Natural logarithm of the light gain.
        cast: Logarithmic gain of red, green, blue.
        light_gradient: Change of log light across the picture.
        light_angle: Direction the light comes from, radians.
        vignette: Loss of log light in the corners.
        blur_px: Standard deviation of the defocus.
        noise: Standard deviation of sensor noise, of 1.
        gloss: Strength of mirror reflections; 0 under crossed polarisers.
        ink_ring: Whether somebody has drawn round the lesion with a pen.
        body_edge: Whether the body ends inside the picture, with background behind.
    """

    side_px: int
    field_of_view_mm: float
    centre_offset: tuple[float, float] = (0.0, 0.0)
    exposure: float = 0.0
    cast: tuple[float, float, float] = (0.0, 0.0, 0.0)
    light_gradient: float = 0.1
    light_angle: float = 0.0
    vignette: float = 0.1
    blur_px: float = 0.5
    noise: float = 0.008
    gloss: float = 0.0
    ink_ring: bool = False
    body_edge: bool = False


@dataclass
class Canvas:
    """Planes at twice the final resolution, each float32, shape (side, side).

    `y_mm`, `x_mm` are measured from the lesion's centre; `melanin` and `blood` are densities, `light` is a
    log gain, `gloss` is light added; `covers` are opaque layers, each a share and a linear RGB colour.
    """

    rng: np.random.Generator
    side: int
    px_per_mm: float
    y_mm: Plane
    x_mm: Plane
    melanin: Plane
    blood: Plane
    light: Plane
    gloss: Plane
    covers: list[tuple[Plane, tuple[float, float, float]]] = field(default_factory=list)

    def texture(self, name: str, fineness: float = 1.0, stretch: float = 1.0) -> Plane:
        """A random part of a texture at this canvas's scale; see `sample_texture`."""
        return sample_texture(self.rng, name, self.side, self.px_per_mm, fineness=fineness, stretch=stretch)


def blank_canvas(rng: np.random.Generator, patient: PatientTraits, lesion: LesionTraits, shot: Shot) -> Canvas:
    """Bare skin in the patient's colour, tanned and flushed as the site's sun exposure has it."""
    side = shot.side_px * SUPERSAMPLING
    px_per_mm = side / shot.field_of_view_mm
    ticks = (((np.arange(side) + 0.5) / side - 0.5) * shot.field_of_view_mm).astype(np.float32)
    offset_y, offset_x = (np.float32(offset * shot.field_of_view_mm) for offset in shot.centre_offset)
    y_mm = np.broadcast_to((ticks - offset_y)[:, None], (side, side))
    x_mm = np.broadcast_to((ticks - offset_x)[None, :], (side, side))
    tan = 0.16 * lesion.site.sun * (0.4 + patient.skin_melanin)
    flush = 0.12 * lesion.site.sun
    melanin = np.full((side, side), patient.skin_melanin + tan, dtype=np.float32)
    blood = np.full((side, side), patient.skin_haemoglobin + flush, dtype=np.float32)
    light, gloss = np.zeros((2, side, side), dtype=np.float32)
    return Canvas(rng, side, px_per_mm, y_mm, x_mm, melanin, blood, light, gloss)


def halved(plane: Plane) -> Plane:
    """Mean over blocks of 2 x 2 pixels."""
    return 0.25 * (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2])
