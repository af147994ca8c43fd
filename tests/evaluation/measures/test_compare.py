"""Comparison of runs: mean over seeds, paired differences."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from slimp_pipeline.evaluation.audits.field_reading import READING_COLUMNS
from slimp_pipeline.evaluation.audits.known_truth import TRUTH_COLUMNS
from slimp_pipeline.evaluation.measures.bootstrap import interval, resampled
from slimp_pipeline.evaluation.measures.compare import (
    COMPARISON_COLUMNS,
    PAIR_COLUMNS,
    READING_COMPARISON_COLUMNS,
    TRUTH_COMPARISON_COLUMNS,
    compare_readings,
    compare_runs,
    compare_truths,
)
from slimp_pipeline.evaluation.measures.measure import measure
from slimp_pipeline.parameters import EvaluationParams

SETTINGS = EvaluationParams(num_resamples=50, seed=4)
FIGURES = ["difference", "ci_low", "ci_high"]
NUM_PATIENTS, NUM_FOLDS = 16, 2  # two images each, one of either class


def predicted(method, seed, share_right=0.7, features="image", protocol="linear_probe"):
    """Predictions of one method on all folds, each right by that chance."""
    rng = np.random.default_rng(seed)
    count = 2 * NUM_PATIENTS
    patient_N, label_N = np.repeat(np.arange(NUM_PATIENTS), 2), np.tile([0, 1], NUM_PATIENTS)
    guess_N = np.where(rng.random(count) < share_right, label_N, 1 - label_N)
    score_N = np.where(guess_N == 1, 0.5 + rng.random(count) / 2, rng.random(count) / 2)
    names = np.array(["NEV", "MEL"])
    return pd.DataFrame(
        {
            **{"method": method, "features": features, "protocol": protocol, "shots": "all"},
            "draw": (patient_N % NUM_FOLDS).astype(str),
            "repeat": 0,
            "num_train_patients": NUM_PATIENTS // NUM_FOLDS,
            "image_id": [f"i{row:02d}" for row in range(count)],
            "patient_id": [f"p{patient:02d}" for patient in patient_N],
            "label": names[label_N],
            "label_malignant": label_N,
            "predicted": names[guess_N],
            "score.MEL": score_N,
            "score.NEV": 1 - score_N,
        }
    )


def run(method, seed, share_right=0.7):
    """Predictions of a run: its method, what it started from, a baseline that is the same in every run."""
    return pd.concat(
        [
            predicted(method, seed, share_right),
            predicted("random_init", 100 + seed, 0.5),
            predicted("metadata_linear", 7, 0.6, "metadata", "baseline"),
            predicted(method, seed, protocol="knn"),
        ],
        ignore_index=True,
    )


def compare(runs, groups=None, settings=SETTINGS, **asked):
    versions = {name: lambda name=name: runs[name] for name in runs}
    return compare_runs("clinic", versions, groups or {}, settings, **asked)


def row(table, metric="balanced_accuracy", **place):
    chosen = table[table["metric"] == metric]
    for column, value in place.items():
        chosen = chosen[chosen[column] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


@pytest.fixture(scope="module")
def runs():
    """Three seeds of two methods."""
    return {f"{method}-{seed}": run(method, seed) for seed, method in product(range(3), ["slimp", "flat"])}


GROUPS = {"ours": ["slimp-0", "slimp-1", "slimp-2"], "theirs": ["flat-0", "flat-1", "flat-2"]}


@pytest.fixture(scope="module")
def compared(runs):
    return compare(runs, GROUPS)


def test_tables_have_exactly_the_promised_columns_and_rows(compared):
    values, pairs = compared
    assert list(values) == COMPARISON_COLUMNS and list(pairs) == PAIR_COLUMNS
    places = {("ours", "linear_probe"), ("theirs", "linear_probe"), ("random_init", "linear_probe")}
    places |= {("metadata_linear", "baseline")}  # k-NN isn't compared
    assert set(zip(values["method"], values["protocol"], strict=True)) == places
    assert not values.duplicated(["method", "metric"]).any()
    against = {frozenset(pair) for pair in zip(pairs["method"], pairs["reference"], strict=True)}
    names = [name for name, _ in places]
    assert against == {frozenset(pair) for pair in product(names, names) if len(set(pair)) == 2}
    assert not pairs.duplicated(["method", "reference", "metric"]).any()
    assert (pairs["num_comparisons"] == len(pairs)).all() and len(pairs) == 6 * values["metric"].nunique()
    to_baseline = pairs[pairs[["method", "reference"]].eq("metadata_linear").any(axis=1)]
    assert (to_baseline["reference"] == "metadata_linear").all()
    assert (to_baseline["protocol"] == "linear_probe").all() and (to_baseline["features"] == "image").all()


def test_values_are_means_over_seeds_beside_their_spread():
    runs = {"a": run("slimp", 0, 1.0), "b": run("slimp", 1, 1.0), "c": run("flat", 0, 1.0), "d": run("flat", 1, 0.0)}
    values, pairs = compare(runs, {"ours": ["a", "b"], "theirs": ["c", "d"]})
    ours, theirs = row(values, method="ours"), row(values, method="theirs")
    assert (ours["value"], ours["sd_between_runs"], ours["num_runs"]) == (1, 0, 2)
    assert (ours["ci_low"], ours["ci_high"]) == (1, 1)
    assert (theirs["value"], theirs["num_runs"]) == (0.5, 2)
    assert theirs["sd_between_runs"] == pytest.approx(np.sqrt(0.5))
    pair = row(pairs, method="ours", reference="theirs")
    assert pair["difference"] == 0.5 and pair["within_noise"]  # both of theirs may be drawn from the first seed


FEW_SEEDS = np.sqrt(3 / 2) * 4.302653 / 1.959964  # variance of a bootstrap over three; Student's t for the normal


def test_values_and_differences_are_those_of_a_slow_loop(runs, compared):
    values, pairs = compared
    runs_RS = np.random.default_rng(4).integers(3, size=(50, 3))

    def accuracy(predictions, method):
        """Mean over folds, plain and on every resample of the patients of each fold."""
        folds = []
        for fold in range(NUM_FOLDS):
            rows = predictions[(predictions["method"] == method) & (predictions["draw"] == str(fold))]
            rows = rows[rows["protocol"] != "knn"]
            weightings = resampled(rows["patient_id"].to_numpy(), 50, (4, fold))
            labels, guesses = rows["label"], rows["predicted"]
            folds.append([balanced_accuracy_score(labels, guesses, sample_weight=weight_N) for weight_N in weightings])
        return np.mean(folds, axis=0)

    drawn = {}
    for label, names in GROUPS.items():
        of_runs = [accuracy(runs[name], names[0].split("-")[0]) for name in names]
        on_resamples = []
        for r in range(50):
            mean, on_sample = np.mean([of_run[1 + r] for of_run in of_runs]), [of_run[0] for of_run in of_runs]
            move = np.mean([on_sample[number] for number in runs_RS[r]]) - np.mean(on_sample)
            on_resamples.append(mean + FEW_SEEDS * move)
        drawn[label] = np.mean([of_run[0] for of_run in of_runs]), np.array(on_resamples)
        low, high = interval(*drawn[label], 0.95)
        own = row(values, method=label)
        assert own[["value", "ci_low", "ci_high"]].tolist() == pytest.approx([drawn[label][0], low, high])
        assert own["sd_between_runs"] == pytest.approx(np.std([of_run[0] for of_run in of_runs], ddof=1))
    difference = drawn["ours"][0] - drawn["theirs"][0]
    low, high = interval(difference, drawn["ours"][1] - drawn["theirs"][1], 0.95)
    own = row(pairs, method="ours", reference="theirs")
    assert own[FIGURES].tolist() == pytest.approx([difference, low, high])
    assert own["within_noise"] == (low <= 0 <= high)


def test_identical_runs_differ_by_exactly_nothing(runs):
    same = {name: runs[name].replace({"method": {"flat": "slimp"}}) for name in ("flat-0", "flat-1", "flat-2")}
    _, pairs = compare(same, {"one": list(same), "other": list(same)})
    own = pairs[(pairs["method"] == "one") & (pairs["reference"] == "other")]
    assert len(own) and (own[FIGURES] == 0).all(axis=None) and own["within_noise"].all()


def test_a_clear_difference_is_outside_noise_whichever_stands_first():
    runs = {
        f"{method}-{seed}": run(method, seed, share)
        for method, share in (("slimp", 0.95), ("flat", 0.3))
        for seed in range(4)
    }
    for groups in (["slimp", "flat"], ["flat", "slimp"]):
        _, pairs = compare(runs, {name: [f"{name}-{seed}" for seed in range(4)] for name in groups})
        own = row(pairs, method=groups[0], reference=groups[1])
        assert not own["within_noise"]
        assert (own[FIGURES] > 0).all() or (own[FIGURES] < 0).all()
        assert (own["difference"] > 0) == (groups[0] == "slimp")


def test_a_baseline_that_stands_in_every_run_counts_once(runs, compared):
    values, _ = compared
    alone, _ = measure("clinic", runs["slimp-0"], SETTINGS)
    alone = alone[alone["draw"] == "all"]
    baseline = row(values, method="metadata_linear")
    assert baseline["num_runs"] == 3 and baseline["sd_between_runs"] == 0
    assert baseline["value"] == row(alone, method="metadata_linear")["value"]
    start = row(values, method="random_init")  # the same in both groups' runs of a seed
    by_seed = []
    for seed in range(3):
        own, _ = measure("clinic", runs[f"slimp-{seed}"], SETTINGS)
        by_seed.append(row(own[own["draw"] == "all"], method="random_init")["value"])
    assert start["num_runs"] == 3
    assert start["value"] == pytest.approx(np.mean(by_seed))
    assert start["sd_between_runs"] == pytest.approx(np.std(by_seed, ddof=1))


def test_baselines_of_groups_with_other_fields_are_never_averaged(runs):
    """Fields differ by group: so do metadata alone, which would otherwise be neither's baseline."""
    other = pd.concat([runs["flat-0"].query("method != 'metadata_linear'"), predicted(
        "metadata_linear", 8, 0.9, "metadata", "baseline"
    )])  # fmt: skip
    groups = {"all": ["a"], "few": ["b"], "also all": ["c"]}
    values, pairs = compare({"a": runs["slimp-0"], "b": other, "c": runs["flat-0"]}, groups)
    assert set(values["method"]) == {*groups, "random_init", "metadata_linear (all)", "metadata_linear (few)"}
    for label, run_of in (("all", runs["slimp-0"]), ("few", other)):
        alone, _ = measure("clinic", run_of, SETTINGS)
        own = row(alone[alone["draw"] == "all"], method="metadata_linear")["value"]
        assert row(values, method=f"metadata_linear ({label})")["value"] == own
    row(pairs, method="all", reference="metadata_linear (all)")


