"""Evaluation of an encoder and a cohort of three levels."""

from dataclasses import replace

import numpy as np
import pytest

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.audits.changed_metadata import read_changed
from slimp_pipeline.evaluation.audits.importance import measure_importance
from slimp_pipeline.evaluation.audits.perturbation import Condition, conditions, perturbed_rows
from slimp_pipeline.evaluation.features.sets import Features
from slimp_pipeline.evaluation.features.transfer import fields_read
from slimp_pipeline.evaluation.protocols.pairs import find_pairs
from slimp_pipeline.evaluation.protocols.retrieval import CHANCE, retrieve
from slimp_pipeline.evaluation.task import make_task, task_splits
from slimp_pipeline.parameters import (
    EvaluationParams,
    ImportanceParams,
    ProbeParams,
    RobustnessParams,
)
from slimp_pipeline.tables.encoding import LevelEncoding, NumericEncoding

FIELDS = {
    "hair": FieldSpec(kind="numeric", level="image", column="hair"),
    "region": FieldSpec(kind="categorical", level="lesion", column="region", categories=["arm", "face"]),
    "age_years": FieldSpec(kind="numeric", level="patient", column="age"),
}
SETTINGS = EvaluationParams(
    device="cpu", num_resamples=20, probe=ProbeParams(strengths=[1.0]), importance=ImportanceParams(num_draws=1)
)


@pytest.fixture
def target(small_cohort, embedded):
    """Both pictures of every second patient show one lesion; the others' show two."""
    rng = np.random.default_rng(0)
    rows = small_cohort.lesions
    patient_N = rows["patient_id"].factorize()[0]
    one_N = patient_N % 2 == 0
    rows["lesion_id"] = np.where(one_N, "both", rows["image_id"])
    rows["region"] = rows["region"].where(~one_N, "arm")
    rows["hair"] = rng.integers(0, 6, len(rows)) / 5
    hair = LevelEncoding(fields={"hair": NumericEncoding(mean=0.5, std=0.3, minimum=0.0, maximum=1.0)})
    small_cohort.encodings = {n: own.model_copy(update={"image": hair}) for n, own in small_cohort.encodings.items()}
    return replace(embedded(small_cohort), fields=FIELDS)


def test_pictures_lesions_and_patients_query_once_each(target):
    outcomes = retrieve(target, SETTINGS)
    counts = outcomes.groupby(["features", "method"]).size()
    num_lesions = len(target.rows.drop_duplicates(["patient_id", "lesion_id"]))
    for title, count in (
        ("image to picture", len(target.rows)),
        ("lesion to pictures", num_lesions),
        ("pictures to lesion", num_lesions),
        ("patient to phenotype", target.rows["patient_id"].nunique()),
    ):
        assert counts[title, "slimp"] == counts[title, CHANCE] == count
    assert not {"image to lesion", "lesion to image"} & set(outcomes["features"])


def test_pictures_are_shown_beside_metadata_of_their_own(target):
    table = find_pairs(target, SETTINGS)
    assert set(table["level"]) == {"image"} and set(table["fields"]) == {"hair"}


def test_metadata_of_all_levels_are_read(target):
    task = make_task(target.rows, target.splits, SETTINGS)
    split = next(task_splits(task, target.name))
    with_hair, without = (Features(each, task).metadata(split) for each in (target, without_hair(target)))
    assert with_hair.shape[1] == without.shape[1] + 1
    (tested, linear) = read_changed(target, task, split, [target.rows[split.test_N]], SETTINGS, with_starts=False)
    assert tested.features == "image+lesion+patient" and tested.fields == linear.fields == set(FIELDS)
    assert tested.intact[1].shape[1] == 2 * tested.intact[2].shape[1]
    read = fields_read(target.encoders["slimp"]["all"].encoding, target.rows)
    assert dict(zip(read["field"], read["level"], strict=True)) == {name: f.level for name, f in FIELDS.items()}


def without_hair(target):
    nothing = LevelEncoding(fields={})
    bare = {name: encoding.model_copy(update={"image": nothing}) for name, encoding in target.encodings.items()}
    return replace(target, encodings=bare)


def test_every_field_has_its_importance(target):
    importance = measure_importance(target, SETTINGS)
    levels = importance.drop_duplicates("field").set_index("field")["level"].to_dict()
    assert levels == {name: field.level for name, field in FIELDS.items()}


@pytest.mark.parametrize("kind", ["dropped", "corrupted"])
def test_the_pictures_of_a_lesion_lose_its_fields_together(target, kind):
    train_N = np.arange(len(target.rows)) < 20
    after = perturbed_rows(target.rows, FIELDS, Condition(kind, 0.5, 0), train_N, seed=0)
    pairs = after[~train_N & target.rows["lesion_id"].eq("both").to_numpy()].groupby("patient_id")
    pairs = pairs.filter(lambda own: len(own) == 2).groupby("patient_id")
    assert (pairs["region"].nunique(dropna=False) == 1).all()
    assert (pairs["hair"].nunique(dropna=False) == 2).any()


def test_the_level_of_pictures_is_left_out_too_where_there_is_one(target):
    listed = [condition.kind for condition in conditions(RobustnessParams(shares=[], num_draws=1), FIELDS)]
    assert listed == ["intact", "no patient level", "no lesion level", "no image level"]
    train_N = np.zeros(len(target.rows), dtype=bool)
    after = perturbed_rows(target.rows, FIELDS, Condition("no image level", 1.0, 0), train_N, 0)
    assert after["hair"].isna().all() and after["region"].notna().any()
