"""Who lends to whom, and what borrowed metadata are worth."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.extrapolation import run
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import EvaluationParams, ExtrapolationParams, ProbeParams
from slimp_pipeline.tables.encoding import Encoding, LevelEncoding, NumericEncoding
from slimp_pipeline.tables.splits import partition, partition_names

FIELDS = {
    "age_years": FieldSpec(kind="numeric", level="patient", column="age"),
    "site": FieldSpec(kind="categorical", level="lesion", column="site"),
}
SETTINGS = EvaluationParams(device="cpu", num_resamples=80, probe=ProbeParams(strengths=[1.0]))
OTHER_COHORT = {"all": SimpleNamespace(name="all", facts={}, loss=SimpleNamespace(objective="slimp"))}
BIG = 2**63 + 5  # a hash that float64 can't hold to the last bit


class Store(ImageStore):
    """Checksums and hashes by row, as an image store has them."""

    def __init__(self, sha256, perceptual_hash):
        self.columns = {"sha256": sha256, "perceptual_hash": perceptual_hash}

    def __len__(self):
        return len(self.columns["sha256"])

    def table(self):
        return pd.DataFrame(self.columns)


def side(name, patients, *, store=None, store_index=None, ages=None):
    number = range(len(patients))
    rows = pd.DataFrame(
        {
            "image_id": [f"{name}{n}" for n in number],
            "patient_id": patients,
            "lesion_id": [f"{name}-lesion{n}" for n in number],
            "store_index": pd.array(store_index or number, dtype="Int64"),
            "age_years": ages if ages is not None else [float(n) for n in number],
            "site": [f"{name}-site{n}" for n in number],
        }
    )
    start = 1000 * (1 + ord(name[0]))  # no picture of one cohort is in the other
    unique = Store([f"{name}-sha{n}" for n in number], np.arange(start, start + len(patients), dtype=np.uint64))
    return run.Side(rows, store or unique, rows)


def extrapolate(
    patch, reference, target, embeddings, *, lenders=None, encoders=OTHER_COHORT, same_people=False, bits=0, **settings
):
    """Extrapolate with image embeddings given by what they are of: `target all`, `reference all`, `target fold_0`."""

    def look_up(encoders, rows, store, settings, of):
        values = {name: np.float32(embeddings[f"{of.removeprefix('the ')} {name}"]) for name in encoders}
        assert all(len(values[name]) == len(rows) and encoder.name == name for name, encoder in encoders.items())
        return values

    patch.setattr(run, "embed_images", look_up)
    patch.setattr(run, "PretrainedSLIMP", lambda checkpoint, *rest: checkpoint)
    lenders = lenders or {"all": reference.rows["image_id"]}
    neighbours = ExtrapolationParams(**settings)
    lending = run.Lending(reference, target, same_people)
    return run.extrapolate(lending, FIELDS, lenders, encoders, neighbours, SETTINGS, near_duplicate_bits=bits)


@pytest.fixture
def lend(monkeypatch):
    return partial(extrapolate, monkeypatch)


# Two target rows along the axes; three reference rows: along x, along y, and near y.
TARGET, REFERENCE = [[2, 0], [0, 3]], [[1, 0], [0, 1], [3, 4]]


def lenders(borrowed):
    return borrowed["nearest_image_id"].tolist()


def test_every_row_borrows_the_fields_of_its_nearest_reference_row(lend):
    reference, target = side("r", ["a", "b", "c"], ages=[30.0, 40.0, 50.0]), side("t", ["p", "q"])
    borrowed, embeddings = lend(reference, target, {"target all": TARGET, "reference all": [*REFERENCE[1:], [5, 0]]})
    assert lenders(borrowed) == ["r2", "r0"]
    assert borrowed["image_id"].tolist() == ["t0", "t1"] and borrowed["patient_id"].tolist() == ["p", "q"]
    assert borrowed["age_years"].tolist() == [50.0, 30.0] and borrowed["site"].tolist() == ["r-site2", "r-site0"]
    assert set(borrowed["partition"]) == {"all"}
    np.testing.assert_allclose(borrowed["similarity"], [1, 1])
    np.testing.assert_array_equal(embeddings["all"], np.float32(TARGET))
    assert set(borrowed) == {
        *("partition", "image_id", "patient_id", "similarity", "nearest_image_id", "age_years", "site")
    }


def test_several_neighbours_lend_their_mean_and_the_nearest_is_named(lend):
    reference, target = side("r", ["a", "b", "c"], ages=[30.0, 40.0, 50.0]), side("t", ["p", "q"])
    embeddings = {"target all": TARGET, "reference all": REFERENCE}
    borrowed, _ = lend(reference, target, embeddings, num_neighbours=2, temperature=1.0)
    # Cosines of t0: 1 to r0, 0.6 to r2, 0 to r1. Weights e^1 and e^0.6: 0.5987 and 0.4013.
    assert borrowed["age_years"].iloc[0] == pytest.approx((30 * np.e + 50 * np.exp(0.6)) / (np.e + np.exp(0.6)))
    assert lenders(borrowed) == ["r0", "r1"]
    np.testing.assert_allclose(borrowed["similarity"], [1, 1])


@pytest.mark.parametrize(
    ("sha256", "perceptual_hash"),
    [
        (["t-sha0", "x", "y"], [1, 2, 3]),  # the same bytes
        (["v", "x", "y"], [BIG, 2, 3]),  # the same look, saved anew
    ],
)
def test_the_same_picture_never_lends_to_itself(lend, sha256, perceptual_hash):
    target = side("t", ["p", "q"], store=Store(["t-sha0", "t-sha1"], np.array([BIG, 77], dtype=np.uint64)))
    reference = side("r", ["a", "b", "c"], store=Store(sha256, np.array(perceptual_hash, dtype=np.uint64)))
    borrowed, _ = lend(reference, target, {"target all": TARGET, "reference all": REFERENCE})
    assert lenders(borrowed) == ["r2", "r1"]  # r0, nearest to t0, is its own picture


def test_nearly_the_same_picture_lends_to_itself_no_more_than_the_same_id_or_lesion(lend):
    target = side("t", ["p", "q"], store=Store(["t0", "t1"], np.array([BIG, 77], dtype=np.uint64)))
    near = Store(["a", "b", "c"], np.array([BIG ^ 5, 0xFFFF, 0xF0F0F0], dtype=np.uint64))  # two bits away
    embeddings = {"target all": TARGET, "reference all": REFERENCE}
    assert lenders(lend(side("r", ["a", "b", "c"], store=near), target, embeddings, bits=1)[0]) == ["r0", "r1"]
    assert lenders(lend(side("r", ["a", "b", "c"], store=near), target, embeddings, bits=2)[0]) == ["r2", "r1"]
    for column in ("image_id", "lesion_id"):
        reference = side("r", ["a", "b", "c"])
        reference.rows.loc[0, column] = target.rows.loc[0, column]
        assert lenders(lend(reference, target, embeddings)[0])[0] == "r2"


def test_the_same_look_is_found_where_one_store_has_a_refused_image(lend):
    target = side("t", ["p", "q"], store=Store(["a", "b"], np.array([BIG, 77], dtype=np.uint64)))
    hashes = pd.Series([BIG, 2, 3, None], dtype="UInt64")
    reference = side("r", ["a", "b", "c"], store=Store(["v", "x", "y", None], hashes))
    borrowed, _ = lend(reference, target, {"target all": TARGET, "reference all": REFERENCE})
    assert lenders(borrowed) == ["r2", "r1"]


def test_pictures_are_looked_up_by_their_row_in_the_store(lend):
    target = side("t", ["p", "q"], store=Store(["a", "b", "c"], np.arange(3, dtype=np.uint64)), store_index=[2, 0])
    store = Store(["v", "c", "y"], np.array([11, 12, 13], dtype=np.uint64))
    reference = side("r", ["a", "b", "c"], store=store, store_index=[1, 2, 0])  # r0 has t0's bytes
    borrowed, _ = lend(reference, target, {"target all": TARGET, "reference all": REFERENCE})
    assert lenders(borrowed) == ["r2", "r1"]


def test_the_same_patient_lends_only_where_equal_ids_are_other_people(lend):
    reference, target = side("r", ["p", "b", "c"]), side("t", ["p", "q"])
    embeddings = {"target all": TARGET, "reference all": REFERENCE}
    assert lenders(lend(reference, target, embeddings, same_people=False)[0]) == ["r0", "r1"]
    assert lenders(lend(reference, target, embeddings, same_people=True)[0]) == ["r2", "r1"]


def test_a_reference_of_fewer_rows_than_neighbours_is_refused(lend):
    reference, target = side("r", ["p", "b"]), side("t", ["p", "q"])
    embeddings = {"target all": TARGET, "reference all": REFERENCE[:2]}
    with pytest.raises(ValueError, match=r"the reference has 2 rows, 3 neighbours .*num_neighbours lower"):
        lend(reference, target, embeddings, num_neighbours=3)
    with pytest.raises(ValueError, match=r"2 neighbours are asked for, but 1 of 2 queries"):  # t0's patient is left out
        lend(reference, target, embeddings, num_neighbours=2, same_people=True)


def cross_fitted(fold_of_patient, seed):
    """A cohort of two images per patient, some pictures twice, with embeddings of its own in each partition."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(len(fold_of_patient)), 2)
    count = len(patient)
    store = Store([f"s{n}" for n in rng.integers(count, size=count)], rng.integers(count, size=count, dtype=np.uint64))
    own = side("t", [f"p{n}" for n in patient], store=store, store_index=rng.permutation(count).tolist())
    fold = np.array(fold_of_patient)[patient]
    splits = own.rows[["image_id", "patient_id"]].assign(fold=fold, split=np.where(fold < 0, "test", "train"))
    embeddings = {f"target {name}": rng.normal(size=(count, 3)) for name in partition_names(splits)}
    return own, splits.sample(frac=1, random_state=seed), embeddings


