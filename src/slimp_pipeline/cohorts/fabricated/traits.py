"""Causal model of the fabricated cohorts: patient traits -> lesion traits -> look and label.

Nothing here draws pictures or tables. A patient has a naevus style, a point on six axes of look; each naevus
scatters closely round it. A melanoma is an ugly duckling: it lies away from its own patient's style, so
that the same look may be benign in another patient. All values are invented; only vocabularies and rough
proportions follow SLICE-3D (Kurtansky et al. 2024, doi:10.1038/s41597-024-03743-w) and PAD-UFES-20 (Pacheco
et al. 2020, doi:10.1016/j.dib.2020.106221).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOOK_AXES = ("size", "pigment", "redness", "irregularity", "variegation", "texture")
WITHIN_PATIENT_SD = 0.45
NUM_OUTLINE_ANGLES = 144
MALIGNANT_KINDS = frozenset({"melanoma", "basal_cell_carcinoma", "squamous_cell_carcinoma"})
FEATURES = ("scale", "crust", "ulcer", "shine", "elevation", "cobble", "veil", "softness")

_SKIN_MELANIN = (0.10, 0.20, 0.36, 0.62, 1.05, 1.60)
# The direction in which melanomas depart on average; a departure may go any way, so this is a tilt and not
# a rule.
_ABCD_TILT = np.array([0.50, 0.35, 0.10, 0.50, 0.45, 0.0])


@dataclass(frozen=True)
class Site:
    """One body site: how often lesions are recorded there, its sun exposure and hair, both 0 to 1."""

    name: str
    weight: float
    sun: float
    hair: float


@dataclass(frozen=True)
class Population:
    """Who a clinic sees: age groups as (share, mean_years, sd_years), skin type shares I to VI."""

    age_groups: tuple[tuple[float, float, float], ...]
    age_range_years: tuple[float, float]
    male_share: float
    skin_type_shares: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class PatientTraits:
    """What a patient brings to each of their lesions.

    Attributes:
        age_years: Age in whole years.
        sex: `male` or `female`.
        skin_type: Fitzpatrick type, 1 to 6.
        skin_melanin: Melanin density of unexposed skin, about 0.1 (type I) to 1.6 (type VI).
        skin_haemoglobin: Blood density of the skin, about 0.2 to 0.5.
        outdoor_work: Whether years were spent working in the sun.
        sun_damage: 0 to 1; grows with age, fair skin and outdoor work.
        naevus_proneness: Relative number of naevi, 1 on average.
        family_history: Whether near relatives had skin cancer.
        hairiness: 0 to 1.
        naevus_style: Shape (6,), one value per entry of `LOOK_AXES`, standard normal over patients.
        hazard: Expected number of malignant lesions relative to the population, 1 on average.
    """

    age_years: int
    sex: str
    skin_type: int
    skin_melanin: float
    skin_haemoglobin: float
    outdoor_work: bool
    sun_damage: float
    naevus_proneness: float
    family_history: bool
    hairiness: float
    naevus_style: NDArray[np.float64]
    hazard: float


@dataclass(frozen=True, eq=False)
class LesionTraits:
    """What a lesion is and how it looks; the picture and the table both follow from this.

    Attributes:
        kind: A key of `KINDS`.
        site: Where it is.
        look: Shape (6,), position on `LOOK_AXES` in between-patient standard deviations.
        diameter_mm: Longest diameter.
        outline_mm: Shape (144,), radius at evenly spaced angles from the lesion's centre.
        pigment: Melanin density added to the skin, 0 to about 3.
        redness: Blood density added to the skin, 0 to about 2.
        variegation: Unevenness of colour, 0 to 1.
        network: Strength of the pigment network, 0 to 1.
        features: Kind-specific signs, one value from 0 to 1 per entry of `FEATURES`.
    """

    kind: str
    site: Site
    look: NDArray[np.float64]
    diameter_mm: float
    outline_mm: NDArray[np.float64]
    pigment: float
    redness: float
    variegation: float
    network: float
    features: dict[str, float]

    @property
    def malignant(self) -> bool:
        """Whether the kind is a cancer; actinic keratosis counts as benign."""
        return self.kind in MALIGNANT_KINDS


@dataclass(frozen=True)
class Kind:
    """Average look of one diagnosis.

    `style_share` says how far it takes after the patient's naevus style, `features` gives the means of
    `FEATURES`, `sun_pull` how strongly sun-exposed sites attract it.
    """

    look: tuple[float, ...]
    style_share: float
    features: tuple[float, ...]
    sun_pull: float


#                                size  pigm   red   irreg varieg text           scale crust ulcer shine elev
# cobble veil soft
KINDS: dict[str, Kind] = {
    "naevus": Kind((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 1.0, (0.02, 0.01, 0.01, 0.08, 0.30, 0.08, 0.02, 0.40), 0.0),
    "lentigo": Kind((0.1, -0.6, -0.5, 0.5, -0.2, -0.4), 0.4, (0.05, 0.01, 0.01, 0.03, 0.04, 0.05, 0.01, 0.35), 1.2),
    "angioma": Kind((-0.8, -2.6, 2.0, -0.5, -0.3, -2.0), 0.1, (0.02, 0.03, 0.02, 0.30, 0.50, 0.10, 0.03, 0.20), 0.0),
    "seborrhoeic_keratosis": Kind(
        (0.6, 0.2, -0.4, 0.2, 0.3, -1.5), 0.2, (0.32, 0.10, 0.02, 0.14, 0.60, 0.70, 0.04, 0.14), 0.3
    ),
    "actinic_keratosis": Kind(
        (0.5, -1.5, 0.8, 0.8, 0.2, -2.0), 0.2, (0.62, 0.26, 0.05, 0.08, 0.22, 0.12, 0.01, 0.60), 2.2
    ),
    "melanoma": Kind((0.2, 0.2, 0.1, 0.2, 0.15, 0.0), 1.0, (0.04, 0.07, 0.07, 0.08, 0.30, 0.08, 0.30, 0.35), 0.4),
    "basal_cell_carcinoma": Kind(
        (0.5, -1.5, 1.0, 0.3, 0.3, -2.0), 0.2, (0.12, 0.18, 0.24, 0.58, 0.48, 0.10, 0.10, 0.40), 1.4
    ),
    "squamous_cell_carcinoma": Kind(
        (0.8, -1.4, 1.3, 0.7, 0.3, -2.0), 0.2, (0.45, 0.40, 0.24, 0.20, 0.55, 0.15, 0.03, 0.35), 1.9
    ),
}


def draw_patient(rng: np.random.Generator, population: Population) -> PatientTraits:
    """Draws one patient's traits; see `PatientTraits` for units."""
    shares = np.array([group[0] for group in population.age_groups])
    _, mean_years, sd_years = population.age_groups[rng.choice(len(shares), p=shares / shares.sum())]
    age_years = int(np.clip(rng.normal(mean_years, sd_years), *population.age_range_years))
    sex = "male" if rng.random() < population.male_share else "female"
    skin_shares = np.array(population.skin_type_shares)
    skin_type = int(rng.choice(6, p=skin_shares / skin_shares.sum())) + 1
    outdoor_work = bool(rng.random() < 0.42)
    sun_score = 0.055 * (age_years - 62) + 0.45 * (3 - skin_type) + 0.9 * outdoor_work + rng.normal(0, 0.7)
    sun_damage = _logistic(sun_score)
    family_history = bool(rng.random() < 0.25)
    proneness = float(np.exp(rng.normal(-0.15, 0.55) + 0.15 * family_history - 0.15 * (skin_type - 2)))
    style = rng.normal(size=len(LOOK_AXES))
    # Naevi of darker skin are darker: keeps the picture's naevi visible and ties style to skin type.
    style[1] += 0.25 * (skin_type - 2)
    log_hazard = 1.5 * (sun_damage - 0.4) + 0.5 * family_history - 0.25 * (skin_type - 2)
    hazard = np.exp(log_hazard + rng.normal(0, 0.5))
    return PatientTraits(
        age_years=age_years,
        sex=sex,
        skin_type=skin_type,
        skin_melanin=_SKIN_MELANIN[skin_type - 1] * float(np.exp(rng.normal(0, 0.12))),
        skin_haemoglobin=float(np.clip(rng.normal(0.24, 0.05) + 0.07 * sun_damage, 0.15, 0.5)),
        outdoor_work=outdoor_work,
        sun_damage=sun_damage,
        naevus_proneness=proneness,
        family_history=family_history,
        hairiness=_logistic(rng.normal(0.2 if sex == "male" else -1.6, 0.8)),
        naevus_style=style,
        hazard=float(hazard / 1.45),
    )