def test_without_groups_every_version_stands_for_itself_with_its_own_baselines(runs):
    two = {name: runs[name] for name in ("slimp-0", "slimp-1")}
    values, pairs = compare(two)
    named = {f"{method} ({version})" for method in ("slimp", "random_init") for version in two}
    assert set(values["method"]) == named | {"metadata_linear"}  # the same in both
    assert (values["num_runs"] == 1).all()
    grouped = row(compare(two, {"a": ["slimp-0"], "b": ["slimp-1"]})[1], method="a", reference="b")
    own = row(pairs, method="slimp (slimp-1)", reference="slimp (slimp-0)")
    assert own["difference"] == pytest.approx(-grouped["difference"])


def test_without_groups_versions_tested_on_other_folds_are_left_out_and_named(runs, caplog):
    other = runs["flat-0"].assign(draw=runs["flat-0"]["draw"].map({"0": "1", "1": "0"}))
    with caplog.at_level("INFO"):
        values, _ = compare({"before": other, "newest": runs["slimp-0"]})
    assert set(values["method"]) == {"slimp", "random_init", "metadata_linear"}  # a lone run needs no name
    assert "before was tested on other images or folds than newest: left out" in caplog.text


def test_without_groups_a_run_that_repeats_another_is_left_out_and_named(runs, caplog):
    repeated = {"first": runs["slimp-0"], "again": runs["slimp-0"].copy(), "other": runs["slimp-1"]}
    with caplog.at_level("INFO"):
        values, _ = compare(repeated)
    assert "first predicts the very same as again: left out" in caplog.text
    assert {name for name in values["method"] if name.startswith("slimp")} == {"slimp (again)", "slimp (other)"}
    # Who names both gets both.
    values, _ = compare(repeated, {"x": ["first"], "y": ["again"]})
    assert {"x", "y"} <= set(values["method"])