def slow_lenders(own, splits, embeddings):
    """Nearest training row of the partition, of another patient and another picture; None where there is none."""
    found = {}
    splits = splits.set_index("image_id").loc[own.rows["image_id"]].reset_index()
    table = own.store.table().loc[own.rows["store_index"].astype(int)].reset_index(drop=True)
    for label, values in embeddings.items():
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
        name = label.removeprefix("target ")
        may_lend = partition(splits, name)[0]
        for q in range(len(values)):
            allowed = [
                r
                for r in np.flatnonzero(may_lend)
                if own.rows["patient_id"][r] != own.rows["patient_id"][q]
                and table["sha256"][r] != table["sha256"][q]
                and table["perceptual_hash"][r] != table["perceptual_hash"][q]
            ]
            best = max(allowed, key=lambda r: unit[r] @ unit[q], default=None)
            found[name, own.rows["image_id"][q]] = None if best is None else own.rows["image_id"][best]
    return found


@settings(max_examples=12)
@given(st.lists(st.sampled_from([-1, 0, 1, 2]), min_size=6, max_size=9), st.integers(0, 99))
def test_within_one_cohort_each_partition_borrows_from_its_own_training_rows(fold_of_patient, seed):
    own, splits, embeddings = cross_fitted([0, 1, *fold_of_patient], seed)
    encoders = {label.removeprefix("target "): SimpleNamespace(name=label.split(" ")[1]) for label in embeddings}
    expected = slow_lenders(own, splits, embeddings)
    lenders = {name: splits.loc[partition(splits, name)[0], "image_id"] for name in encoders}
    with pytest.MonkeyPatch.context() as patch:
        lend = partial(extrapolate, patch, own, own, embeddings, lenders=lenders, encoders=encoders, same_people=True)
        if None in expected.values():
            with pytest.raises(ValueError, match="fewer"):
                lend()
            return
        borrowed, image_embeddings = lend()
    places = list(zip(borrowed["partition"], borrowed["image_id"], strict=True))
    assert dict(zip(places, borrowed["nearest_image_id"], strict=True)) == expected
    assert len(places) == len(expected) and set(image_embeddings) == set(encoders)
    ages = own.rows.set_index("image_id")["age_years"]
    assert (borrowed["age_years"].to_numpy() == ages[borrowed["nearest_image_id"]].to_numpy()).all()


