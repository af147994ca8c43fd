"""How rare it is to be as suspicious, by several measures together."""

import numpy as np


def surprise(*measures_E: np.ndarray) -> np.ndarray:
    """Minus the sum of log10 of the shares of candidates that are as suspicious by each measure: float64 (E,), >= 0.

    It depends on the order of the values alone: measures needn't be scaled to one another, and a measure that tells
    nothing adds little.

    Args:
        measures_E: Measures of the same candidates, each float (E,); the lower, the more suspicious.

    Source:
        Fisher's method of combining tests, with empirical shares in place of p-values.
    """
    total_E = np.zeros(len(measures_E[0]))
    for measure_E in measures_E:
        num_as_low_E = np.searchsorted(np.sort(measure_E), measure_E, side="right")
        total_E -= np.log10(num_as_low_E / max(1, len(measure_E)))
    return np.abs(total_E)  # no -0