def test_versions_that_no_group_names_are_not_read(runs):
    versions = {name: lambda name=name: runs[name] for name in ("slimp-0", "flat-0")}
    versions["broken"] = lambda: pytest.fail("read")
    values, _ = compare_runs("clinic", versions, {"a": ["slimp-0"], "b": ["flat-0"]}, SETTINGS)
    assert {"a", "b"} <= set(values["method"]) and set(values["cohort"]) == {"clinic"}


def test_adapted_encoders_stand_beside_those_that_they_were_adapted_from():
    runs = {
        f"v{seed}": pd.concat([run("slimp", seed), predicted("slimp_adapted", 50 + seed, 0.9)], ignore_index=True)
        for seed in range(2)
    }
    values, pairs = compare(runs, {"ours": ["v0", "v1"]})
    assert {"ours", "ours, adapted"} <= set(values["method"])
    assert (values["num_runs"] == 2).all()
    row(pairs, method="ours", reference="ours, adapted")


def test_single_runs_have_the_interval_of_patients_and_no_spread(runs):
    values, pairs = compare(
        {name: runs[name] for name in ("slimp-0", "flat-0")}, {"slimp": ["slimp-0"], "flat": ["flat-0"]}
    )
    assert (values["num_runs"] == 1).all() and values["sd_between_runs"].isna().all()
    for method in ("slimp", "flat"):
        alone, _ = measure("clinic", runs[f"{method}-0"], SETTINGS)
        alone = alone[(alone["draw"] == "all") & (alone["method"] == method) & (alone["protocol"] == "linear_probe")]
        own = values[values["method"] == method].set_index("metric")[["value", "ci_low", "ci_high"]]
        pd.testing.assert_frame_equal(own, alone.set_index("metric")[["value", "ci_low", "ci_high"]])
    assert pairs[FIGURES].notna().all(axis=None)


