"""Nuisance fields that may be suppressed, and others."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.tables.encoding import LevelEncoding, fit_encoding
from slimp_pipeline.tables.missing import choose_fields
from slimp_pipeline.tables.nuisance import check_nuisance, nuisance_rows, require_nuisance, told_of_diagnosis

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


@pytest.mark.parametrize("num_ill", [4, 20, 70])
def test_a_number_tells_as_much_as_the_same_value_as_text(num_ill):
    ill = np.random.default_rng(0).permutation(200) < num_ill
    diagnosis = np.where(ill, "m", "n")
    assert told_of_diagnosis(rows(ill.astype(float), diagnosis), "device") == 1
    assert told_of_diagnosis(rows(ill.astype(int).astype(str), diagnosis), "device") == 1


@given(values=st.lists(st.sampled_from([0.0, 0.5, 1.0, 7.0]), min_size=40, max_size=60), seed=st.integers(0, 9))
def test_a_number_of_few_values_is_taken_as_its_text(values, seed):
    diagnosis = np.random.default_rng(seed).choice(["n", "m", "k"], len(values))
    number, text = rows(np.array(values), diagnosis), rows([str(value) for value in values], diagnosis)
    assert told_of_diagnosis(number, "device") == told_of_diagnosis(text, "device")


def test_a_number_tells_the_diagnosis_wherever_it_parts_it():
    rng = np.random.default_rng(0)
    noise, order = rng.random(400), np.arange(400)
    for telling in (order < 8, order >= 390, (order > 150) & (order < 170), order % 2 == 1):
        number = np.where(telling, 5.0, 1.0) + noise if telling.sum() == 200 else order.astype(float)
        assert told_of_diagnosis(rows(number, np.where(telling, "m", "n")), "device") == 1
    mostly_nothing = np.where(order < 380, 0.0, 1 + noise)  # zero but for a few, of whom half are ill
    assert told_of_diagnosis(rows(mostly_nothing, np.where(mostly_nothing > 1.5, "m", "n")), "device") == 1


@pytest.mark.parametrize("count", [40, 100, 400])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_a_number_by_chance_is_no_twin(count, share):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        diagnosis = np.where(rng.permutation(count) < share * count, "m", "n")
        assert told_of_diagnosis(rows(rng.random(count), diagnosis), "device") < 0.7


@pytest.mark.parametrize("num_known", [0, 1, 2])
def test_a_number_that_is_hardly_ever_known_tells_nothing(num_known):
    values = np.full(40, np.nan)
    values[:num_known] = np.arange(num_known)
    lesions = rows(values)
    assert told_of_diagnosis(lesions, "device") == 0
    check_nuisance("clinic", level(lesions, FieldSpec(kind="numeric", level="lesion", column="d")), lesions)


def test_numbers_of_any_size_are_told_from():
    huge = np.where(np.arange(40) % 2, 1e300, -1e300) * (1 + np.arange(40))
    assert told_of_diagnosis(rows(huge), "device") == 1


def test_of_several_cohorts_none_may_be_told_and_which_cohort_it_is_does_not_count():
    twin, plain = rows(["a", "b"] * 20), rows(["a", "a", "b", "b"] * 10)
    others = plain.assign(cohort="two", patient_id="q" + plain["patient_id"])
    with pytest.raises(ValueError, match="'device' tells the diagnosis"):
        check_nuisance("one+two", level(twin), pd.concat([twin.assign(cohort="one"), others], ignore_index=True))
    own_words = others.assign(device="c", diagnosis="N").replace({"device": {"a": "c"}})
    check_nuisance("one+two", level(plain), pd.concat([plain.assign(cohort="one"), own_words], ignore_index=True))


def test_the_twin_of_the_diagnosis_is_refused_and_so_is_nothing():
    twin = rows(["a", "b"] * 20)
    with pytest.raises(ValueError, match="'device' tells the diagnosis: who knows it is wrong 100% less often"):
        check_nuisance("clinic", level(twin), twin)
    with pytest.raises(ValueError, match="calls no field a nuisance"):
        require_nuisance("clinic", LevelEncoding(fields={}))
    require_nuisance("clinic", level(twin))
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
