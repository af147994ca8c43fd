"""From predictions and queries to results."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from slimp_pipeline.evaluation.measures.bootstrap import interval, resampled
from slimp_pipeline.evaluation.measures.measure import (
    classes_of,
    fold_weightings,
    measure,
    measure_all,
    measure_outcomes,
)
from slimp_pipeline.evaluation.measures.records import RESULT_COLUMNS, Key
from slimp_pipeline.parameters import EvaluationParams

SETTINGS = EvaluationParams(num_resamples=40, seed=2)
KEY = ["method", "features", "protocol", "shots"]
PLAIN = Key("slimp", "image", "linear_probe")
FEW = Key("slimp", "image", "low_shot", "1")
OTHER = FEW._replace(method="flat")


def predicted(key, draw, labels, guesses, repeat=0, num_train_patients=10, patients=None):
    """Predictions of one fold that are sure of their guesses; the image ids of a draw start with its name."""
    count = len(labels)
    patients = range(count) if patients is None else patients
    return pd.DataFrame(
        {
            **key._asdict(),
            "draw": draw,
            "repeat": repeat,
            "num_train_patients": num_train_patients,
            "image_id": [f"{draw}-{row}" for row in range(count)],
            "patient_id": [f"{draw}-p{patient}" for patient in patients],
            "label": list(labels),
            "label_malignant": [int(label == "M") for label in labels],
            "predicted": list(guesses),
            "score.M": [float(guess == "M") for guess in guesses],
            "score.N": [float(guess == "N") for guess in guesses],
        }
    )


def queries(seed, num_folds=2, methods=("slimp", "chance")):
    """Outcomes of queries, some of which an outcome doesn't apply to; patients have several rows."""
    rng, tables = np.random.default_rng(seed), []
    for fold in range(num_folds):
        count = int(rng.integers(6, 15))
        patients = [f"{fold}-p{number}" for number in rng.integers(0, 5, count)]
        for method in methods:
            precision_N = rng.random(count)
            precision_N[rng.random(count) < 0.3] = np.nan
            precision_N[0] = 0.5
            outcomes = {"precision_at_1": precision_N, "mean_average_precision": rng.random(count)}
            key = {"method": method, "features": "image", "protocol": "retrieval", "shots": "all"}
            place = {"draw": str(fold), "repeat": 0, "num_train_patients": 10 + fold}
            ids = {"image_id": [f"{fold}-{row}" for row in range(count)], "patient_id": patients}
            tables.append(pd.DataFrame(key | place | ids | outcomes))
    return pd.concat(tables, ignore_index=True)


def value_of(results, metric, **place):
    chosen = results[results["metric"] == metric]
    for column, value in place.items():
        chosen = chosen[chosen[column] == value]
    return chosen["value"].item()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_outcomes_of_queries_are_measured_as_by_a_slow_loop(seed):
    outcomes = queries(seed)
    results, averaged = measure_outcomes("clinic", outcomes, SETTINGS)
    assert list(results) == RESULT_COLUMNS and len(results) == 2 * 2 * 3
    for method in ("slimp", "chance"):
        for metric in ("precision_at_1", "mean_average_precision"):
            by_fold = []
            for fold in range(2):
                rows = outcomes[(outcomes["method"] == method) & (outcomes["draw"] == str(fold))]
                drawn = list(resampled(rows["patient_id"].to_numpy(), 40, (2, fold)))
                known = [i for i, value in enumerate(rows[metric]) if not np.isnan(value)]
                values = []
                for weight_N in drawn:
                    total = sum(weight_N[i] for i in known)
                    weighted = sum(weight_N[i] * rows[metric].iloc[i] for i in known)
                    values.append(weighted / total if total else np.nan)
                by_fold.append(values)
                own = results[
                    (results["method"] == method) & (results["metric"] == metric) & (results["draw"] == str(fold))
                ]
                low, high = np.clip(interval(values[0], np.array(values[1:]), 0.95), 0, 1)
                assert own[["value", "ci_low", "ci_high"]].iloc[0].tolist() == pytest.approx([values[0], low, high])
                sizes = own[["num_train_patients", "num_test_patients"]].iloc[0].tolist()
                assert sizes == [10 + fold, rows["patient_id"].nunique()]
            value_R = np.array(
                [sum(pair) / 2 for pair in zip(*by_fold, strict=True)]
            )  # NaN where a fold lost its value
            np.testing.assert_allclose(averaged[Key(method, "image", "retrieval")][metric], value_R)
            assert value_of(results, metric, method=method, draw="all") == pytest.approx(value_R[0])


