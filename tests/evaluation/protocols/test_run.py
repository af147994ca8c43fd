"""The evaluation protocol on a small cohort."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from slimp_pipeline.evaluation import parallel, task
from slimp_pipeline.evaluation.features.blocks import scale_blocks
from slimp_pipeline.evaluation.features.sets import Features
from slimp_pipeline.evaluation.measures import measure
from slimp_pipeline.evaluation.measures.records import Key, prediction_table
from slimp_pipeline.evaluation.protocols.probe import fit_task_probe
from slimp_pipeline.evaluation.protocols.run import measure_low_shot, predict
from slimp_pipeline.evaluation.protocols.scorers import score_low_shot
from slimp_pipeline.parameters import EvaluationParams, ProbeParams
from slimp_pipeline.processes import pool
from slimp_pipeline.tables.encoding import Encoding, LevelEncoding

pytestmark = pytest.mark.xdist_group("evaluation_protocol")  # they share one evaluation
KEY = ["method", "features", "protocol", "shots"]


def test_result_tables_have_exactly_the_promised_columns(small_results):
    results, differences, predictions = small_results
    assert list(results) == [
        "cohort",
        "method",
        "features",
        "protocol",
        "shots",
        "draw",
        "metric",
        "value",
        "ci_low",
        "ci_high",
        "num_train_patients",
        "num_test_patients",
    ]
    assert list(differences) == [
        "cohort",
        "method",
        "reference",
        "features",
        "protocol",
        "shots",
        "metric",
        "difference",
        "ci_low",
        "ci_high",
        "num_comparisons",
    ]
    scores = ["score.BCC", "score.MEL", "score.NEV"]
    assert list(predictions) == [
        *KEY,
        "draw",
        "repeat",
        "num_train_patients",
        "image_id",
        "lesion_id",
        "patient_id",
        "label",
        "label_malignant",
        "predicted",
        *scores,
    ]
    assert set(results["draw"]) == {"0", "1", "2", "holdout", "all"}
    assert set(results["protocol"]) == {
        "linear_probe",
        "linear_probe_calibrated",
        "knn",
        "knn_prior_weighted",
        "baseline",
        "low_shot",
    }
    assert set(results["shots"]) == {"all", "1", "5", "25%"} and set(results["cohort"]) == {"small"}
    sets = {"image", "image+lesion", "image+lesion+patient", "image+metadata", "image+ugly_duckling", "metadata"}
    assert set(results["features"]) == sets
    of_images = {"image", "image+metadata", "image+ugly_duckling"}
    assert set(results[results["method"] == "random_init"]["features"]) == of_images
    assert not results.duplicated([*KEY, "draw", "metric"]).any()


def test_all_is_the_mean_over_folds_without_the_hold_out(small_results):
    results = small_results[0]
    results = results[results["shots"] == "all"]
    folds = results[results["draw"].isin(["0", "1", "2"])].groupby([*KEY, "metric"])["value"].mean()
    together = results[results["draw"] == "all"].set_index([*KEY, "metric"])["value"]
    pd.testing.assert_series_equal(folds.sort_index(), together.sort_index())


def test_patients_are_counted_by_draw(small_results):
    results = small_results[0]
    results = results[results["shots"] == "all"]
    sizes = results.groupby("draw")[["num_train_patients", "num_test_patients"]].agg(["min", "max"])
    assert sizes.loc["0"].tolist() == [36, 36, 18, 18]
    assert sizes.loc["holdout"].tolist() == [54, 54, 6, 6]
    assert sizes.loc["all"].tolist() == [36, 36, 54, 54]


def test_every_interval_holds_its_value(small_results):
    results, differences, _ = small_results
    known = results.dropna(subset="value")
    assert ((known["ci_low"] <= known["value"]) & (known["value"] <= known["ci_high"])).all()
    assert known["ci_low"].ge(0).all() and known["ci_high"].le(1).all()
    assert (
        (differences["ci_low"] <= differences["difference"]) & (differences["difference"] <= differences["ci_high"])
    ).all()


def test_predictions_allow_to_recompute_every_metric(small_results):
    results, _, predictions = small_results
    predictions = predictions[predictions["protocol"].isin(["linear_probe", "baseline"])]
    values = dict(list(results.groupby([*KEY, "draw"])))
    for key, rows in predictions.groupby([*KEY, "draw"]):
        value = values[key].set_index("metric")["value"]
        scores = rows[["score.BCC", "score.MEL", "score.NEV"]].to_numpy()
        malignant = rows["label"].ne("NEV")
        assert value["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(rows["label"], rows["predicted"]))
        assert value["macro_f1"] == pytest.approx(f1_score(rows["label"], rows["predicted"], average="macro"))
        one_vs_rest = roc_auc_score(pd.get_dummies(rows["label"]), scores)
        assert value["macro_auroc"] == pytest.approx(one_vs_rest)
        assert value["malignant_auroc"] == pytest.approx(roc_auc_score(malignant, scores[:, 0] + scores[:, 1]))


def test_test_rows_of_a_fold_are_its_own_patients(small_cohort, small_results):
    _, _, predictions = small_results
    fold = small_cohort.splits.set_index("image_id")["fold"]
    draws = predictions["draw"].astype(str).replace("holdout", "-1").astype(int)
    assert (draws == predictions["image_id"].astype(str).map(fold)).all()
    assert not predictions.duplicated([*KEY, "repeat", "image_id"]).any()
    pd.testing.assert_series_equal(
        predictions["label"].astype(str),
        predictions["image_id"].astype(str).map(small_cohort.lesions.set_index("image_id")["diagnosis"]),
        check_names=False,
        check_dtype=False,
    )


def test_identical_embeddings_differ_by_exactly_nothing(small_cohort):
    small_cohort.embeddings["random_init.all.image"] = small_cohort.embeddings["slimp.all.image"]
    _, differences, _ = small_cohort.run("linear_probe", "knn")
    paired = differences[differences["reference"] == "random_init"]
    assert len(paired) and (paired[["difference", "ci_low", "ci_high"]] == 0).all(axis=None)


def test_an_informative_embedding_beats_noise_beyond_the_interval(small_results):
    _, differences, _ = small_results
    paired = differences[(differences["reference"] == "random_init") & (differences["features"] == "image")]
    for metric in ("balanced_accuracy", "macro_auroc", "malignant_auroc"):
        assert (paired.loc[paired["metric"] == metric, "ci_low"] > 0).all(), metric


def test_differences_are_those_of_the_means_and_their_number_is_stated(small_results):
    results, differences, _ = small_results
    means = results[results["draw"] == "all"].set_index([*KEY, "metric"])["value"]
    for row in differences.itertuples():
        reference = (row.reference, row.features, row.protocol, row.shots, row.metric)
        if "metadata" in row.reference:
            reference = (row.reference, "metadata", "baseline", "all", row.metric)
        if row.reference == "fused_gbdt":
            reference = (row.reference, "image+metadata", "baseline", "all", row.metric)
        expected = means[("slimp", row.features, row.protocol, row.shots, row.metric)] - means[reference]
        assert row.difference == pytest.approx(expected)
    assert (differences["num_comparisons"] == len(differences)).all()
    baseline = differences[differences["reference"] == "metadata_linear"]
    assert {"image", "image+lesion", "image+lesion+patient"} < set(baseline["features"])
    assert set(baseline["protocol"]) == {"linear_probe"}


def test_folds_are_resampled_independently(small_cohort, monkeypatch):
    drawn = []
    plain = measure.resampled
    monkeypatch.setattr(measure, "resampled", lambda *a: drawn.append(plain(*a)) or drawn[-1])
    small_cohort.run("linear_probe")
    first, second, third = (weightings.count_PR[:, 1:] for weightings in drawn[:3])
    assert first.shape == second.shape
    for one, other in ((first, second), (second, third), (first, third)):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.15


def test_test_rows_change_nothing_but_their_own_scores(small_cohort, small_results):
    _, _, before = small_results
    spoilt = small_cohort.lesions["image_id"].eq("i001").to_numpy()  # one of patient p00, tested in fold 0
    for name, values in small_cohort.embeddings.items():
        small_cohort.embeddings[name] = np.where(spoilt[:, None], 100, values)
    _, _, after = small_cohort.run()
    others = (before["draw"] == "0") & (before["patient_id"] != "p00")  # its other row has it in its context
    pd.testing.assert_frame_equal(before[others], after[others])


NESTED = "image+lesion+patient"


def few_scores(whole, features, split, settings):
    """Key, draw and scores of every probe on few labels, one after the other."""
    for method, feature_set in itertools.product(features.methods, ("image", NESTED)):
        sides = features.of(method, feature_set, split)
        for drawn, score_NK in score_low_shot(whole, sides, split, settings) if sides else ():
            yield Key(method, feature_set, "low_shot", drawn.shots), drawn, score_NK


def test_few_labels_are_measured_as_a_table_of_all_their_scores_would_be(small_cohort, tmp_path):
    cohort, settings = small_cohort, small_cohort.settings
    few = measure_low_shot(cohort.target(), settings)
    few.to_parquet(tmp_path / "few.parquet")
    measured = measure.measured_in(pd.read_parquet(tmp_path / "few.parquet"))
    results, averaged = measure.summarise("small", measured, settings.confidence)
    whole = task.make_task(cohort.lesions, cohort.splits, settings)
    features = Features(cohort.target(), whole)
    tables = []
    for split in task.task_splits(whole, "small"):
        for key, drawn, score_NK in few_scores(whole, features, split, settings):
            num_patients = whole.rows.loc[drawn.rows_N, "patient_id"].nunique()
            table = prediction_table(whole, key, split, score_NK)
            tables.append(table.assign(repeat=drawn.draw, num_train_patients=num_patients))
    expected, of_draws = measure.measure("small", pd.concat(tables), settings)
    pd.testing.assert_frame_equal(results, expected)
    assert averaged.keys() == of_draws.keys()
    for key, values in averaged.items():
        for metric, value_R in values.items():
            np.testing.assert_array_equal(value_R, of_draws[key][metric])


@pytest.mark.parametrize("measured", [predict, measure_low_shot])
def test_what_is_worked_on_side_by_side_is_the_same_in_the_same_order(small_cohort, monkeypatch, measured):
    target, settings = small_cohort.target(), small_cohort.settings
    alone = measured(target, settings)
    monkeypatch.setattr(parallel, "_FEW_ROWS", 1)
    monkeypatch.setattr(pool, "cpu_count", lambda: 2)
    started = []
    monkeypatch.setattr(pool, "pool", lambda number: started.append(number) or get_reusable_executor(number))
    pd.testing.assert_frame_equal(measured(target, settings), alone)
    assert set(started) == {2}


def test_few_rows_and_many_and_a_gpu_are_left_to_one_process(small_cohort, monkeypatch):
    monkeypatch.setattr(pool, "pool", None)
    settings = small_cohort.settings
    many, few = parallel._MANY_ROWS, parallel._FEW_ROWS - 1
    assert list(parallel.in_parallel(abs, [-1, 2, -3], many, settings, "")) == [1, 2, 3]
    assert list(parallel.in_parallel(abs, [-1, 2, -3], few, settings, "")) == [1, 2, 3]
    monkeypatch.setattr(parallel, "pick_device", torch.device)
    on_gpu = settings.model_copy(update={"device": "cuda"})
    assert list(parallel.in_parallel(abs, [-1, 2, -3], many - 1, on_gpu, "")) == [1, 2, 3]


def test_few_labels_that_are_not_asked_for_are_not_measured(small_cohort):
    cohort = small_cohort
    settings = cohort.settings.model_copy(update={"protocols": ["knn"]})
    few = measure_low_shot(cohort.target(), settings)
    assert few.empty and list(few) == measure.MEASURED_COLUMNS


def test_few_labels_are_scaled_by_the_rows_drawn_alone(small_cohort):
    cohort, settings = small_cohort, small_cohort.settings
    whole = task.make_task(cohort.lesions, cohort.splits, settings)
    features = Features(cohort.target(), whole)
    split = next(task.task_splits(whole, "small"))
    blocks = [features.block("slimp", name, split) for name in ("image", "lesion", "patient")]
    few_labels = settings.model_copy(update={"probe": ProbeParams(strengths=[settings.low_shot.strength])})
    for drawn, score_NK in score_low_shot(whole, features.of("slimp", NESTED, split), split, settings):
        scaled_ND = scale_blocks(blocks, drawn.rows_N)
        probe = fit_task_probe(whole, scaled_ND[drawn.rows_N], drawn.rows_N, few_labels)
        np.testing.assert_allclose(score_NK, probe.scores(scaled_ND[split.test_N]), atol=2e-3)


def test_unlabelled_rows_are_left_out(small_cohort):
    absent = small_cohort.lesions["image_id"].isin(["i000", "i007"])
    small_cohort.lesions.loc[absent, "diagnosis"] = None
    _, _, predictions = small_cohort.run("linear_probe", "knn")
    assert predictions["image_id"].nunique() == 118
    assert not set(predictions["image_id"]) & {"i000", "i007"}


def test_a_class_that_a_fold_lacks_is_no_hindrance(small_cohort):
    lesions, fold = small_cohort.lesions, small_cohort.splits["fold"]
    lesions.loc[(lesions["diagnosis"] == "MEL") & (fold == 1), "diagnosis"] = "BCC"
    lesions.loc[(lesions["diagnosis"] == "BCC") & (fold != 1), "diagnosis"] = "NEV"
    results, _, predictions = small_cohort.run("linear_probe", "knn", "baselines")
    trained_without = predictions[predictions["draw"] == "1"]  # no BCC in the other folds
    assert not trained_without["score.BCC"].any()
    assert results.loc[results["metric"] == "balanced_accuracy", "value"].notna().all()


def test_malignant_or_not_may_be_the_label(small_cohort):
    small_cohort.settings = small_cohort.settings.model_copy(update={"label": "malignant"})
    small_cohort.lesions.loc[0, "malignant"] = pd.NA
    results, _, predictions = small_cohort.run("linear_probe")
    assert set(predictions["label"]) == {"benign", "malignant"}
    assert "i000" not in set(predictions["image_id"])
    values = results.set_index([*KEY, "draw", "metric"])["value"]
    key = ("slimp", "image", "linear_probe", "all", "all")
    assert values[(*key, "malignant_auroc")] == pytest.approx(values[(*key, "macro_auroc")])


def test_where_malignancy_isnt_known_its_metrics_are_left_out(small_cohort):
    small_cohort.lesions["malignant"] = pd.array([pd.NA] * 120, dtype="boolean")
    results, _, _ = small_cohort.run("linear_probe")
    assert not results["metric"].str.startswith("malignant").any()


def test_a_cohort_of_images_alone_has_no_metadata_baseline(small_cohort):
    empty = LevelEncoding(fields={})
    encoding = Encoding(lesion=empty, patient=empty, num_patients=36)
    small_cohort.encodings = dict.fromkeys(small_cohort.encodings, encoding)
    results, _, _ = small_cohort.run("linear_probe", "baselines")
    assert "baseline" not in set(results["protocol"])


def test_a_collapsed_embedding_is_measured_as_one_that_tells_nothing(small_cohort):
    small_cohort.embeddings["slimp.all.image"] = np.ones((120, 3), dtype=np.float32)
    results, _, _ = small_cohort.run("linear_probe")
    chosen = (results["method"] == "slimp") & (results["features"] == "image") & (results["metric"] == "macro_auroc")
    np.testing.assert_allclose(results.loc[chosen & (results["protocol"] == "linear_probe"), "value"], 0.5)


def test_a_fold_whose_training_patients_are_of_one_class_is_refused(small_cohort):
    fold = small_cohort.splits["fold"]
    small_cohort.lesions["diagnosis"] = np.where(fold == 0, "MEL", "NEV")
    with pytest.raises(ValueError, match=r"fold_0.*all of one class.*num_folds"):
        small_cohort.run()


@pytest.mark.parametrize(("diagnosis", "found"), [(None, "none"), ("NEV", "only 'NEV'")])
def test_a_task_needs_two_classes(small_cohort, diagnosis, found):
    small_cohort.lesions["diagnosis"] = pd.Series([diagnosis] * 120, dtype="str")
    with pytest.raises(ValueError, match=found):
        task.make_task(small_cohort.lesions, small_cohort.splits, EvaluationParams())


@pytest.mark.parametrize("strengths", [[0.1, 1.0], [1.0]], ids=["of two strengths", "of one"])
def test_class_weights_for_macro_f1_are_a_protocol_of_their_own_where_asked_for(small_cohort, strengths):
    probe = small_cohort.settings.probe.model_copy(update={"strengths": strengths, "for_macro_f1": True})
    small_cohort.settings = small_cohort.settings.model_copy(update={"probe": probe})
    _, _, predictions = small_cohort.run("linear_probe")
    assert set(predictions["protocol"]) == {"linear_probe", "linear_probe_calibrated", "linear_probe_f1"}
    scores = [name for name in predictions if name.startswith("score.")]
    plain, weighted = (
        predictions[predictions["protocol"] == name].reset_index(drop=True)
        for name in ("linear_probe", "linear_probe_f1")
    )
    ratio = weighted[scores].to_numpy() / plain[scores].to_numpy()
    by_class = (ratio / ratio[:, :1])[plain["draw"] == "0"]
    key = plain.loc[plain["draw"] == "0", ["method", "features"]].agg("|".join, axis=1)
    for name in key.unique():  # one weight for each class, the same for all rows of a fold's probe
        own = by_class[(key == name).to_numpy()]
        assert own == pytest.approx(np.tile(own[0], (len(own), 1)), rel=1e-5)
    assert (weighted["predicted"] != plain["predicted"]).any()
