"""Skin around a lesion: mottling, furrows, spots and hairs, as age, sun and sex have made them."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from slimp_pipeline.cohorts.fabricated.canvas import Canvas
from slimp_pipeline.cohorts.fabricated.textures import Plane
from slimp_pipeline.cohorts.fabricated.traits import LesionTraits, PatientTraits


def lay_skin(canvas: Canvas, patient: PatientTraits, lesion: LesionTraits) -> None:
    """Mottling, furrows that deepen with age, freckles that come with sun damage."""
    rng = canvas.rng
    damage = patient.sun_damage * (0.35 + 0.65 * lesion.site.sun)
    age = float(np.clip((patient.age_years - 20) / 60, 0, 1))
    clouds = canvas.texture("clouds", 0.8)
    canvas.melanin *= 1 + (0.05 + 0.13 * damage) * clouds
    canvas.blood *= 1 + (0.13 + 0.16 * damage) * canvas.texture("clouds", 1.6)
    canvas.light += 0.022 * canvas.texture("grain")
    canvas.light += (0.012 + 0.035 * age) * canvas.texture("lines", 1.0, 0.8)
    if age * (0.5 + damage) > 0.25:
        canvas.light += 0.05 * age * (0.4 + damage) * canvas.texture("wrinkles", 0.7, 0.7)
    area_cm2 = (canvas.side / canvas.px_per_mm) ** 2 / 100
    num_spots = min(int(rng.poisson(area_cm2 * (1.0 + 16 * damage**1.5))), 60)
    half_mm = canvas.side / canvas.px_per_mm / 2
    for _ in range(num_spots):
        y_mm, x_mm = rng.uniform(-half_mm, half_mm, size=2)
        radius_mm = min(0.22 * np.exp(rng.normal(0.25, 0.5)), 1.4)
        if np.hypot(y_mm, x_mm) > 0.62 * lesion.diameter_mm + radius_mm:
            _add_spot(canvas, canvas.melanin, y_mm, x_mm, radius_mm, 0.35 * np.exp(rng.normal(-0.5, 0.6)))
    if rng.random() < 0.25 * age:
        y_mm, x_mm = rng.uniform(-half_mm, half_mm, size=2)
        if np.hypot(y_mm, x_mm) > 0.6 * lesion.diameter_mm + 0.5:
            _add_spot(canvas, canvas.blood, y_mm, x_mm, 0.25, 1.3)


def _add_spot(canvas: Canvas, plane: Plane, y_mm: float, x_mm: float, radius_mm: float, amount: float) -> None:
    """Adds a soft, slightly stretched spot, touching only its own window of the plane."""
    centre_y = round((y_mm - float(canvas.y_mm[0, 0])) * canvas.px_per_mm)
    centre_x = round((x_mm - float(canvas.x_mm[0, 0])) * canvas.px_per_mm)
    reach = int(2.2 * radius_mm * canvas.px_per_mm) + 2
    rows = slice(max(centre_y - reach, 0), max(centre_y + reach, 0))
    columns = slice(max(centre_x - reach, 0), max(centre_x + reach, 0))
    y, x = canvas.y_mm[rows, columns] - y_mm, canvas.x_mm[rows, columns] - x_mm
    lean = canvas.rng.uniform(-0.5, 0.5)
    distance = (y * y + x * x + lean * x * y) / radius_mm**2
    plane[rows, columns] += (amount * np.exp(-(distance**2))).astype(np.float32)


def lay_hairs(canvas: Canvas, patient: PatientTraits, lesion: LesionTraits) -> None:
    """Curved hairs that mostly lie one way; greying with age."""
    rng = canvas.rng
    area_cm2 = (canvas.side / canvas.px_per_mm) ** 2 / 100
    density_per_cm2 = 14 * patient.hairiness * lesion.site.hair
    num_hairs = min(int(rng.poisson(min(area_cm2, 6) * density_per_cm2 * rng.gamma(1.5, 0.67))), 70)
    if not num_hairs:
        return
    sheet = Image.new("L", (canvas.side, canvas.side))
    pen = ImageDraw.Draw(sheet)
    lie = rng.uniform(0, 2 * np.pi)
    share = np.linspace(0, 1, 9)[:, None]
    for _ in range(num_hairs):
        start = rng.uniform(-0.1, 1.1, size=2) * canvas.side
        heading = lie + rng.normal(0, 0.45)
        length = canvas.side * rng.uniform(0.15, 0.55)
        along = np.array([np.cos(heading), np.sin(heading)]) * length
        across = np.array([-along[1], along[0]]) * rng.normal(0, 0.22)
        path = start + along * share + across * share**2
        shade, width = int(rng.integers(110, 235)), int(rng.integers(1, 3))
        pen.line([tuple(p) for p in path.tolist()], fill=shade, width=width)
    grey = rng.random() < np.clip((patient.age_years - 45) / 50, 0, 0.8)
    tone = (0.62, 0.56, 0.48) if grey else (0.045, 0.028, 0.02)
    canvas.covers.append((np.asarray(sheet, dtype=np.float32) * np.float32(0.8 / 255), tone))
