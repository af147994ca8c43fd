"""Retrieval on a target's test rows."""

from math import comb

import numpy as np
import pandas as pd
import pytest
import torch

from slimp_pipeline.evaluation.protocols.retrieval import CHANCE, OUTCOME_COLUMNS, retrieve
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import (
    EvaluationParams,
    ImageEncoderParams,
    LossParams,
    MetadataEncoderParams,
    ModelParams,
    RetrievalParams,
)
from slimp_pipeline.tables.splits import partition

KS = [1, 3]
SETTINGS = EvaluationParams(device="cpu", retrieval=RetrievalParams(ks=KS))
OF_LESIONS = {"image to lesion", "lesion to image"}
OF_PATIENTS = {"phenotype to patient", "patient to phenotype"}
OF_BOTH = {"image to metadata", "metadata to image"}


def encoder(small_cohort, objective="slimp", seed=0):
    """An encoder of the small cohort's fields with random weights."""
    arguments = {"patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    image = ImageEncoderParams(name="vit_tiny_patch16_224", image_size=16, arguments=arguments)
    model = ModelParams(image_encoder=image, metadata_encoder=MetadataEncoderParams(dim=8), projection_dim=8)
    loss, encoding = LossParams(objective=objective), small_cohort.encodings["fold_0"]
    torch.manual_seed(seed)
    return Checkpoint(SLIMP(model, loss, encoding).state_dict(), model, loss, encoding)


@pytest.fixture
def cohort(small_cohort):
    """The small cohort with images as its encoders embed them, few enough ages that some patients' coincide."""
    rng = np.random.default_rng(1)
    image_ND = rng.normal(size=(120, 16)).astype(np.float32)
    small_cohort.embeddings = {"slimp.all.image": image_ND, "random_init.all.image": image_ND[::-1].copy()}
    small_cohort.lesions["age_years"] = np.repeat(rng.choice(np.arange(20.0, 90, 5), 60), 2)
    return small_cohort


def outcomes_of(cohort, encoders, lesions=None, settings=SETTINGS):
    lesions = cohort.lesions if lesions is None else lesions
    return retrieve(cohort.target(rows=lesions, encoders=encoders), settings)


def titles(outcomes):
    return set(outcomes["features"]) - {"image"}


def test_outcomes_of_every_query_by_hand_beside_chance():
    # An unlabelled row, i5, would be nearest to i0: it is no query and no key.
    degrees = np.deg2rad([0, 90, 10, 20, 80, 1])
    rows = pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(6)],
            "patient_id": ["a", "b", "c", "d", "d", "e"],
            "diagnosis": ["MEL", "NEV", "MEL", "NEV", "NEV", None],
            "malignant": pd.array([True, False, True, False, False, pd.NA], dtype="boolean"),
        }
    )
    splits = rows[["image_id", "patient_id"]].assign(split="train", fold=[0, 0, 1, 1, 1, 1])
    image_ND = np.stack([np.cos(degrees), np.sin(degrees)], axis=1)
    settings = EvaluationParams(retrieval=RetrievalParams(ks=[1, 2]))
    outcomes = retrieve(TargetCohort("hand", rows, splits, {"slimp.all.image": image_ND}), settings)
    assert list(outcomes)[: len(OUTCOME_COLUMNS)] == OUTCOME_COLUMNS
    assert (outcomes[["features", "protocol", "shots", "repeat"]] == ["image", "retrieval", "all", 0]).all(axis=None)
    names = ["precision_at_1", "precision_at_2", "mean_average_precision"]
    by_query = outcomes.set_index(["method", "image_id"])
    # Fold 0 sees the keys i2 (MEL), i3, i4 (NEV); fold 1 sees i0 (MEL), i1 (NEV).
    expected = {
        ("slimp", "i0"): [1, 1 / 2, 1],
        ("slimp", "i1"): [1, 1, 1],
        ("slimp", "i2"): [1, 1 / 2, 1],
        ("slimp", "i3"): [0, 1 / 2, 1 / 2],
        ("slimp", "i4"): [1, 1 / 2, 1],
        (CHANCE, "i0"): [1 / 3, 1 / 3, (1 + 1 / 2 + 1 / 3) / 3],  # the one relevant key comes first, second or third
        (CHANCE, "i1"): [2 / 3, 2 / 3, (1 + 5 / 6 + 7 / 12) / 3],  # relevant are ranks 1 2, 1 3 or 2 3
        (CHANCE, "i2"): [1 / 2, 1 / 2, 3 / 4],
        (CHANCE, "i3"): [1 / 2, 1 / 2, 3 / 4],
        (CHANCE, "i4"): [1 / 2, 1 / 2, 3 / 4],
    }
    assert set(by_query.index) == set(expected) and not by_query.index.duplicated().any()
    for place, values in expected.items():
        np.testing.assert_allclose(by_query.loc[place, names].astype(float), values, err_msg=str(place))
    assert outcomes.groupby("draw")["num_train_patients"].unique().map(list).to_dict() == {"0": [2], "1": [2]}
    assert by_query.loc["slimp", "patient_id"].to_dict() == {"i0": "a", "i1": "b", "i2": "c", "i3": "d", "i4": "d"}


