"""Pictures follow the traits."""

import numpy as np
import pytest

from slimp_pipeline.cohorts.fabricated.canvas import Shot
from slimp_pipeline.cohorts.fabricated.measure import measure_colour, measure_shape, srgb_to_lab
from slimp_pipeline.cohorts.fabricated.render import render
from slimp_pipeline.cohorts.fabricated.tbp import draw_tbp_patients


def test_lab_of_white_black_and_red_are_the_textbook_values() -> None:
    rgb = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0]]], dtype=np.uint8)
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]]
    np.testing.assert_allclose(srgb_to_lab(rgb)[0], expected, atol=0.05)


def test_a_circle_measures_as_a_circle() -> None:
    shape = measure_shape(np.full(144, 2.0))
    assert shape["clin_size_long_diam_mm"] == pytest.approx(4.0)
    assert shape["tbp_lv_areaMM2"] == pytest.approx(4 * np.pi, rel=1e-2)
    assert shape["tbp_lv_perimeterMM"] == pytest.approx(4 * np.pi, rel=1e-2)
    assert shape["tbp_lv_minorAxisMM"] == pytest.approx(4.0, rel=1e-2)
    assert shape["tbp_lv_eccentricity"] == pytest.approx(0.0, abs=1e-3)
    assert shape["tbp_lv_symm_2axis"] == pytest.approx(0.0, abs=1e-9)


def test_an_ellipse_keeps_its_eccentricity_and_axis_of_symmetry() -> None:
    angle = np.arange(144) * (2 * np.pi / 144)
    shape = measure_shape(1.0 / np.hypot(np.cos(angle) / 3.0, np.sin(angle) / 1.5))
    assert shape["tbp_lv_eccentricity"] == pytest.approx(np.sqrt(0.75), abs=1e-2)
    assert shape["tbp_lv_minorAxisMM"] == pytest.approx(3.0, rel=2e-2)
    assert shape["tbp_lv_symm_2axis_angle"] in (0.0, 90.0)


def test_a_picture_has_the_asked_size_and_covers_the_lesions_area() -> None:
    patient = draw_tbp_patients(1, seed=0)[0]
    shot = Shot(side_px=120, field_of_view_mm=12.0)
    for lesion in patient.lesions[:4]:
        picture, coverage = render(np.random.default_rng(0), patient.traits, lesion, shot)
        assert picture.shape == (120, 120, 3) and picture.dtype == np.uint8
        assert coverage.shape == (120, 120)
        area_mm2 = measure_shape(lesion.outline_mm)["tbp_lv_areaMM2"]
        assert coverage.sum() / 100 == pytest.approx(area_mm2, rel=0.25)


def test_darker_skin_types_give_darker_skin() -> None:
    patients = draw_tbp_patients(120, seed=2)
    lightness = {}
    for patient in patients:
        if patient.traits.skin_type in (1, 5) and patient.traits.skin_type not in lightness:
            shot = Shot(side_px=96, field_of_view_mm=12.0)
            picture, coverage = render(np.random.default_rng(1), patient.traits, patient.lesions[0], shot)
            lightness[patient.traits.skin_type] = measure_colour(picture, coverage)["tbp_lv_Lext"]
    assert lightness[1] > lightness[5] + 10