def test_an_outcome_that_applies_to_no_query_of_a_fold_leaves_the_mean_to_the_others():
    outcomes = queries(0)
    outcomes.loc[outcomes["draw"] == "1", "precision_at_1"] = np.nan
    outcomes["recall_at_1"] = np.nan
    results, averaged = measure_outcomes("clinic", outcomes, SETTINGS)
    first = outcomes[(outcomes["draw"] == "0") & (outcomes["method"] == "slimp")]
    expected = first["precision_at_1"].dropna().mean()
    assert value_of(results, "precision_at_1", method="slimp", draw="all") == pytest.approx(expected)
    assert results[results["metric"] == "precision_at_1"].groupby("draw").size().to_dict() == {"0": 2, "all": 2}
    assert "recall_at_1" not in set(results["metric"])
    assert set(averaged[Key("slimp", "image", "retrieval")]) == {"precision_at_1", "mean_average_precision"}


def test_queries_and_predictions_of_the_same_patients_are_drawn_alike():
    predictions = predicted(PLAIN, "0", "MNMNMN", "MNNNMM", patients=[2, 2, 0, 0, 1, 1])
    hit = (predictions["label"] == predictions["predicted"]).astype(float)
    key = {"method": "slimp", "features": "image to lesion", "protocol": "retrieval", "shots": "all"}
    columns = ["draw", "repeat", "num_train_patients", "image_id", "patient_id"]
    outcomes = predictions[columns].assign(**key, recall_at_1=hit).iloc[::-1]
    _, averaged = measure_outcomes("clinic", outcomes, SETTINGS)
    weights_RN = np.array(list(fold_weightings(predictions, SETTINGS, 0)))
    expected_R = (weights_RN * hit.to_numpy()).sum(axis=1) / weights_RN.sum(axis=1)
    np.testing.assert_allclose(averaged[Key(**key)]["recall_at_1"], expected_R)
    assert (weights_RN[0] == 1).all() and (weights_RN[:, ::2] == weights_RN[:, 1::2]).all()


def test_the_mean_over_folds_and_the_hold_out_apart():
    # Balanced accuracy: fold 0 1.0, fold 1 (1 + 0) / 2, hold-out (1/2 + 1) / 2.
    predictions = pd.concat(
        [
            predicted(PLAIN, "holdout", "MMNN", "MNNN", num_train_patients=9),
            predicted(PLAIN, "0", "MNNN", "MNNN", num_train_patients=4),
            predicted(PLAIN, "1", "MNN", "MMM", num_train_patients=5, patients=[0, 1, 1]),
        ]
    )
    results, averaged = measure("clinic", predictions, SETTINGS)
    accuracy = results[results["metric"] == "balanced_accuracy"].set_index("draw")
    assert accuracy["value"].to_dict() == {"0": 1.0, "1": 0.5, "holdout": 0.75, "all": 0.75}
    assert accuracy["num_test_patients"].to_dict() == {"0": 4, "1": 2, "holdout": 4, "all": 6}
    assert accuracy["num_train_patients"].to_dict() == {"0": 4, "1": 5, "holdout": 9, "all": 4}  # 4.5, to even
    assert averaged[PLAIN]["balanced_accuracy"].shape == (41,)
    assert averaged[PLAIN]["balanced_accuracy"][0] == 0.75