def test_of_several_cohorts_all_lend_that_the_partition_was_trained_on_and_each_picture_is_its_own(lend):
    """The target's t0, t1 and r0, r1 of another cohort; fold_0 tests t0. Row 1 of the common store has t1's bytes."""
    target = side("t", ["p", "q"], store=Store(["a", "b"], np.array([1, 2], dtype=np.uint64)))
    store = Store(["b", "a", "x", "y"], np.array([2, 1, 3, 4], dtype=np.uint64))
    own = side("t", ["p", "q"], store_index=[1, 0]).rows.assign(image_id=["t:t0", "t:t1"], patient_id=["t:p", "t:q"])
    others = side("r", ["p", "q"], store_index=[2, 3]).rows.assign(image_id=["r:r0", "r:r1"], patient_id=["r:p", "r:q"])
    rows = pd.concat([own, others], ignore_index=True)
    known = rows.assign(image_id=["t0", "t1", "r0", "r1"], patient_id=["p", "q", "r:p", "r:q"])
    reference, lenders = run.Side(rows, store, known), {"fold_0": pd.Series(["t:t1", "r:r0", "r:r1"])}
    embeddings = {"target fold_0": [[1, 0], [0, 1]], "reference fold_0": [[1, 0], [0, 1], [3, 4], [4, 3]]}
    encoders = {"fold_0": SimpleNamespace(name="fold_0")}
    borrowed, _ = lend(reference, target, embeddings, lenders=lenders, encoders=encoders, same_people=True)
    assert borrowed["nearest_image_id"].tolist() == ["r:r1", "r:r0"]  # neither is lent to by itself, nor t1 by t0
    assert borrowed["site"].tolist() == ["r-site1", "r-site0"]


