"""Suspects of all kinds in one table."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.parameters import EvaluationParams, InspectionParams, ProbeParams
from slimp_pipeline.quality.suspects import (
    KIND_TITLES,
    SUSPECT_COLUMNS,
    decision_template,
    find_suspects,
    inspected_pictures,
)

EVALUATION = EvaluationParams(device="cpu", probe=ProbeParams(strengths=[10.0], num_inner_folds=2))
COUNT = 60


@pytest.fixture
def cohort(make_pictures):
    """Sixty pictures of as many patients, two labels that are clouds; a copy, a stranger, a dark one, a wrong label."""
    rng = np.random.default_rng(0)
    label_N = np.arange(COUNT) % 2
    embedding_ND = np.zeros((COUNT, 4), dtype=np.float32)
    embedding_ND[:, :2] = 3 * np.eye(2)[label_N]
    embedding_ND += rng.normal(0, 0.3, (COUNT, 4)).astype(np.float32)
    hashes = rng.integers(2**64, size=COUNT, dtype=np.uint64)
    digests = [f"s{n}" for n in range(COUNT)]
    embedding_ND[1], hashes[1], digests[1] = embedding_ND[3], hashes[3], digests[3]
    embedding_ND[10] = [0, 0, -5, 5]
    diagnosis = np.array(["melanoma", "nevus"], dtype=object)[label_N]
    diagnosis[20] = "nevus"
    pictures = make_pictures(hashes.tolist(), sha256=digests, diagnosis=diagnosis)
    measures = pd.DataFrame(
        {
            "image_id": pictures["image_id"], "width_px": 300, "height_px": 300,
            "darkest_shade": rng.normal(60, 5, COUNT), "brightest_shade": rng.normal(190, 5, COUNT),
            "entropy_bits": rng.uniform(6, 7, COUNT), "sharpness": rng.uniform(0.3, 0.5, COUNT),
        }
    )  # fmt: skip
    measures.loc[30, ["darkest_shade", "brightest_shade"]] = [0.0, 40.0]
    return pictures, embedding_ND, measures


def find(cohort, **settings):
    pictures, embedding_ND, measures = cohort
    chosen = InspectionParams(**{"num_neighbours": 5, "min_deviations": 6, **settings})
    return find_suspects(pictures, embedding_ND, measures, chosen, EVALUATION, 3)


def test_every_planted_fault_is_the_first_of_its_kind_with_a_reason_in_words(cohort):
    suspects = find(cohort)
    assert list(suspects) == SUSPECT_COLUMNS
    first = suspects[suspects["rank"] == 1].set_index("kind")
    assert first["image_id"].to_dict() == {
        "near_duplicate": "i1",
        "off_topic": "i10",
        "dark": "i30",
        "wrong_label": "i20",
    }
    assert first["other_image_id"]["near_duplicate"] == "i3" and first["other_image_id"]["off_topic"] == ""
    why = first["why"]
    assert why["near_duplicate"] == "the same bytes; different patients"
    assert why["off_topic"].startswith("5 pictures of other patients within ") and "is usual" in why["off_topic"]
    assert why["dark"] == "1 % of its pixels are brighter than 40 of 255; 189 is usual"
    assert why["wrong_label"].startswith("labelled nevus; melanoma is ")
    assert first["hash_distance_bits"]["near_duplicate"] == 0 and pd.isna(first["hash_distance_bits"]["dark"])
    assert first["embedding_distance"]["near_duplicate"] == 0
    assert first["relation"].to_dict()["near_duplicate"] == "different patients" and first["relation"]["dark"] == ""


def test_ranks_count_from_one_within_each_kind_and_kinds_stand_in_order(cohort):
    suspects = find(cohort)
    for _, own in suspects.groupby("kind"):
        assert own["rank"].tolist() == list(range(1, len(own) + 1))
        assert own["score"].is_monotonic_decreasing
    kinds = list(dict.fromkeys(suspects["kind"]))
    assert kinds == [kind for kind in KIND_TITLES if kind in kinds]


def test_no_kind_has_more_suspects_than_are_asked_for(cohort):
    whole, short = find(cohort), find(cohort, max_suspects=3)
    assert short["kind"].value_counts().max() == 3
    expected = whole[whole["rank"] <= 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(short, expected)


def test_suspects_dont_depend_on_the_order_of_pictures(cohort):
    pictures, embedding_ND, measures = cohort
    order = np.random.default_rng(1).permutation(COUNT)
    turned = (
        pictures.iloc[order].reset_index(drop=True),
        embedding_ND[order],
        measures.iloc[order].reset_index(drop=True),
    )
    for table in (one := find(cohort), other := find(turned)):
        pair = table[["image_id", "other_image_id"]].to_numpy()
        table["pair"] = [
            " ".join(sorted(ids)) if kind == "near_duplicate" else ids[0]
            for ids, kind in zip(pair, table["kind"], strict=True)
        ]
    for kind in ("near_duplicate", "off_topic", "dark"):  # labels are judged by folds that are drawn in order
        scores = [table[table["kind"] == kind].set_index("pair")["score"].sort_index() for table in (one, other)]
        pd.testing.assert_series_equal(*scores, rtol=1e-6)


def test_an_embedding_that_is_not_finite_is_named_by_its_image(cohort):
    cohort[1][7, 2] = np.inf
    with pytest.raises(ValueError, match="the embedding of image i7 holds values that aren't finite"):
        find(cohort)


def test_the_template_names_every_suspect_image_once_undecided(cohort):
    suspects = find(cohort, max_suspects=4)
    template = decision_template(suspects)
    pairs = suspects[suspects["kind"] == "near_duplicate"]
    assert list(template) == ["image_id", "decision", "note"] and template["image_id"].is_unique
    assert set(template["image_id"]) == {*suspects["image_id"], *pairs["other_image_id"]}
    assert template["decision"].eq("").all()
    assert template.head(2).to_numpy().tolist() == [["i1", "", "i3"], ["i3", "", "i1"]]
    alone = set(suspects["image_id"]) - {*pairs["image_id"], *pairs["other_image_id"]}
    assert alone and template.set_index("image_id").loc[sorted(alone), "note"].eq("").all()


class Store:
    def pictures(self, rows):
        return rows.dropna(subset="store_index").assign(sha256="s", perceptual_hash=np.uint64(1))


def test_pictures_are_inspected_in_the_order_of_their_ids_and_rows_without_one_are_not():
    lesions = pd.DataFrame({"image_id": ["c", "a", "b"], "store_index": pd.array([0, 1, None], dtype="Int64")})
    assert inspected_pictures(lesions, Store())["image_id"].tolist() == ["a", "c"]
    with pytest.raises(ValueError, match="none of the cohort's 1 rows has an image"):
        inspected_pictures(lesions.iloc[2:], Store())
