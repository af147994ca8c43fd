"""What total body photography measures of a lesion: shape from its outline, colour from its picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

_RGB_TO_XYZ_D65 = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE_D65 = np.array([0.95047, 1.0, 1.08883])
_LEVELS = np.arange(256) / 255
_CURVE = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4)
_SRGB_TO_LINEAR = _CURVE.astype(np.float32)


def srgb_to_lab(rgb_HW3: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIELab (D65) of an sRGB picture.

    Args:
        rgb_HW3: uint8, shape (H, W, 3).

    Returns:
        float32, shape (H, W, 3): L 0 to 100, a, b.

    Source:
        IEC 61966-2-1 (sRGB); CIE 15:2004 (CIELab).
    """
    xyz = _SRGB_TO_LINEAR[rgb_HW3] @ (_RGB_TO_XYZ_D65 / _WHITE_D65[:, None]).T.astype(np.float32)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    ).astype(np.float32)


def measure_shape(outline_mm: NDArray[np.float64]) -> dict[str, float]:
    """Size and form of a lesion, under the SLICE-3D names of the measures.

    Args:
        outline_mm: Radii in mm at evenly spaced angles, shape (K,), K even.

    Returns:
        Area in mm², perimeter and axes in mm, eccentricity 0 to 1, `symm_2axis` (0 symmetric to 1) and its
        angle in degrees in steps of 5, `norm_border` 0 to 10.
    """
    angle = np.arange(len(outline_mm)) * (2 * np.pi / len(outline_mm))
    points = outline_mm * np.exp(1j * angle)
    after = np.roll(points, -1)
    cross = points.real * after.imag - after.real * points.imag
    area_mm2 = float(cross.sum() / 2)
    perimeter_mm = float(np.abs(after - points).sum())
    centre = ((points + after) * cross).sum() / (6 * area_mm2)
    moments = _second_moments(points - centre, area_mm2)
    small, large = np.linalg.eigvalsh(moments)
    symm_2axis, symm_angle_deg = _asymmetry(outline_mm)
    compactness = perimeter_mm**2 / area_mm2
    border = 1.2 + 0.33 * (compactness - 4 * np.pi) + 5.0 * symm_2axis
    return {
        "clin_size_long_diam_mm": float(np.abs(points[:, None] - points[None, :]).max()),
        "tbp_lv_areaMM2": area_mm2,
        "tbp_lv_area_perim_ratio": compactness,
        "tbp_lv_eccentricity": float(np.sqrt(1 - small / large)),
        "tbp_lv_minorAxisMM": float(4 * np.sqrt(small)),
        "tbp_lv_norm_border": float(np.clip(border, 0, 10)),
        "tbp_lv_perimeterMM": perimeter_mm,
        "tbp_lv_symm_2axis": symm_2axis,
        "tbp_lv_symm_2axis_angle": symm_angle_deg,
    }


