"""Where on the body SLICE-3D records lesions, in its own names and coordinates."""

from __future__ import annotations

import numpy as np

from slimp_pipeline.cohorts.fabricated.traits import LesionTraits, Site
from slimp_pipeline.cohorts.fabricated.writing import clean_number

# Official location, weight, sun, hair, anatom_site_general, mean (x, y, z) in mm in the body's frame.
_PLACES: dict[str, tuple[Site, str, tuple[float, float, float]]] = {
    name: (Site(name, weight, sun, hair), general, position)
    for name, weight, sun, hair, general, position in (
        ("Head & Neck", 7, 1.0, 0.35, "head/neck", (0, 1585, -40)),
        ("Torso Front Top Half", 17, 0.45, 0.75, "anterior torso", (0, 1310, -40)),
        ("Torso Front Bottom Half", 8, 0.2, 0.75, "anterior torso", (0, 1010, -50)),
        ("Torso Back Top Third", 18, 0.5, 0.3, "posterior torso", (0, 1370, 130)),
        ("Torso Back Middle Third", 13, 0.3, 0.25, "posterior torso", (0, 1130, 130)),
        ("Torso Back Bottom Third", 3, 0.1, 0.3, "posterior torso", (0, 890, 145)),
        ("Left Arm - Upper", 6, 0.5, 0.4, "upper extremity", (-290, 1330, 60)),
        ("Right Arm - Upper", 6, 0.5, 0.4, "upper extremity", (290, 1330, 65)),
        ("Left Arm - Lower", 3, 0.85, 0.9, "upper extremity", (-400, 1065, 0)),
        ("Right Arm - Lower", 3, 0.85, 0.9, "upper extremity", (400, 1105, 10)),
        ("Left Leg - Upper", 5, 0.25, 0.9, "lower extremity", (-160, 630, 32)),
        ("Right Leg - Upper", 5, 0.25, 0.9, "lower extremity", (160, 630, 29)),
        ("Left Leg - Lower", 5, 0.45, 1.0, "lower extremity", (-215, 285, 80)),
        ("Right Leg - Lower", 5, 0.45, 1.0, "lower extremity", (200, 280, 77)),
        ("Left Leg", 0.5, 0.3, 0.9, "lower extremity", (-180, 400, 70)),
        ("Left Arm", 0.4, 0.6, 0.6, "upper extremity", (-340, 1225, 60)),
        ("Unknown", 0.6, 0.4, 0.4, "", (0, 575, 45)),
    )
}
TBP_SITES = tuple(place[0] for place in _PLACES.values())


def place_columns(rng: np.random.Generator, lesion: LesionTraits) -> dict[str, str]:
    """Site, location and position in mm of one lesion; the general site is empty where unknown."""
    _, general, mean_mm = _PLACES[lesion.site.name]
    x_mm, y_mm, z_mm = rng.normal(mean_mm, (85 if general.endswith("torso") else 45, 75, 45)).tolist()
    return {
        "anatom_site_general": general,
        "tbp_lv_location": lesion.site.name,
        "tbp_lv_location_simple": _simple_location(lesion.site.name),
        "tbp_lv_x": clean_number(x_mm),
        "tbp_lv_y": clean_number(y_mm),
        "tbp_lv_z": clean_number(z_mm),
    }


def _simple_location(name: str) -> str:
    """`Torso Back Top Third` -> `Torso Back`, `Left Arm - Upper` -> `Left Arm`."""
    if name.startswith("Torso"):
        return " ".join(name.split()[:2])
    return name.split(" - ")[0]
