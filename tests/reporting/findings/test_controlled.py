"""What a control by strangers' metadata shows."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.audits.controls import PAIRS
from slimp_pipeline.reporting.findings.controlled import Gain, gain_of_metadata

BELOW, WITHIN, ABOVE, UNKNOWN = (-0.3, -0.1), (-0.1, 0.1), (0.1, 0.3), (np.nan, np.nan)


@pytest.mark.parametrize(
    ("fused_to_image", "shuffled_to_image", "fused_to_shuffled", "expected"),
    [
        (BELOW, ABOVE, ABOVE, Gain.LOSS),
        (WITHIN, ABOVE, ABOVE, Gain.NONE),
        (ABOVE, ABOVE, WITHIN, Gain.STRANGERS),
        (ABOVE, ABOVE, BELOW, Gain.STRANGERS),
        (ABOVE, WITHIN, WITHIN, Gain.NOT_SHOWN),
        (ABOVE, ABOVE, ABOVE, Gain.IN_PART),
        (ABOVE, WITHIN, ABOVE, Gain.OWN),
        (ABOVE, BELOW, ABOVE, Gain.OWN),
        (UNKNOWN, UNKNOWN, UNKNOWN, Gain.UNMEASURED),
        (ABOVE, UNKNOWN, ABOVE, Gain.UNMEASURED),
    ],
)
def test_a_gain_is_the_patients_own_where_the_intervals_show_it_alone(
    fused_to_image, shuffled_to_image, fused_to_shuffled, expected
):
    bounds = [fused_to_image, shuffled_to_image, fused_to_shuffled]
    table = pd.DataFrame(bounds, index=pd.MultiIndex.from_tuples(PAIRS), columns=["ci_low", "ci_high"])
    for order in (table, table[::-1]):
        assert gain_of_metadata(order) is expected
