"""What the control by strangers' metadata shows: decided here, whoever speaks of it."""

from enum import Enum, auto

import pandas as pd

from slimp_pipeline.evaluation.audits.controls import FUSED, IMAGE, PAIRS, SHUFFLED


class Gain(Enum):
    """What metadata add to images, and whether strangers' would do as well."""

    UNMEASURED = auto()
    LOSS = auto()  # they take from the images
    NONE = auto()  # nothing outside noise
    STRANGERS = auto()  # strangers' add, too, and the patients' own no more outside noise
    NOT_SHOWN = auto()  # neither what strangers' add nor what the own add beyond them is outside noise
    IN_PART = auto()  # strangers' add, and the patients' own more
    OWN = auto()  # the patients' own alone


def gain_of_metadata(differences: pd.DataFrame) -> Gain:
    """Read the intervals of one method's control.

    Args:
        differences: `ci_low` and `ci_high` in one metric, by pair of `evaluation.audits.controls.PAIRS`.
    """
    low, high = (differences[bound].reindex(pd.MultiIndex.from_tuples(PAIRS)) for bound in ("ci_low", "ci_high"))
    if low.isna().any():
        return Gain.UNMEASURED
    if high[FUSED, IMAGE] < 0:
        return Gain.LOSS
    if low[FUSED, IMAGE] <= 0:
        return Gain.NONE
    strangers_add = low[SHUFFLED, IMAGE] > 0
    if low[FUSED, SHUFFLED] > 0:
        return Gain.IN_PART if strangers_add else Gain.OWN
    return Gain.STRANGERS if strangers_add else Gain.NOT_SHOWN