def test_intervals_of_values_stay_within_what_a_metric_can_be():
    runs = {f"v{seed}": run("slimp", seed, share) for seed, share in enumerate((1.0, 1.0, 0.6))}
    values, _ = compare(runs)
    assert values["ci_low"].ge(0).all() and values["ci_high"].le(1).all()
    assert values["value"].between(values["ci_low"], values["ci_high"]).all()


def test_every_seed_of_a_shorter_group_is_as_likely_as_another():
    runs = {"a": run("slimp", 0), "b": run("slimp", 1), "c": run("slimp", 2)}
    runs |= {"wrong": run("flat", 0, 0.0), "right": run("flat", 1, 1.0)}
    settings = SETTINGS.model_copy(update={"num_resamples": 2000, "confidence": 0.52})
    values, pairs = compare(runs, {"three": ["a", "b", "c"], "two": ["wrong", "right"]}, settings)
    two = row(values, method="two")
    # Means of two draws from 0 and 1: 0, 1/2 and 1 by chances 1/4, 1/2, 1/4; their 24th and 76th percentiles.
    assert two[["value", "ci_low", "ci_high"]].tolist() == pytest.approx([0.5, 0, 1], abs=0.05)
    assert row(values, method="three")["num_runs"] == 3 and two["num_runs"] == 2
    row(pairs, method="three", reference="two")