def test_counterparts_are_found_as_by_a_slow_loop_among_the_test_rows_of_each_fold(cohort):
    checkpoint = encoder(cohort)
    outcomes = outcomes_of(cohort, {"slimp": {"all": checkpoint}})
    assert titles(outcomes) == OF_LESIONS | OF_PATIENTS
    num_checked = 0
    for draw, name in [("0", "fold_0"), ("2", "fold_2"), ("holdout", "holdout")]:
        _, test_N = partition(cohort.splits, name)
        image_ND, rows = cohort.embeddings["slimp.all.image"][test_N], cohort.lesions[test_N]
        sides = PretrainedSLIMP(checkpoint).contrast(image_ND, rows)
        ids = {"lesion": rows["image_id"], "patient": rows.drop_duplicates("patient_id")["image_id"]}
        directions = {
            "image to lesion": ("lesion", 0, 1),
            "lesion to image": ("lesion", 1, 0),
            "phenotype to patient": ("patient", 0, 1),
            "patient to phenotype": ("patient", 1, 0),
        }
        for title, (contrast, query, key) in directions.items():
            query_ND, key_ND, groups_N = sides[contrast][query], sides[contrast][key], sides[contrast][2]
            own = outcomes[(outcomes["draw"] == draw) & (outcomes["features"] == title)]
            found = own[own["method"] == "slimp"].set_index("image_id")
            chance = own[own["method"] == CHANCE].set_index("image_id")
            assert list(found.index) == list(chance.index) == list(ids[contrast])
            for i, image_id in enumerate(ids[contrast]):
                cosines = [
                    (query_ND[i] @ key / np.linalg.norm(query_ND[i]) / np.linalg.norm(key), group == groups_N[i])
                    for key, group in zip(key_ND, groups_N, strict=True)
                ]
                ranked = [is_own for _, is_own in sorted(cosines, key=lambda pair: -pair[0])]
                num_keys, num_wrong = len(groups_N), int((groups_N != groups_N[i]).sum())
                for k in KS:
                    assert found.loc[image_id, f"recall_at_{k}"] == any(ranked[:k]), (title, image_id)
                    by_chance = 1 - comb(num_wrong, k) / comb(num_keys, k)
                    assert chance.loc[image_id, f"recall_at_{k}"] == pytest.approx(by_chance)
                num_checked += 1
    assert num_checked == 2 * (36 + 36 + 12) + 2 * (18 + 18 + 6)  # a patient with two images queries once


def test_an_outcome_that_does_not_apply_is_missing(cohort):
    outcomes = outcomes_of(cohort, {"slimp": {"all": encoder(cohort)}})
    by_class = ["precision_at_1", "precision_at_3", "mean_average_precision"]
    by_partner = ["recall_at_1", "recall_at_3"]
    assert "average_precision" not in outcomes
    of_images = outcomes["features"] == "image"
    assert outcomes.loc[of_images, by_class].notna().all(axis=None)
    assert outcomes.loc[of_images, by_partner].isna().all(axis=None)
    assert outcomes.loc[~of_images, by_class].isna().all(axis=None)
    assert outcomes.loc[~of_images, by_partner].notna().all(axis=None)


