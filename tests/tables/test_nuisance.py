"""Nuisance fields that may be suppressed, and others."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.tables.encoding import LevelEncoding, fit_encoding
from slimp_pipeline.tables.missing import choose_fields
from slimp_pipeline.tables.nuisance import check_nuisance, nuisance_rows, told_of_diagnosis

DEVICE = FieldSpec(kind="categorical", level="lesion", column="d", nuisance=True, categories=["a", "b"])


def rows(device, diagnosis=None):
    count = len(device)
    return pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(count)],
            "patient_id": [f"p{number}" for number in range(count)],
            "diagnosis": diagnosis if diagnosis is not None else ["n", "m"] * (count // 2),
            "device": device,
        }
    )


def level(lesions, field=DEVICE):
    return fit_encoding(lesions, lesions, {}, {"device": field}).nuisance


def test_what_a_field_tells_of_the_diagnosis_is_the_share_of_wrong_guesses_that_it_saves():
    # Blind guesses are right for 20 of 40; by device for 16 + 16.
    lesions = rows(["a"] * 20 + ["b"] * 20, (["n"] * 16 + ["m"] * 4) + (["m"] * 16 + ["n"] * 4))
    assert told_of_diagnosis(lesions, "device") == pytest.approx((32 - 20) / (40 - 20))
    assert told_of_diagnosis(rows(["a"] * 40), "device") == 0
    assert told_of_diagnosis(rows(["a", "b"] * 20), "device") == 1
    assert told_of_diagnosis(rows([f"own {number}" for number in range(40)]), "device") == 0  # of one patient each
    assert told_of_diagnosis(rows(["a", "b"] * 5), "device") == 0  # too few
    assert told_of_diagnosis(rows(["a", "b"] * 20, ["n"] * 40), "device") == 0


def test_numbers_are_told_from_by_tenths():
    rng = np.random.default_rng(0)
    telling = np.where(np.arange(100) % 2, 5.0, 1.0) + rng.random(100)
    assert told_of_diagnosis(rows(telling), "device") == 1
    assert told_of_diagnosis(rows(rng.random(100)), "device") < 0.5


def test_the_twin_of_the_diagnosis_is_refused_and_so_is_nothing():
    twin = rows(["a", "b"] * 20)
    with pytest.raises(ValueError, match="'device' tells the diagnosis: who knows it is wrong 100% less often"):
        check_nuisance("clinic", level(twin), twin)
    with pytest.raises(ValueError, match="calls no field a nuisance"):
        check_nuisance("clinic", LevelEncoding(fields={}), twin)
    plain = rows(["a", "a", "b", "b"] * 10)
    check_nuisance("clinic", level(plain), plain)


def test_a_nuisance_is_no_feature(spec, make_lesions):
    fields = spec.fields | {"site": spec.fields["site"].model_copy(update={"nuisance": True})}
    marked = spec.model_copy(update={"fields": fields})
    lesions = make_lesions(["a"] * 4)
    assert list(choose_fields(marked, lesions, FeatureParams())) == [name for name in fields if name != "site"]
    assert list(marked.nuisance) == ["site"]
    with pytest.raises(ValueError, match="calls 'site' a nuisance, so it can't be a feature"):
        choose_fields(marked, lesions, FeatureParams(fields=["site"]))


def test_its_columns_come_in_the_order_of_the_rows():
    lesions = rows(["a", "b", None, "a"])
    asked = pd.DataFrame({"image_id": ["i2", "i1"]})
    assert nuisance_rows(lesions, asked, {"device": DEVICE})["device"].fillna("?").tolist() == ["?", "b"]
    assert nuisance_rows(lesions, asked, {}).shape == (2, 0)