def spoil(predictions, column, change):
    return predictions.assign(**{column: change(predictions[column])})


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("draw", lambda draw: draw.map({"0": "1", "1": "0"})),
        ("label", lambda label: label.map({"MEL": "NEV", "NEV": "MEL"})),
        ("image_id", lambda image_id: "x" + image_id),
        ("patient_id", lambda patient_id: patient_id.iloc[::-1].to_numpy()),
    ],
)
def test_runs_on_other_folds_labels_images_or_patients_are_refused(runs, column, change):
    other = spoil(runs["flat-0"], column, change)
    with pytest.raises(ValueError, match=r"slimp-0 and flat-0 were tested on other .* of clinic.*split_file"):
        compare({"slimp-0": runs["slimp-0"], "flat-0": other}, {"a": ["slimp-0"], "b": ["flat-0"]})


def test_a_run_on_part_of_the_images_is_refused_and_the_order_of_rows_does_not_matter(runs):
    part = runs["flat-0"][runs["flat-0"]["image_id"] != "i03"]
    with pytest.raises(ValueError, match="can't be compared"):
        compare({"slimp-0": runs["slimp-0"], "flat-0": part}, {"a": ["slimp-0"], "b": ["flat-0"]})
    turned = {"slimp-0": runs["slimp-0"], "flat-0": runs["flat-0"].iloc[::-1]}
    groups = {"a": ["slimp-0"], "b": ["flat-0"]}
    plain = compare({name: runs[name] for name in turned}, groups)
    for one, other in zip(compare(turned, groups), plain, strict=True):
        keys = [name for name in one if name in ("method", "reference", "metric")]
        pd.testing.assert_frame_equal(
            one.sort_values(keys, ignore_index=True), other.sort_values(keys, ignore_index=True)
        )


def test_versions_that_are_not_there_are_refused_by_name(runs):
    with pytest.raises(ValueError, match=r"names absent, gone: no predictions on clinic.*There are: slimp-0, flat-0"):
        compare({name: runs[name] for name in ("slimp-0", "flat-0")}, {"a": ["slimp-0", "gone"], "b": ["absent"]})
    with pytest.raises(ValueError, match=r"no predictions on clinic yet.*evaluate"):
        compare({})


def test_runs_that_leak_never_stand_beside_results(runs, caplog):
    by_image = (np.arange(2 * NUM_PATIENTS) % NUM_FOLDS).astype(str)  # a patient's two images in two folds
    leaking = pd.concat([part.assign(draw=by_image) for _, part in runs["flat-0"].groupby(["method", "protocol"])])
    both = {"clean": runs["slimp-0"], "leaking": leaking}
    with caplog.at_level("INFO"):
        values, _ = compare(both)
    assert set(values["method"]) == {"slimp", "random_init", "metadata_linear"}
    assert "In leaking patients stand in several folds: left out" in caplog.text
    assert set(compare(both, leaks=True)[0]["method"]) == {"flat", "random_init", "metadata_linear"}
    with pytest.raises(ValueError, match="every run on clinic was left out"):
        compare({"leaking": leaking})
    with pytest.raises(ValueError, match=r"in run leaking patients stand in several folds, and .* no such split"):
        compare(both, {"a": ["leaking"]})
    with pytest.raises(ValueError, match="in run clean no patient stands in several folds"):
        compare(both, {"a": ["clean"]}, leaks=True)