def measure_colour(rgb_HW3: NDArray[np.uint8], coverage_HW: NDArray[np.float32]) -> dict[str, float]:
    """Colour inside and round a lesion in CIELab, under the SLICE-3D names of the measures.

    Args:
        rgb_HW3: The picture, sRGB, uint8, shape (H, W, 3).
        coverage_HW: Share of each pixel inside the lesion, shape (H, W), 0 to 1.

    Returns:
        Means (A, B, L, chroma C, hue H in degrees) inside and outside (`ext`), their contrasts, spreads,
        and the colour irregularity scores; `color_std_mean`, `radial_color_std_max` and `norm_color` are 0
        for lesions too small to be measured, as in the real table.
    """
    lab = srgb_to_lab(rgb_HW3)
    inside, outside = _inside_and_outside(coverage_HW)
    (light, a, b), (light_ext, a_ext, b_ext) = lab[inside].mean(axis=0), lab[outside].mean(axis=0)
    delta_light, delta_a, delta_b = light - light_ext, a - a_ext, b - b_ext
    radial_max, radial_mean = _radial_colour_spread(lab, coverage_HW, inside)
    contrast = float(np.hypot(delta_light, delta_b))
    values = {
        "tbp_lv_A": a,
        "tbp_lv_Aext": a_ext,
        "tbp_lv_B": b,
        "tbp_lv_Bext": b_ext,
        "tbp_lv_C": np.hypot(a, b),
        "tbp_lv_Cext": np.hypot(a_ext, b_ext),
        "tbp_lv_H": np.degrees(np.arctan2(b, a)),
        "tbp_lv_Hext": np.degrees(np.arctan2(b_ext, a_ext)),
        "tbp_lv_L": light,
        "tbp_lv_Lext": light_ext,
        "tbp_lv_color_std_mean": radial_mean,
        "tbp_lv_deltaA": delta_a,
        "tbp_lv_deltaB": delta_b,
        "tbp_lv_deltaL": delta_light,
        "tbp_lv_deltaLB": contrast,
        "tbp_lv_deltaLBnorm": contrast * 41 / (light_ext + 1),
        "tbp_lv_norm_color": min(10.0, 1.9 * radial_mean + 1.0 * radial_max),
        "tbp_lv_radial_color_std_max": radial_max,
        "tbp_lv_stdL": lab[inside][:, 0].std(),
        "tbp_lv_stdLExt": lab[outside][:, 0].std(),
    }
    return {name: float(value) for name, value in values.items()}


def _inside_and_outside(coverage_HW: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels of the lesion and of the bare skin near it, each shape (H, W)."""
    inside = coverage_HW > min(0.5, 0.6 * float(coverage_HW.max()))
    near = gaussian_filter(coverage_HW, 0.06 * len(coverage_HW)) > 0.01
    outside = near & (coverage_HW < 0.02)
    if outside.sum() < 50:
        outside = coverage_HW <= np.quantile(coverage_HW, 0.05)
    return inside, outside


def _second_moments(points: NDArray[np.complex128], area_mm2: float) -> NDArray[np.float64]:
    """Central second moments of a polygon per area, shape (2, 2), mm²."""
    x, y = points.real, points.imag
    x2, y2 = np.roll(x, -1), np.roll(y, -1)
    cross = x * y2 - x2 * y
    xx = (cross * (x * x + x * x2 + x2 * x2)).sum() / 12
    yy = (cross * (y * y + y * y2 + y2 * y2)).sum() / 12
    xy = (cross * (x * y2 + 2 * x * y + 2 * x2 * y2 + x2 * y)).sum() / 24
    return np.array([[xx, xy], [xy, yy]]) / area_mm2


def _asymmetry(outline_mm: NDArray[np.float64]) -> tuple[float, float]:
    """Least share of area without mirror image over turns of two crossed axes, and that turn in degrees."""
    squared = outline_mm**2
    count = len(outline_mm)
    degrees = np.arange(0, 180, 5)
    axis = np.round(degrees / 360 * count).astype(int)
    mirrored = squared[(2 * axis[:, None] - np.arange(count)[None, :]) % count]
    unmatched = np.abs(mirrored - squared[None, :]).sum(axis=1) / squared.sum()
    both = 0.5 * (unmatched + np.roll(unmatched, len(degrees) // 2))
    best = int(np.argmin(both))
    if unmatched[best - len(degrees) // 2] < unmatched[best]:
        best = (best + len(degrees) // 2) % len(degrees)  # of two crossed axes, name the better one
    return float(both[best]), float(degrees[best])


def _radial_colour_spread(
    lab: NDArray[np.float32], coverage_HW: NDArray[np.float32], inside: NDArray[np.bool_]
) -> tuple[float, float]:
    """Largest and mean spread of colour (a, b) along rings of the lesion; both 0 when it is too small."""
    if inside.sum() < 150:
        return 0.0, 0.0
    chroma = gaussian_filter(lab[..., 1:], (1.0, 1.0, 0))[inside]
    row, column = np.nonzero(inside)
    distance = np.hypot(row - row.mean(), column - column.mean())
    rings = np.array_split(np.argsort(distance, kind="stable"), 4)
    spreads = [float(chroma[ring].std(axis=0).mean()) for ring in rings]
    return max(spreads), float(np.mean(spreads))