def draw_lesion(
    rng: np.random.Generator,
    patient: PatientTraits,
    kind: str,
    sites: Sequence[Site],
    median_diameter_mm: float,
) -> LesionTraits:
    """Draws one lesion of a patient.

    Args:
        rng: Source of randomness.
        patient: Whose lesion it is.
        kind: A key of `KINDS`.
        sites: Sites to choose from; sun-related kinds prefer sun-exposed ones.
        median_diameter_mm: Longest diameter of a lesion of average look in this setting.

    Raises:
        KeyError: If the kind is unknown.
    """
    spec = KINDS[kind]
    look = _draw_look(rng, patient, kind)
    weights = np.array([s.weight * np.exp(spec.sun_pull * (s.sun - 0.5)) for s in sites])
    site = sites[int(rng.choice(len(sites), p=weights / weights.sum()))]
    diameter_mm = float(np.clip(median_diameter_mm * np.exp(0.34 * look[0]), 0.35, 4.0 * median_diameter_mm))
    features = {
        name: _logistic(np.log(mean / (1 - mean)) + rng.normal(0, 1.1))
        for name, mean in zip(FEATURES, spec.features, strict=True)
    }
    return LesionTraits(
        kind=kind,
        site=site,
        look=look,
        diameter_mm=diameter_mm,
        outline_mm=_draw_outline(rng, look[3], diameter_mm),
        pigment=float(np.clip(0.62 * np.exp(0.50 * look[1]), 0.03, 3.0)),
        redness=float(np.clip(0.22 * np.exp(0.65 * look[2]), 0.02, 1.5)),
        variegation=_logistic(-1.0 + 0.9 * look[4]),
        network=_logistic(-0.3 + 1.1 * look[5]),
        features=features,
    )