def test_where_there_are_no_folds_the_hold_out_stands_for_itself():
    plain, few = predicted(PLAIN, "holdout", "MMNN", "MNNN"), predicted(FEW, "holdout", "MMNN", "MMNN", 0)
    again = predicted(FEW, "holdout", "MMNN", "NNNN", 1)
    results, averaged = measure("clinic", pd.concat([plain, few, again]), SETTINGS)
    assert set(results["draw"]) == {"holdout"}
    assert not results.duplicated([*KEY, "metric"]).any()
    assert value_of(results, "balanced_accuracy", shots="all") == 0.75
    assert value_of(results, "balanced_accuracy", shots="1") == 0.75  # the mean of 1 and 1/2
    assert averaged[FEW]["balanced_accuracy"][0] == averaged[PLAIN]["balanced_accuracy"][0] == 0.75


def test_low_shot_has_a_row_for_each_draw_and_one_for_all():
    # Balanced accuracy by fold: draw 0: 1 and 1/2; draw 1: 1/2 and 1/2. The hold-out is in none of them.
    predictions = pd.concat(
        [
            predicted(FEW, "0", "MN", "MN", 0, 2),
            predicted(FEW, "1", "MN", "NN", 0, 2),
            predicted(FEW, "0", "MN", "MM", 1, 3),
            predicted(FEW, "1", "MN", "NN", 1, 2),
            predicted(FEW, "holdout", "MN", "NM", 0, 6),
        ]
    )
    results, averaged = measure("clinic", predictions, SETTINGS)
    accuracy = results[results["metric"] == "balanced_accuracy"].set_index("draw")
    assert accuracy["value"].to_dict() == {"0": 0.75, "1": 0.5, "all": 0.625}
    assert accuracy["num_train_patients"].to_dict() == {"0": 2, "1": 2, "all": 2}  # 2, 2.5 and 2.25
    assert accuracy["num_test_patients"].to_dict() == {"0": 4, "1": 4, "all": 4}
    assert averaged[FEW]["balanced_accuracy"][0] == 0.625


def test_a_draw_that_a_fold_lacks_is_the_mean_over_the_others():
    parts = [predicted(FEW, "0", "MN", "MN", 0), predicted(FEW, "1", "MN", "NN", 0), predicted(FEW, "1", "MN", "MN", 1)]
    results, _ = measure("clinic", pd.concat(parts), SETTINGS)
    accuracy = results[results["metric"] == "balanced_accuracy"].set_index("draw")
    assert accuracy["value"].to_dict() == {"0": 0.75, "1": 1.0, "all": pytest.approx(2.5 / 3)}
    assert accuracy["num_test_patients"].to_dict() == {"0": 4, "1": 2, "all": 4}


def test_intervals_over_draws_cover_the_draws_and_methods_stay_paired():
    """Of two draws one guesses all, the other nothing: with as many patients as one likes the mean is of 2 draws."""
    labels, wrong = "MN" * 20, "NM" * 20
    parts = [predicted(key, "0", labels, (labels, wrong)[draw], draw) for key in (FEW, OTHER) for draw in (0, 1)]
    results, averaged = measure("clinic", pd.concat(parts), SETTINGS)
    summary = results[(results["metric"] == "balanced_accuracy") & (results["draw"] == "all")].iloc[0]
    assert (summary["value"], summary["ci_low"], summary["ci_high"]) == (0.5, 0, 1)
    widened = 0.5 * np.sqrt(2) * 12.7062 / 1.959964  # Student's t of one degree of freedom for the normal
    assert sorted(set(averaged[FEW]["balanced_accuracy"])) == pytest.approx([0.5 - widened, 0.5, 0.5 + widened])
    np.testing.assert_array_equal(averaged[FEW]["balanced_accuracy"], averaged[OTHER]["balanced_accuracy"])
    sure = pd.concat([predicted(FEW, "0", labels, labels, draw) for draw in (0, 1)])
    assert (measure("clinic", sure, SETTINGS)[1][FEW]["balanced_accuracy"] == 1).all()