def test_runs_of_different_objectives_in_one_group_are_refused(runs):
    groups = {"ours": ["slimp-0", "flat-1"], "theirs": ["flat-0"]}
    with pytest.raises(ValueError, match=r"comparison\.groups: ours holds slimp-0 \(slimp\) and flat-1 \(flat\)"):
        compare(runs, groups)
    both = pd.concat([runs["slimp-2"], predicted("slimp_adapted", 3)])
    with pytest.raises(ValueError, match=r"slimp-0 \(slimp\) and slimp-2 \(slimp, slimp_adapted\)"):
        compare({**runs, "slimp-2": both}, {"ours": ["slimp-0", "slimp-1", "slimp-2"]})


def truths(method, value):
    """A table of known truth: the method's R2, and that of what it started from."""
    lines = [
        ["skin type", name, "R2", x, x - 0.1, x + 0.1, 0.0, 9] for name, x in [(method, value), ("random_init", 0.2)]
    ]
    return pd.DataFrame(lines, columns=TRUTH_COLUMNS)


def test_known_truth_is_the_mean_over_runs_beside_the_lowest_and_the_highest():
    tables = {"a": truths("slimp", 0.5), "b": truths("slimp", 0.7), "c": truths("slimp", 0.9), "d": truths("slimp", 0)}
    found = compare_truths({k: lambda k=k: tables[k] for k in tables}, {"mean": ["a", "b"], "attention": ["c"]})
    by_method = found.set_index("method")
    assert by_method.loc["mean", ["num_runs", "value", "lowest", "highest"]].tolist() == pytest.approx(
        [2, 0.6, 0.5, 0.7]
    )
    assert by_method.loc["attention", ["num_runs", "value"]].tolist() == pytest.approx([1, 0.9])
    assert by_method.loc["random_init", ["num_runs", "value"]].tolist() == pytest.approx([3, 0.2])


def test_without_groups_known_truth_of_every_version_stands_for_itself():
    tables = {"a": truths("slimp", 0.5), "b": truths("slimp", 0.7)}
    found = compare_truths({k: lambda k=k: tables[k] for k in tables}, {}).set_index("method")["value"]
    assert found.to_dict() == pytest.approx({"slimp (a)": 0.5, "slimp (b)": 0.7, "random_init": 0.2})
    tables["b"].loc[1, "value"] = 0.3
    found = compare_truths({k: lambda k=k: tables[k] for k in tables}, {"x": ["a"], "y": ["b"]}).set_index("method")
    assert found["value"].to_dict() == pytest.approx(
        {"x": 0.5, "y": 0.7, "random_init (x)": 0.2, "random_init (y)": 0.3}
    )


def test_of_a_real_cohort_no_causes_are_known():
    found = compare_truths({"a": lambda: pd.DataFrame(columns=TRUTH_COLUMNS)}, {"mean": ["a", "written before"]})
    assert list(found) == TRUTH_COMPARISON_COLUMNS and found.empty


def test_how_well_fields_are_read_is_the_mean_over_runs_beside_the_lowest_and_the_highest():
    def read(value):
        row = ["clinic", "slimp", "age_years", "patient", "read from the image", "macro_auroc", value, 0.1, 0.9, 5]
        return pd.DataFrame([row], columns=READING_COLUMNS)

    tables = {"a": read(0.5), "b": read(0.7), "c": read(0.9), "empty": read(0.1).iloc[:0]}
    found = compare_readings({k: lambda k=k: tables[k] for k in tables}, {"kept": ["a", "b"], "out": ["c", "empty"]})
    assert list(found) == READING_COMPARISON_COLUMNS
    assert found[["method", "num_runs", "value", "lowest", "highest"]].to_numpy().tolist() == [
        ["kept", 2, pytest.approx(0.6), 0.5, 0.7],
        ["out", 1, 0.9, 0.9, 0.9],
    ]