def style_deviation(patient: PatientTraits, lesion: LesionTraits) -> float:
    """Distance of a lesion's look from its patient's naevus style, in within-patient sd per axis.

    About 1 for an ordinary naevus; an ugly duckling lies well above.
    """
    offset = (lesion.look - patient.naevus_style) / WITHIN_PATIENT_SD
    return float(np.sqrt(np.mean(offset**2)))


def _draw_look(rng: np.random.Generator, patient: PatientTraits, kind: str) -> NDArray[np.float64]:
    """Position on the look axes, shape (6,)."""
    spec = KINDS[kind]
    scatter = rng.normal(0, WITHIN_PATIENT_SD, size=len(LOOK_AXES))
    look = np.array(spec.look) + spec.style_share * patient.naevus_style + scatter
    if kind == "melanoma":
        # Away from the patient's own style: where the naevi are large and dark, the odd one is as soon
        # small or pale.
        direction = _ABCD_TILT - 0.45 * patient.naevus_style + 0.55 * rng.normal(size=len(LOOK_AXES))
        look += rng.uniform(1.4, 2.6) * direction / np.linalg.norm(direction)
    elif spec.style_share < 1.0:
        look += rng.normal(0, 0.6, size=len(LOOK_AXES))
    elif rng.random() < 0.04:
        look += rng.normal(0, 0.7, size=len(LOOK_AXES))  # some harmless naevi are odd as well
    return look


def _draw_outline(rng: np.random.Generator, irregularity: float, diameter_mm: float) -> NDArray[np.float64]:
    """Closed outline as radii in mm, shape (144,), with the wanted longest diameter."""
    angle = np.arange(NUM_OUTLINE_ANGLES) * (2 * np.pi / NUM_OUTLINE_ANGLES)
    axis_ratio = np.clip(rng.beta(6.0, 2.3), 0.4, 1.0)
    turned = angle - rng.uniform(0, np.pi)
    radius = axis_ratio / np.hypot(axis_ratio * np.cos(turned), np.sin(turned))
    bumps = np.zeros_like(angle)
    amplitude = min(0.20 * np.exp(0.38 * irregularity), 0.48)
    for order in range(1, 13):
        bumps += rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * np.pi)) / (order + 1.0) ** 1.35
    radius = radius * np.exp(0.7 * np.tanh(amplitude * bumps / 0.7))
    points = radius * np.exp(1j * angle)
    longest = np.abs(points[:, None] - points[None, :]).max()
    return np.asarray(radius * diameter_mm / longest, dtype=np.float64)


def _logistic(value: float) -> float:
    return float(1.0 / (1.0 + np.exp(-value)))