def test_methods_share_resamples_whatever_the_order_of_their_rows():
    labels, guesses = list("MNMNNMNM"), list("MNNNMMNN")
    patients = [0, 0, 1, 1, 2, 2, 3, 3]
    one = predicted(PLAIN, "0", labels, guesses, patients=patients)
    other = one.sample(frac=1, random_state=0).assign(method="random_init")
    _, averaged = measure("clinic", pd.concat([one, other]), SETTINGS)
    first, second = averaged.values()
    for metric, value_R in first.items():
        np.testing.assert_array_equal(value_R, second[metric])
    weightings = resampled(one["patient_id"].to_numpy(), 40, (2, 0))
    expected_R = [balanced_accuracy_score(labels, guesses, sample_weight=weight_N) for weight_N in weightings]
    np.testing.assert_allclose(first["balanced_accuracy"], expected_R)


def test_folds_are_resampled_by_their_number_in_whatever_order_they_come():
    guesses = {0: "MNNN", 1: "MNMNM", 2: "NNMNMN", 10: "MMNNMMN"}
    parts = [predicted(PLAIN, str(fold), "MNMNMNM"[: len(own)], own) for fold, own in guesses.items()]
    parts.append(predicted(PLAIN, "holdout", "MNMN", "MNNN"))
    _, plain = measure("clinic", pd.concat(parts), SETTINGS)
    _, turned = measure("clinic", pd.concat(parts[::-1]), SETTINGS)
    for metric, value_R in plain[PLAIN].items():
        np.testing.assert_allclose(value_R, turned[PLAIN][metric])
    _, without = measure("clinic", pd.concat(parts[:-1]), SETTINGS)  # the hold-out moves no fold's draws
    np.testing.assert_array_equal(without[PLAIN]["macro_f1"], plain[PLAIN]["macro_f1"])


def test_classes_are_those_scored_each_with_its_group():
    predictions = pd.DataFrame(
        {
            "label": ["NEV", "MEL", "AK", "NEV"],
            "label_malignant": [0, 1, -1, 0],
            "predicted": "MEL",
            "score.MEL": 0.5,
            "score.AK": 0.1,
            "score.never tested": 0.1,
            "score.NEV": 0.3,
        }
    )
    classes, malignant_K = classes_of(predictions)
    assert classes == ["MEL", "AK", "never tested", "NEV"]
    assert malignant_K.tolist() == [1, -1, -1, 0] and malignant_K.dtype == np.int64


def test_retrieval_stands_beside_predictions_and_is_compared_with_its_like():
    predictions = pd.concat([predicted(PLAIN, str(fold), "MNMN", "MNNN") for fold in range(2)])
    predictions = pd.concat([predictions, predictions.assign(method="random_init")])
    alone = measure("clinic", predictions, SETTINGS)[0]
    for retrieved in (pd.DataFrame(), queries(0).iloc[:0]):
        results, differences = measure_all("clinic", predictions, pd.DataFrame(), retrieved, SETTINGS)
        pd.testing.assert_frame_equal(results, alone)
        assert set(differences["protocol"]) == {"linear_probe"}
    results, differences = measure_all("clinic", predictions, pd.DataFrame(), queries(0), SETTINGS)
    of_queries = results[results["protocol"] == "retrieval"]
    pd.testing.assert_frame_equal(results[results["protocol"] != "retrieval"], alone)
    assert set(of_queries["method"]) == {"slimp", "chance"}
    compared = differences[differences["protocol"] == "retrieval"].set_index("metric")
    assert set(compared["reference"]) == {"chance"} and set(compared.index) == set(of_queries["metric"])
    for metric, row in compared.iterrows():
        own, chance = (value_of(of_queries, metric, method=name, draw="all") for name in ("slimp", "chance"))
        assert row["difference"] == pytest.approx(own - chance)
    assert (differences["num_comparisons"] == len(differences)).all()
