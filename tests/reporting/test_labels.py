"""Names and colours."""

from typing import get_args

import pytest

from slimp_pipeline.parameters import Objective
from slimp_pipeline.reporting.labels import method_colour, method_name


@pytest.mark.parametrize("objective", get_args(Objective))
def test_encoders_on_one_page_have_names_and_colours_of_their_own(objective):
    starts = ["initial_weights", "random_init"]
    methods = [objective, f"{objective}_adapted", *starts, *(f"{start}_adapted" for start in starts), "supervised"]
    assert len({method_colour(method) for method in methods}) == len(methods)
    assert len({method_name(method) for method in methods}) == len(methods)
    assert method_name(f"{objective}_adapted") == f"{method_name(objective)}, adapted"
