"""What a source's encoders read of a target."""

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.features.transfer import FIELDS_READ_COLUMNS, fields_read
from slimp_pipeline.tables.encoding import (
    CategoricalEncoding,
    CheckboxEncoding,
    Encoding,
    LevelEncoding,
    NumericEncoding,
    fit_encoding,
)

LESION = LevelEncoding(
    fields={
        "diameter_mm": NumericEncoding(mean=5, std=3, minimum=0, maximum=1000),
        "site": CategoricalEncoding(categories=["arm", "leg"]),
        "symptom": CheckboxEncoding(options=["itch", "bleed"]),
        "texture": CategoricalEncoding(categories=["flat"]),
    }
)
PATIENT = LevelEncoding(fields={"age_years": NumericEncoding(mean=50, std=10, minimum=0, maximum=120)})
ENCODING = Encoding(lesion=LESION, patient=PATIENT, num_patients=9)


def read_and_doubted(rows):
    table = fields_read(ENCODING, rows)
    assert list(table.columns) == FIELDS_READ_COLUMNS
    assert table["field"].tolist() == ["diameter_mm", "site", "symptom", "texture", "age_years"]
    assert table["level"].tolist() == ["lesion"] * 4 + ["patient"]
    doubts = table.set_index("field")["doubt"]
    return table.loc[table["read"], "field"].tolist(), doubts[doubts != ""].to_dict()


def test_fields_of_the_same_name_and_form_are_read_and_absent_ones_are_not():
    rows = pd.DataFrame({"diameter_mm": [4.0, np.nan], "site": ["arm", "ARM"], "symptom.itch": [True, False]})
    assert read_and_doubted(rows) == (["diameter_mm", "site", "symptom"], {})


def test_other_units_another_vocabulary_and_text_for_numbers_are_named():
    rows = pd.DataFrame({"diameter_mm": [0.4, 300.0, 500.0], "site": ["ARM", "LEG", None], "age_years": ["old"] * 3})
    read, doubts = read_and_doubted(rows)
    assert read == ["diameter_mm", "site", "age_years"]
    assert doubts["diameter_mm"].startswith("other units? median 300")
    assert doubts["site"].startswith("other vocabulary")
    assert doubts["age_years"] == "its values are no numbers"


def test_a_field_that_the_target_never_knows_is_as_good_as_absent():
    assert read_and_doubted(pd.DataFrame({"site": [None, None]})) == ([], {})


def test_a_vocabulary_that_is_kept_as_digests_is_compared_all_the_same():
    lesions = pd.DataFrame({"site": ["arm", "leg"], "texture": ["flat", "flat"]})
    fields = {name: FieldSpec(kind="categorical", level="lesion", column=name) for name in lesions}
    encoding = fit_encoding(lesions, pd.DataFrame({"patient_id": ["a"]}), fields)
    assert encoding.lesion.fields["site"].digested
    doubts = fields_read(encoding, pd.DataFrame({"site": ["leg", None], "texture": ["FLAT", "rough"]}))
    assert doubts["doubt"].tolist() == ["", "other vocabulary: its values count as not known"]