@pytest.mark.parametrize(
    ("objective", "absent", "expected"),
    [
        ("slimp", [], OF_LESIONS | OF_PATIENTS),
        ("slimp", ["age_years"], OF_LESIONS),
        ("slimp", ["region"], OF_PATIENTS),
        ("slimp", ["age_years", "region"], set()),
        ("inner_only", [], OF_LESIONS),
        ("outer_only", [], OF_PATIENTS),
        ("flat", [], OF_BOTH),
        ("flat", ["region"], OF_BOTH),
        ("flat", ["age_years", "region"], set()),
        ("simclr", [], set()),
    ],
)
def test_what_the_objective_projects_is_compared_as_far_as_the_target_has_the_level(
    cohort, objective, absent, expected
):
    cohort.embeddings = {f"{objective}.all.image": cohort.embeddings["slimp.all.image"]}
    encoders = {objective: {"all": encoder(cohort, objective)}}
    outcomes = outcomes_of(cohort, encoders, cohort.lesions.drop(columns=absent))
    assert titles(outcomes) == expected
    assert set(outcomes["method"]) == {objective, CHANCE}
    assert set(outcomes["draw"]) == {"0", "1", "2", "holdout"}


def test_chance_stands_once_beside_several_methods_and_images_of_all_methods_query(cohort):
    image_ND = cohort.embeddings["slimp.all.image"]
    cohort.embeddings["outer_only.all.image"] = image_ND + 1
    encoders = {"slimp": {"all": encoder(cohort)}, "outer_only": {"all": encoder(cohort, "outer_only", seed=1)}}
    outcomes = outcomes_of(cohort, encoders)
    assert not outcomes.duplicated(["method", "features", "draw", "image_id"]).any()
    methods = outcomes.groupby("features")["method"].agg(set).to_dict()
    assert methods["image"] == {"slimp", "random_init", "outer_only", CHANCE}
    assert methods["image to lesion"] == {"slimp", CHANCE}
    assert methods["phenotype to patient"] == {"slimp", "outer_only", CHANCE}
    counts = outcomes.groupby(["features", "method"]).size()
    assert (counts["image"] == 120).all() and (counts["lesion to image"] == 120).all()
    assert (counts["patient to phenotype"] == 60).all()


def test_each_fold_is_queried_by_the_encoder_that_was_trained_for_it(cohort):
    one, other = encoder(cohort, seed=1), encoder(cohort, seed=2)
    mixed = outcomes_of(cohort, {"slimp": {"fold_0": one, "fold_1": other}})
    partners = mixed[mixed["features"] != "image"]
    assert set(partners["draw"]) == {"0", "1"}  # nothing is trained for the others, nor for all
    assert set(mixed.loc[mixed["features"] == "image", "draw"]) == {"0", "1", "2", "holdout"}
    found = []
    for draw, checkpoint in (("0", one), ("1", other)):
        plain = outcomes_of(cohort, {"slimp": {"all": checkpoint}})
        plain = plain[(plain["features"] != "image") & (plain["draw"] == draw)]
        own = partners[partners["draw"] == draw]
        pd.testing.assert_frame_equal(own.reset_index(drop=True), plain.reset_index(drop=True))
        found.append(own.loc[own["method"] == "slimp", "recall_at_3"].to_numpy())
    assert not np.array_equal(*found)


def test_an_encoder_that_has_learnt_the_classes_is_above_chance_and_noise_is_not(small_cohort):
    outcomes = retrieve(small_cohort.target(), small_cohort.settings)
    value = outcomes.groupby("method")["precision_at_5"].mean()
    assert value["slimp"] > value[CHANCE] + 0.4
    assert value["random_init"] == pytest.approx(value[CHANCE], abs=0.08)
    assert value[CHANCE] == pytest.approx(1 / 3, abs=0.02)


def test_retrieval_that_is_not_asked_for_is_not_run(cohort):
    assert outcomes_of(cohort, {}, settings=SETTINGS.model_copy(update={"protocols": ["knn"]})).empty