def test_tested_rows_are_those_of_the_partition_that_tests_them():
    splits = pd.DataFrame({"image_id": ["a", "b", "c", "d"], "split": ["train"] * 3 + ["test"], "fold": [1, 0, 1, -1]})
    borrowed = pd.DataFrame([(name, i) for name in ("fold_0", "fold_1", "holdout") for i in "dbca"])
    borrowed.columns = ["partition", "image_id"]
    tested = run.tested_rows(borrowed, splits)
    assert tested["image_id"].tolist() == ["a", "b", "c", "d"]
    assert tested["partition"].tolist() == ["fold_1", "fold_0", "fold_1", "holdout"]


def test_tested_rows_of_another_cohort_are_all_rows_by_image_id():
    borrowed = pd.DataFrame({"partition": "all", "image_id": ["c", "a", "b"], "age_years": [3, 1, 2]})
    tested = run.tested_rows(borrowed, pd.DataFrame({"image_id": ["a", "b"], "split": "train", "fold": 0}))
    assert tested["age_years"].tolist() == [1, 2, 3] and tested.index.tolist() == [0, 1, 2]


class Encoder:
    """Takes age and a number of the lesion as they are, and remembers what it was given."""

    def __init__(self, checkpoint, *rest):
        self.seen = checkpoint.seen

    def encode_metadata(self, frame):
        self.seen.append(frame)
        return frame[["depth_mm"]].to_numpy(dtype=np.float32)

    def encode_patients(self, frame):
        return frame[["age_years"]].to_numpy(dtype=np.float32)


