"""What pictures and metadata find of one another."""

from dataclasses import replace

import numpy as np
import pytest

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.protocols.pairs import FOUND_COLUMNS, TO_IMAGE, TO_METADATA, find_pairs
from slimp_pipeline.evaluation.protocols.ranking import nearest_keys, rank_of_own, recall_at_k
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import EvaluationParams, RetrievalParams

SETTINGS = EvaluationParams(device="cpu")
FIELDS = {
    "age_years": FieldSpec(kind="numeric", level="patient", column="age"),
    "region": FieldSpec(kind="categorical", level="lesion", column="region", categories=["arm", "face"]),
}


def test_ranks_and_nearest_keys_by_hand():
    query = np.array([[1.0, 0], [0, 1], [1, 0]])
    key = np.array([[0.0, 1], [1, 0.1], [1, 0]])
    assert rank_of_own(query, key, np.array([0, 1, 2])).tolist() == [3, 2, 1]
    assert rank_of_own(query, key, np.array([0, 1, 0])).tolist() == [1, 2, 1]  # the third is as good for the first
    assert rank_of_own(query, key, np.array([0, 1, 2]), np.array([2])).tolist() == [1]
    assert nearest_keys(query, key, 2).tolist() == [[2, 1], [0, 1], [2, 1]]
    assert nearest_keys(query, key, 9).shape == (3, 3)


def test_keys_as_near_as_the_own_one_come_before_it():
    assert rank_of_own(np.ones((4, 2)), np.ones((4, 2)), np.arange(4)).tolist() == [4, 4, 4, 4]


def test_queries_find_what_the_projections_say(small_cohort, embedded):
    target = embedded(small_cohort)
    table = find_pairs(replace(target, fields=FIELDS), SETTINGS)
    assert list(table) == FOUND_COLUMNS
    test = small_cohort.splits["fold"].eq(0).to_numpy()
    assert len(table) == 2 * test.sum() * 3 and set(table["num_keys"]) == {test.sum()}
    assert set(table["level"]) == {"lesion"} and set(table["fields"]) == {"region"}
    (checkpoint,) = target.encoders["slimp"].values()
    sides = PretrainedSLIMP(checkpoint).contrast(target.embeddings["slimp.all.image"][test], target.rows[test])
    image, metadata, groups = sides["lesion"]
    ids = target.rows["image_id"].to_numpy()[test]
    for direction, query, key in ((TO_METADATA, image, metadata), (TO_IMAGE, metadata, image)):
        own = table[table["direction"] == direction]
        assert set(own["query_image_id"]) == set(ids) and own["place"].tolist() == [1, 2, 3] * test.sum()
        first = own[own["place"] == 1].set_index("query_image_id")
        recall = recall_at_k(query, key, groups, [1, 5])
        assert (first.loc[ids, "rank_of_own"] <= 5).tolist() == (recall["recall_at_5"] == 1).tolist()
        shown = own[own["is_own"]].groupby("query_image_id")["place"].min()
        assert (own.drop_duplicates("query_image_id").set_index("query_image_id")["rank_of_own"] >= 1).all()
        assert all(first.loc[name, "rank_of_own"] >= place for name, place in shown.items())


def test_free_texts_are_not_among_the_fields_to_be_shown(small_cohort, embedded):
    typed = FIELDS | {"region": FieldSpec(kind="categorical", level="lesion", column="region")}
    assert set(find_pairs(replace(embedded(small_cohort), fields=typed), SETTINGS)["fields"]) == {""}


def test_flat_contrast_finds_both_levels(small_cohort, embedded):
    table = find_pairs(replace(embedded(small_cohort, "flat"), fields=FIELDS), SETTINGS)
    assert set(table["level"]) == {"lesion and patient"} and set(table["fields"]) == {"region, age_years"}


@pytest.mark.parametrize("objective", ["outer_only", "simclr"])
def test_objectives_that_compare_no_pictures_with_metadata_find_nothing(small_cohort, embedded, objective):
    assert find_pairs(replace(embedded(small_cohort, objective), fields=FIELDS), SETTINGS).empty


def test_rows_that_metadata_do_not_tell_apart_find_nothing(small_cohort, embedded):
    small_cohort.lesions["region"] = "arm"
    assert find_pairs(replace(embedded(small_cohort), fields=FIELDS), SETTINGS).empty


def test_of_many_queries_so_many_are_asked_and_none_where_none_is_shown(small_cohort, embedded):
    target = embedded(small_cohort)
    few = SETTINGS.model_copy(update={"retrieval": RetrievalParams(max_queries=4, num_shown=2)})
    table = find_pairs(replace(target, fields=FIELDS), few)
    assert table.groupby("direction").size().tolist() == [8, 8] and set(table["num_keys"]) == {36}
    none = SETTINGS.model_copy(update={"retrieval": RetrievalParams(num_shown=0)})
    assert find_pairs(replace(target, fields=FIELDS), none).empty
