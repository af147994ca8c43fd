"""How an owner's differing values become one."""

from collections import Counter
from statistics import median

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.tables.levels import settle_lesions
from slimp_pipeline.tables.patients import build_patients
from slimp_pipeline.tables.settle import settle

ROWS = st.lists(
    st.tuples(st.sampled_from("pqr"), st.sampled_from(["a", "b", "c", None]), st.sampled_from([1.0, 2.0, 7.0, None])),
    min_size=1,
    max_size=20,
)
NAMES = ["count", "owner", "value", "lesion", "chosen", "field", "index", "level_0", "size", "0", "median"]


def frame(rows):
    ids, texts, numbers = zip(*rows, strict=True)
    return pd.DataFrame(
        {"patient_id": ids, "text": pd.Series(texts, dtype="str"), "number": pd.Series(numbers, dtype="float64")}
    )


@given(ROWS)
def test_values_are_settled_as_a_slow_loop_says(rows):
    table = frame(rows)
    settled, conflicts = settle(table, table["patient_id"], {"text": "categorical", "number": "numeric"})
    assert settled.index.tolist() == sorted({patient for patient, *_ in rows})
    differ = []
    for patient, found in settled.iterrows():
        texts = [text for owner, text, _ in rows if owner == patient and text is not None]
        numbers = [number for owner, _, number in rows if owner == patient and number is not None]
        expected = min(Counter(texts).items(), key=lambda item: (-item[1], item[0]))[0] if texts else None
        assert found["text"] == expected if texts else pd.isna(found["text"])
        assert found["number"] == median(numbers) if numbers else pd.isna(found["number"])
        differ += [(patient, "text")] * (len(set(texts)) > 1) + [(patient, "number")] * (len(set(numbers)) > 1)
    assert sorted(zip(conflicts["owner"], conflicts["field"], strict=True)) == sorted(differ)


@pytest.mark.parametrize("name", [*NAMES, "patient_id"])
@pytest.mark.parametrize(("column", "kind", "expected"), [("text", "categorical", "a"), ("number", "numeric", 2.0)])
def test_no_name_of_a_field_is_taken(name, column, kind, expected):
    rows = frame([("p", "b", 2.0), ("p", "a", 1.0), ("p", "a", 9.0), ("q", "b", 3.0)])
    settled, conflicts = settle(rows[[column]].rename(columns={column: name}), rows["patient_id"], {name: kind})
    assert list(settled) == [name] and settled[name]["p"] == expected and settled[name]["q"] == rows[column][3]
    assert conflicts[["owner", "field"]].to_numpy().tolist() == [["p", name]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["categorical", "numeric"])
def test_patients_and_lesions_have_fields_of_any_name_that_is_not_reserved(name, kind):
    values = ["a", "b", "b", "a"] if kind == "categorical" else [1.0, 2.0, 2.0, 1.0]
    rows = pd.DataFrame({"patient_id": list("pppq"), "lesion_id": ["1", "1", "1", "1"], name: values})
    settled, conflicts = settle_lesions(rows, {name: kind})
    assert settled[name].tolist() == [values[1]] * 3 + [values[3]] and conflicts["field"].tolist() == [name]
    patients, conflicts = build_patients(rows, {name: FieldSpec(kind=kind, level="patient", column="c")})
    assert patients[name].tolist() == [values[1], values[3]] and conflicts["field"].tolist() == [name]
