"""Importance of fields: one that is the label matters, one that is noise doesn't."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.audits.importance import IMPORTANCE_COLUMNS, measure_importance, permuted_rows
from slimp_pipeline.evaluation.measures.measure import measure
from slimp_pipeline.evaluation.protocols.run import predict
from slimp_pipeline.parameters import EvaluationParams, ImportanceParams, ProbeParams
from slimp_pipeline.tables.encoding import Encoding, LevelEncoding
from slimp_pipeline.tables.levels import owner_numbers

FIELDS = {
    "age_years": FieldSpec(kind="numeric", level="patient", column="age"),
    "region": FieldSpec(kind="categorical", level="lesion", column="region"),
}
SETTINGS = EvaluationParams(
    device="cpu", num_resamples=100, probe=ProbeParams(strengths=[1.0]), importance=ImportanceParams(num_draws=3)
)


@pytest.fixture
def table(telling_cohort, embedded):
    return measure_importance(replace(embedded(telling_cohort), fields=FIELDS), SETTINGS)


def test_a_field_that_is_the_label_matters_and_noise_does_not(table):
    drops = table[table["metric"] == "macro_auroc"].set_index(["method", "field"])
    for method in ("metadata_linear", "slimp"):
        label, noise = drops.loc[(method, "region")], drops.loc[(method, "age_years")]
        assert label["drop"] > 0.3 and label["ci_low"] > 0
        assert abs(noise["drop"]) < 0.1 and noise["ci_low"] <= 0.02


def test_a_row_stands_for_every_method_field_and_metric(table):
    assert list(table) == IMPORTANCE_COLUMNS
    assert not table.duplicated(["method", "field", "metric"]).any()
    assert len(table) == 2 * 2 * 3 and set(table["num_test_patients"]) == {54} and set(table["num_draws"]) == {3}
    levels = table.drop_duplicates("field").set_index("field")["level"].to_dict()
    assert levels == {"age_years": "patient", "region": "lesion"}


def test_what_it_drops_from_is_the_plain_probe(telling_cohort, embedded, table):
    chosen = {"protocols": ["linear_probe"], "features": ["image+lesion+patient"]}
    plain, _ = measure("small", predict(embedded(telling_cohort), SETTINGS.model_copy(update=chosen)), SETTINGS)
    plain = plain[(plain["draw"] == "all") & (plain["protocol"] == "linear_probe")].set_index("metric")["value"]
    for row in table[table["method"] == "slimp"].itertuples():
        assert row.intact == pytest.approx(plain[row.metric], rel=1e-9)


def test_a_field_whose_values_the_encoder_does_not_know_drops_nothing(small_cohort, embedded, tiny_encoder):
    checkpoint = tiny_encoder(small_cohort.encodings["fold_0"])
    small_cohort.lesions["region"] = small_cohort.lesions["region"].map({"arm": "bras", "face": "visage"})
    table = measure_importance(replace(embedded(small_cohort, checkpoint=checkpoint), fields=FIELDS), SETTINGS)
    unknown = table[(table["method"] == "slimp") & (table["field"] == "region")]
    assert (unknown[["drop", "ci_low", "ci_high"]] == 0).all(axis=None)


def test_a_cohort_of_images_alone_has_an_empty_table(small_cohort, embedded):
    target = embedded(small_cohort)
    empty = Encoding(lesion=LevelEncoding(fields={}), patient=LevelEncoding(fields={}), num_patients=36)
    target = small_cohort.target(
        rows=small_cohort.lesions.drop(columns=["age_years", "region"]),
        embeddings={name: values for name, values in target.embeddings.items() if name.endswith("image")},
        encodings=dict.fromkeys(small_cohort.encodings, empty),
        encoders=target.encoders,
    )
    assert measure_importance(replace(target, fields={}), SETTINGS).empty
    assert list(measure_importance(replace(target, fields=FIELDS), SETTINGS)) == IMPORTANCE_COLUMNS


def test_no_draws_measure_nothing(telling_cohort, embedded):
    none = SETTINGS.model_copy(update={"importance": ImportanceParams(num_draws=0)})
    assert measure_importance(replace(embedded(telling_cohort), fields=FIELDS), none).empty


def test_a_patient_level_field_goes_from_patient_to_patient():
    rows = pd.DataFrame({"patient_id": list("aabbbc"), "age_years": [1.0, 1, 2, 2, 2, 3], "other": range(6)})
    seen, owners = set(), owner_numbers(rows, FIELDS)["age_years"]
    for seed in range(20):
        permuted = permuted_rows(rows, ["age_years"], owners, np.random.default_rng(seed))
        of_patients = permuted.groupby("patient_id")["age_years"].unique()
        assert sorted(value for (value,) in of_patients) == [1, 2, 3]
        assert list(permuted["other"]) == list(range(6))
        seen.add(tuple(permuted["age_years"]))
    assert len(seen) > 3


def test_options_of_a_checkbox_move_together():
    field = FieldSpec(kind="checkbox", level="lesion", options={"itch": "a", "grew": "b"})
    rows = pd.DataFrame({"patient_id": list("abcd"), "s.itch": [1, 2, 3, 4], "s.grew": [10, 20, 30, 40]})
    permuted = permuted_rows(rows, field.table_columns("s"), np.arange(4), np.random.default_rng(2))
    assert (permuted["s.grew"] == 10 * permuted["s.itch"]).all() and sorted(permuted["s.itch"]) == [1, 2, 3, 4]
    assert list(permuted["s.itch"]) != [1, 2, 3, 4]
