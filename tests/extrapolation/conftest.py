"""Fields of every kind."""

import pytest
import torch
from hypothesis import settings

from slimp_pipeline.cohorts.spec import FieldSpec

torch.set_num_threads(1)
settings.register_profile("small", max_examples=40, deadline=None)
settings.load_profile("small")


@pytest.fixture(scope="session")
def fields() -> dict[str, FieldSpec]:
    return {
        "age_years": FieldSpec(kind="numeric", level="patient", column="age"),
        "site": FieldSpec(kind="categorical", level="lesion", column="site"),
        "symptom": FieldSpec(kind="checkbox", level="lesion", options={"itch": "itch", "bleed": "bleed"}),
    }