@pytest.fixture
def clinic(monkeypatch):
    """30 patients with two images each in three folds; the depth tells the diagnosis, images and age are noise."""
    monkeypatch.setattr(run, "PretrainedSLIMP", Encoder)
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(30), 2)
    malignant = (patient + np.tile([0, 1], 30)) % 2 == 0
    rows = pd.DataFrame(
        {
            "image_id": [f"i{n:02d}" for n in range(60)],
            "patient_id": [f"p{n:02d}" for n in patient],
            "lesion_id": [f"l{n:03d}" for n in range(len(patient))],
            "diagnosis": np.where(malignant, "MEL", "NEV"),
            "malignant": pd.array(malignant, dtype="boolean"),
            "depth_mm": malignant + rng.normal(0, 0.4, 60),
            "age_years": rng.normal(50, 10, 60),
        }
    )
    splits = rows[["image_id", "patient_id"]].assign(split="train", fold=patient // 2 % 3)
    return rows, splits, rng.normal(size=(60, 2)).astype(np.float32)


def prove(clinic, borrowed, partitions=("all",)):
    rows, splits, image_ND = clinic
    facts = {"facts": {}, "loss": SimpleNamespace(objective="slimp"), "encoding": ENCODING}
    encoders = {name: SimpleNamespace(**facts, seen=[]) for name in partitions}
    images = dict.fromkeys(partitions, image_ND)
    target = TargetCohort("clinic", rows, splits, encoders={"slimp": encoders})
    return *run.worth(target, borrowed, images, SETTINGS), encoders


def loan(rows, **changes):
    return rows[["image_id", "depth_mm", "age_years"]].assign(partition="all", **changes)


NUMBER = NumericEncoding(mean=0, std=1, minimum=None, maximum=None)
ENCODING = Encoding(
    lesion=LevelEncoding(fields={"depth_mm": NUMBER}),
    patient=LevelEncoding(fields={"age_years": NUMBER}),
    num_patients=9,
)
IMAGES, OWN = "images alone", "images and the target's own metadata"


def test_borrowing_what_is_true_is_worth_exactly_ones_own_metadata_on_every_resample(clinic):
    _, worth, _ = prove(clinic, loan(clinic[0]).sample(frac=1, random_state=0))  # rows are matched by image id
    assert list(worth) == run.WORTH_COLUMNS and set(worth["reference"]) == {IMAGES, OWN}
    same = worth[worth["reference"] == OWN]
    np.testing.assert_array_equal(same[["difference", "ci_low", "ci_high"]], 0)
    gain = worth[worth["reference"] == IMAGES].set_index("metric").loc["macro_auroc"]
    assert gain["difference"] > 0.2 and gain["ci_low"] > 0


def test_borrowing_the_same_of_everyone_is_worth_exactly_images_alone_on_every_resample(clinic):
    _, worth, _ = prove(clinic, loan(clinic[0], depth_mm=1.0, age_years=40.0))
    alone = worth[worth["reference"] == IMAGES]
    np.testing.assert_allclose(alone[["difference", "ci_low", "ci_high"]], 0, atol=1e-6)
    lost = worth[worth["reference"] == OWN].set_index("metric").loc["macro_auroc"]
    assert lost["difference"] < -0.2 and lost["ci_high"] < 0


def test_differences_are_those_of_the_results(clinic):
    rng = np.random.default_rng(1)
    results, worth, _ = prove(clinic, loan(clinic[0], depth_mm=clinic[0]["depth_mm"] + rng.normal(0, 1, 60)))
    shown = results[results["draw"] == "all"].set_index(["method", "features", "metric"])["value"]
    assert {place[:2] for place in shown.index} == {
        ("slimp", "image"),
        ("slimp", "image+lesion+patient"),
        ("slimp_extrapolated", "image+lesion+patient"),
    }
    for row in worth.itertuples():
        features = "image" if row.reference == IMAGES else "image+lesion+patient"
        ours = shown["slimp_extrapolated", "image+lesion+patient", row.metric]
        assert row.difference == pytest.approx(ours - shown["slimp", features, row.metric], abs=1e-12)
        assert row.ci_low <= row.difference <= row.ci_high


def test_a_target_without_a_field_of_the_encoder_has_no_metadata_of_its_own_to_compare_with(clinic):
    rows, splits, image_ND = clinic
    bare = rows.assign(depth_mm=np.nan).drop(columns="age_years")
    results, worth, encoders = prove((bare, splits, image_ND), loan(rows))
    assert set(worth["reference"]) == {IMAGES}
    places = set(zip(results["method"], results["features"], strict=True))
    assert places == {("slimp", "image"), ("slimp_extrapolated", "image+lesion+patient")}
    (lent,) = encoders["all"].seen
    np.testing.assert_allclose(lent["depth_mm"], rows["depth_mm"])


def test_each_partition_is_given_what_it_borrowed_itself(clinic):
    rows = clinic[0]
    names = ("fold_0", "fold_1", "fold_2")
    borrowed = [loan(rows, depth_mm=rows["depth_mm"] + 100 * k).assign(partition=name) for k, name in enumerate(names)]
    results, _, encoders = prove(clinic, pd.concat(borrowed[::-1]), names)
    for k, name in enumerate(names):
        own, lent = encoders[name].seen
        pd.testing.assert_frame_equal(own, rows)
        np.testing.assert_allclose(lent["depth_mm"], rows["depth_mm"] + 100 * k)
    assert set(results["draw"]) == {"0", "1", "2", "all"}
