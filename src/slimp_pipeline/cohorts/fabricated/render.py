"""Pictures of fabricated lesions.

Skin is modelled as pale tissue under two absorbing pigments: melanin and blood (Beer-Lambert law in linear
RGB). A lesion adds pigment of both sorts, relief, and opaque matter (scale, crust, hair, ink). Everything
is laid down at twice the final resolution and averaged, which gives soft borders and thin hairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from slimp_pipeline.cohorts.fabricated.canvas import Canvas, Shot, blank_canvas, halved
from slimp_pipeline.cohorts.fabricated.skin import lay_hairs, lay_skin
from slimp_pipeline.cohorts.fabricated.textures import Plane
from slimp_pipeline.cohorts.fabricated.traits import LesionTraits, PatientTraits

PATIENTS_PER_PROCESS = 50  # that are photographed in as many seconds as it takes to start one
_TISSUE_RGB = np.array([0.84, 0.70, 0.56], dtype=np.float32)
_MELANIN_ABSORPTION = np.array([0.78, 1.15, 1.62], dtype=np.float32)
_BLOOD_ABSORPTION = np.array([0.18, 0.82, 0.70], dtype=np.float32)


def render(
    rng: np.random.Generator, patient: PatientTraits, lesion: LesionTraits, shot: Shot
) -> tuple[NDArray[np.uint8], Plane]:
    """Photographs one lesion.

    Args:
        rng: Source of randomness for everything that the traits leave open.
        patient: Gives skin colour, texture, spots and hairs.
        lesion: Gives outline, colours and signs.
        shot: Framing, light and camera.

    Returns:
        The picture, sRGB, uint8, shape (side_px, side_px, 3), and the share of each pixel that the lesion
        covers, float32, shape (side_px, side_px), 0 to 1.
    """
    canvas = blank_canvas(rng, patient, lesion, shot)
    lay_skin(canvas, patient, lesion)
    coverage, depth_mm = _coverage(canvas, lesion)
    _lay_pigment(canvas, lesion, coverage)
    _lay_relief(canvas, lesion, shot, coverage, depth_mm)
    _lay_signs(canvas, lesion, coverage, depth_mm)
    lay_hairs(canvas, patient, lesion)
    if shot.ink_ring:
        _lay_ink(canvas, lesion)
    _lay_light(canvas, shot)
    return _develop(canvas, shot), halved(coverage)


def _coverage(canvas: Canvas, lesion: LesionTraits) -> tuple[Plane, Plane]:
    """Share of each pixel inside the lesion, and signed depth in mm (positive inside)."""
    angles = np.linspace(-np.pi, np.pi, len(lesion.outline_mm) * 4 + 1)
    ring = np.linspace(0, 2 * np.pi, len(lesion.outline_mm) + 1)
    radii = np.interp(angles % (2 * np.pi), ring, np.append(lesion.outline_mm, lesion.outline_mm[0]))
    per_radian = np.float32((len(angles) - 1) / (2 * np.pi))
    turn = (np.arctan2(canvas.y_mm, canvas.x_mm) + np.float32(np.pi)) * per_radian
    edge_mm = radii.astype(np.float32)[turn.astype(np.int32)]
    wander = 0.05 * canvas.texture("clouds", 2.2) * edge_mm
    depth_mm = edge_mm - np.hypot(canvas.y_mm, canvas.x_mm) + wander
    softness_mm = 0.08 + (0.10 + 0.16 * lesion.diameter_mm) * lesion.features["softness"]
    ramp = np.clip(depth_mm / softness_mm + 0.5, 0, 1)
    return ramp * ramp * (3 - 2 * ramp), depth_mm


def _lay_pigment(canvas: Canvas, lesion: LesionTraits, coverage: Plane) -> None:
    """Melanin and blood of the lesion, uneven as its traits say: network, globules, blotch, pale part."""
    rng, spread = canvas.rng, lesion.variegation
    melanin = 1 + (0.18 + 0.50 * spread) * canvas.texture("clouds", 2.0 + 2.0 / max(lesion.diameter_mm, 1.0))
    if lesion.network > 0.15:
        melanin *= 1 + 0.75 * lesion.network * (canvas.texture("network", 1.2) - 0.35)
        melanin += 0.7 * lesion.network * spread * canvas.texture("dots", 1.1)
    melanin *= 1 + 1.5 * max(spread - 0.2, 0) * _blob(canvas, lesion, 0.34) * rng.uniform(0.3, 1.3)
    melanin *= 1 - min(1.3 * max(spread - 0.25, 0), 0.85) * _blob(canvas, lesion, 0.26)
    # Pigment of a mole is densest at its middle.
    melanin *= 0.72 + 0.5 * _blob(canvas, lesion, 0.42, jitter=0.25)
    canvas.melanin += lesion.pigment * coverage * np.clip(melanin, 0.05, 3.2)
    flush = 1 + 0.35 * canvas.texture("clouds", 2.5)
    halo = _blob(canvas, lesion, 0.75, jitter=0.1) * lesion.features["crust"] * 0.35
    canvas.blood += lesion.redness * (coverage * np.clip(flush, 0.1, 3) + halo)
    if lesion.features["veil"] > 0.25:
        veil = coverage * np.clip(_blob(canvas, lesion, 0.30) * 1.3 - 0.2, 0, 1) * lesion.features["veil"]
        canvas.covers.append((veil, (0.075, 0.070, 0.082)))


def _blob(canvas: Canvas, lesion: LesionTraits, size: float, jitter: float = 0.9) -> Plane:
    """Soft bump of height 1 somewhere in the lesion; size and jitter as shares of its diameter."""
    y0, x0 = canvas.rng.normal(0, 0.22 * jitter, size=2) * lesion.diameter_mm
    squared = (canvas.y_mm - np.float32(y0)) ** 2 + (canvas.x_mm - np.float32(x0)) ** 2
    return np.exp(squared * np.float32(-1 / (size * lesion.diameter_mm) ** 2))


def _lay_relief(canvas: Canvas, lesion: LesionTraits, shot: Shot, coverage: Plane, depth_mm: Plane) -> None:
    """Shading of raised lesions, cobbled surface, pearly rim and its reflections."""
    features = lesion.features
    raised = np.sqrt(np.clip(depth_mm / (0.5 * lesion.diameter_mm), 0, 1))
    height = features["elevation"] * 0.20 * lesion.diameter_mm * raised
    if features["cobble"] > 0.15:
        fineness = float(np.clip(5.0 / lesion.diameter_mm, 0.5, 1.6))
        cobble = canvas.texture("cobble", fineness)
        height = height + 0.22 * features["cobble"] * coverage * cobble
        canvas.melanin += 0.5 * features["cobble"] * lesion.pigment * coverage * (0.5 - cobble)
    rim = np.exp(-(((depth_mm - 0.14 * lesion.diameter_mm) / (0.10 * lesion.diameter_mm)) ** 2))
    height = height + features["shine"] * 0.06 * lesion.diameter_mm * rim
    height = np.asarray(gaussian_filter(height, 0.10 * canvas.px_per_mm))
    slope_y, slope_x = np.gradient(height, 1.0 / canvas.px_per_mm)
    facing = slope_x * np.float32(np.cos(shot.light_angle)) + slope_y * np.float32(np.sin(shot.light_angle))
    canvas.light += np.clip(0.55 * facing, -0.45, 0.35)
    if features["shine"] > 0.2:
        pale = features["shine"] * rim * np.clip(0.5 + 0.4 * canvas.texture("clouds", 2.5), 0, 1)
        canvas.covers.append((0.35 * pale * coverage, (0.80, 0.62, 0.56)))
    sparkle = np.clip(canvas.texture("grain", 0.9) - 1.1, 0, 1.5) * coverage
    wet = max(features["shine"], features["ulcer"])
    canvas.gloss += shot.gloss * wet * (0.35 * sparkle + 0.7 * np.clip(facing - 0.25, 0, 0.6))


def _lay_signs(canvas: Canvas, lesion: LesionTraits, coverage: Plane, depth_mm: Plane) -> None:
    """Vessels, scale, ulcer and crust."""
    features = lesion.features
    if features["shine"] > 0.35 or features["ulcer"] > 0.5:
        canvas.blood += 0.6 * features["shine"] * coverage * _vessels(canvas, lesion)
    if features["scale"] > 0.2:
        flakes = canvas.texture("clouds", 3.0) + 0.8 * canvas.texture("grain", 0.45) + 1.2 * features["scale"] - 1.1
        amount = (features["scale"] * np.clip(0.45 * flakes, 0, 1) * coverage).astype(np.float32)
        canvas.covers.append((0.75 * amount, (0.76, 0.69, 0.58)))
        canvas.light += 0.10 * amount * canvas.texture("grain", 0.8)
    if features["ulcer"] > 0.3:
        pit = 2.2 * _blob(canvas, lesion, 0.24, jitter=0.5) - 0.9 + 0.3 * canvas.texture("clouds", 3)
        pit = np.clip(pit, 0, 1)
        canvas.blood += 1.15 * features["ulcer"] * pit * coverage
        canvas.light -= 0.35 * features["ulcer"] * pit * coverage
    if features["crust"] > 0.3:
        lumps = _blob(canvas, lesion, 0.26, jitter=0.5) * 1.8 + 0.45 * canvas.texture("clouds", 3.2) - 0.85
        amount = (features["crust"] * np.clip(2.2 * lumps, 0, 1) * coverage).astype(np.float32)
        tone = (0.34, 0.22, 0.11) if canvas.rng.random() < 0.6 else (0.16, 0.06, 0.04)
        canvas.covers.append((0.9 * amount, tone))
        canvas.light += 0.16 * amount * canvas.texture("grain", 0.6)


def _vessels(canvas: Canvas, lesion: LesionTraits) -> Plane:
    """A few thin branching vessels over the lesion, 0 to 1."""
    sheet = Image.new("L", (canvas.side, canvas.side))
    pen = ImageDraw.Draw(sheet)
    origin = np.array([-float(canvas.x_mm[0, 0]), -float(canvas.y_mm[0, 0])])
    for _ in range(int(canvas.rng.integers(3, 8))):
        start = canvas.rng.normal(0, 0.25, size=2) * lesion.diameter_mm
        steps = canvas.rng.normal(0, 0.055, size=(7, 2)) + canvas.rng.normal(0, 0.05, size=2)
        path = (start + np.cumsum(steps, axis=0) * lesion.diameter_mm + origin) * canvas.px_per_mm
        pen.line([tuple(p) for p in path.tolist()], fill=255, width=2)
    return np.asarray(sheet, dtype=np.float32) / np.float32(255)


def _lay_ink(canvas: Canvas, lesion: LesionTraits) -> None:
    """A ring of violet marker round the lesion."""
    wobble = canvas.rng.normal(0, 0.05, size=3)
    angle = np.arctan2(canvas.y_mm, canvas.x_mm)
    wanted = 1 + wobble[0] * np.cos(angle) + wobble[1] * np.sin(2 * angle) + wobble[2] * np.cos(3 * angle)
    radius_mm = canvas.rng.uniform(0.75, 0.95) * lesion.diameter_mm * wanted
    width_mm = 0.035 * lesion.diameter_mm + 0.15
    line = np.exp(-(((np.hypot(canvas.y_mm, canvas.x_mm) - radius_mm) / width_mm) ** 2))
    canvas.covers.append((line * np.clip(0.55 + 0.15 * canvas.texture("grain"), 0, 0.8), (0.10, 0.07, 0.30)))


def _lay_light(canvas: Canvas, shot: Shot) -> None:
    """Uneven light, vignette, and the edge of the body."""
    side_mm = canvas.side / canvas.px_per_mm
    y, x = canvas.y_mm / side_mm, canvas.x_mm / side_mm
    along = x * np.float32(np.cos(shot.light_angle)) + y * np.float32(np.sin(shot.light_angle))
    canvas.light += -shot.light_gradient * along - shot.vignette * 2 * (x * x + y * y)
    if shot.body_edge:
        angle, bend = canvas.rng.uniform(0, 2 * np.pi), canvas.rng.uniform(-0.5, 0.9)
        across = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
        sideways = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
        inside = canvas.rng.uniform(0.38, 0.48) - across - np.float32(bend) * sideways**2
        canvas.light -= 0.5 * np.exp(-np.clip(inside, 0, 1) * 14)
        red, green, blue = (canvas.rng.choice([0.02, 0.10, 0.35]) * canvas.rng.uniform(0.6, 1.2, 3)).tolist()
        canvas.covers.append((np.clip(0.5 - inside * 40, 0, 1), (red, green, blue)))


def _develop(canvas: Canvas, shot: Shot) -> NDArray[np.uint8]:
    """From pigments and light to an sRGB picture, uint8, shape (side_px, side_px, 3)."""
    melanin, blood = halved(canvas.melanin)[..., None], halved(canvas.blood)[..., None]
    linear = _TISSUE_RGB * np.exp(-melanin * _MELANIN_ABSORPTION - blood * _BLOOD_ABSORPTION)
    for cover, tone in canvas.covers:
        share = halved(cover)[..., None]
        linear += share * (np.array(tone, dtype=np.float32) - linear)
    gain = np.array(shot.cast, dtype=np.float32) + np.float32(shot.exposure)
    linear = linear * np.exp(halved(canvas.light)[..., None] + gain) + 0.8 * halved(canvas.gloss)[..., None]
    if shot.blur_px > 0:
        linear = gaussian_filter(linear, (shot.blur_px, shot.blur_px, 0))
    # Roll off highlights as cameras do, so that bright skin keeps some colour.
    linear = np.where(linear > 0.6, 0.6 + 0.4 * np.tanh((linear - 0.6) / 0.4), linear)
    srgb = 1.055 * np.power(np.maximum(linear, 0.0031308), np.float32(1 / 2.4)) - 0.055
    srgb += canvas.rng.standard_normal(srgb.shape, dtype=np.float32) * np.float32(shot.noise)
    return np.clip(srgb * 255 + 0.5, 0, 255).astype(np.uint8)
