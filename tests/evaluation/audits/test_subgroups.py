"""Results by group of patients."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from slimp_pipeline.evaluation.audits.subgroups import METRICS, SUBGROUP_COLUMNS, numbered_sites, subgroup_table
from slimp_pipeline.evaluation.measures.bootstrap import interval, resampled
from slimp_pipeline.evaluation.measures.metrics import auroc
from slimp_pipeline.parameters import EvaluationParams, SubgroupParams
from slimp_pipeline.pipelines.evaluate.audits import group

CLASSES = ["MEL", "NEV", "SEK"]
MALIGNANT = np.array([1, 0, 0])
GROUPS = SubgroupParams(fields=["sex", "age_years"], min_patients=3, min_patients_per_class=0)
SETTINGS = EvaluationParams(num_resamples=50, subgroups=GROUPS)


def cohort(num_patients=40, num_folds=2, seed=0):
    """Two images a patient; probe scores are right for women and noise for men."""
    rng = np.random.default_rng(seed)
    patient_N = np.repeat(np.arange(num_patients), 2)
    label_N = np.arange(2 * num_patients) % 3
    women_N = patient_N % 4 < 2
    noise_NK = rng.dirichlet(np.ones(3), 2 * num_patients)
    score_NK = np.where(women_N[:, None], 0.5 * np.eye(3)[label_N] + 0.5 * noise_NK, noise_NK)
    image_ids = [f"i{number:03d}" for number in range(2 * num_patients)]
    rows = pd.DataFrame(
        {"image_id": image_ids, "sex": np.where(women_N, "female", "male"), "age_years": 30.0 + patient_N % 60}
    )
    predictions = pd.DataFrame(
        {
            "method": "slimp",
            "features": "image",
            "protocol": "linear_probe",
            "draw": (patient_N % num_folds).astype(str),
            "image_id": image_ids,
            "patient_id": [f"p{number:02d}" for number in patient_N],
            "label": np.array(CLASSES)[label_N],
            "predicted": np.array(CLASSES)[score_NK.argmax(axis=1)],
            **{f"score.{name}": score_NK[:, k] for k, name in enumerate(CLASSES)},
        }
    )
    return predictions, rows


def table_of(predictions, rows, settings=SETTINGS, malignant_K=MALIGNANT):
    group_of_label = dict(zip(CLASSES, malignant_K, strict=True))
    return subgroup_table(predictions.assign(label_malignant=predictions["label"].map(group_of_label)), rows, settings)


def with_subgroups(**changes):
    return SETTINGS.model_copy(update={"subgroups": SETTINGS.subgroups.model_copy(update=changes)})


def test_a_group_is_measured_within_folds_and_averaged():
    predictions, rows = cohort()
    table = table_of(predictions, rows)
    assert list(table) == SUBGROUP_COLUMNS
    men = predictions[predictions["image_id"].map(rows.set_index("image_id")["sex"]) == "male"]
    expected = {metric: [] for metric in METRICS[:3]}
    for _, fold in men.groupby("draw"):
        scores = fold[[f"score.{name}" for name in CLASSES]].to_numpy()
        expected["balanced_accuracy"].append(balanced_accuracy_score(fold["label"], fold["predicted"]))
        expected["macro_auroc"].append(roc_auc_score(fold["label"], scores, multi_class="ovr"))
        expected["malignant_auroc"].append(roc_auc_score(fold["label"] == "MEL", scores[:, 0]))
    measured = table[table["group"] == "male"].set_index("metric")
    assert list(measured.index) == METRICS
    for metric, values in expected.items():
        assert measured.loc[metric, "value"] == pytest.approx(np.mean(values))
    assert (measured["num_patients"] == 20).all() and (measured["num_images"] == 40).all()
    assert not measured["too_small"].any()


def test_the_interval_is_by_bootstrap_over_the_groups_patients_within_folds():
    predictions, rows = cohort()
    women = predictions[predictions["image_id"].map(rows.set_index("image_id")["sex"]) == "female"]
    drawn = []
    for position, (_, fold) in enumerate(women.groupby("draw")):
        weightings = resampled(fold["patient_id"].to_numpy(), SETTINGS.num_resamples, (SETTINGS.seed, position))
        drawn.append(auroc(fold["score.MEL"].to_numpy(), (fold["label"] == "MEL").to_numpy(), weightings))
    value_R = np.mean(drawn, axis=0)
    expected = np.clip(interval(value_R[0], value_R[1:], SETTINGS.confidence), 0, 1)
    row = table_of(predictions, rows).query("group == 'female' and metric == 'malignant_auroc'")
    assert row[["ci_low", "ci_high"]].to_numpy()[0] == pytest.approx(expected)


def test_the_group_that_the_probe_fails_on_is_seen():
    predictions, rows = cohort()
    table = table_of(predictions, rows)
    values = table[table["metric"] == "macro_auroc"].set_index("group")
    assert values.loc["female", "ci_low"] > values.loc["male", "ci_high"]


def test_patients_of_a_benign_group_are_scored_by_their_worst_lesion():
    """Every patient has three lesions, the last of which looks malignant; only men's is, of every other one."""
    place_N = np.tile(np.arange(3), 80)
    patient_N = np.repeat(np.arange(80), 3)
    women_N = patient_N < 40
    malignant_N = ~women_N & (place_N == 2) & (patient_N % 2 == 0)
    score_N = np.array([0.1, 0.2, 0.9])[place_N]
    ids = [f"i{number:03d}" for number in range(240)]
    predictions = pd.DataFrame(
        {
            "method": "slimp",
            "features": "image",
            "protocol": "linear_probe",
            "shots": "all",
            "draw": (patient_N // 2 % 2).astype(str),
            "repeat": 0,
            "image_id": ids,
            "lesion_id": ids,
            "patient_id": [f"p{number:02d}" for number in patient_N],
            "label": np.where(malignant_N, "malignant", "benign"),
            "label_malignant": malignant_N.astype(int),
            "predicted": np.where(score_N > 0.5, "malignant", "benign"),
            "score.benign": 1 - score_N,
            "score.malignant": score_N,
        }
    )
    texts = [name for name in predictions if name.endswith("_id") or predictions[name].dtype == "str"]
    rows = pd.DataFrame({"image_id": ids, "sex": np.where(women_N, "female", "male")})
    settings = SETTINGS.model_copy(update={"unit": "patient", "label": "malignant"})
    table = subgroup_table(predictions.astype(dict.fromkeys(texts, "category")), rows, settings)
    values = table[table["metric"] == "balanced_accuracy"].set_index("group")["value"]
    assert values.to_dict() == {"female": 0.0, "male": 0.5}  # all of them are taken for malignant


def test_ages_fall_into_bands_of_completed_years():
    predictions, rows = cohort(num_patients=6, num_folds=1)
    rows["age_years"] = [0, 39.9, 40, 59.9, 60, 74, 75, 90, np.nan, 39, 60, np.nan]
    table = table_of(predictions, rows, with_subgroups(fields=["age_years"], min_patients=1))
    sizes = table.drop_duplicates("group").set_index("group")["num_images"]
    assert sizes.to_dict() == {"under 40": 3, "40 to 59": 2, "60 to 74": 3, "75 or older": 2, "not known": 2}
    assert list(sizes.index) == ["under 40", "40 to 59", "60 to 74", "75 or older", "not known"]


def test_rows_whose_field_is_missing_are_a_group():
    predictions, rows = cohort()
    rows["sex"] = rows["sex"].where(rows["sex"] == "female")
    assert table_of(predictions, rows)["group"].unique().tolist()[:2] == ["female", "not known"]
    unknown = table_of(predictions, rows).query("group == 'not known' and metric == 'macro_auroc'")
    before = table_of(*cohort()).query("group == 'male' and metric == 'macro_auroc'")
    pd.testing.assert_series_equal(unknown.iloc[0].drop("group"), before.iloc[0].drop("group"), check_names=False)


def test_sites_are_called_by_number_in_the_order_of_their_names():
    sites = pd.Series(["St. Elsewhere", None, "Mercy", "St. Elsewhere"])
    assert numbered_sites(sites).fillna("?").tolist() == ["site 2", "?", "site 1", "site 2"]
    many = numbered_sites(pd.Series([f"clinic {number:02}" for number in range(12)]))
    assert many.tolist() == sorted(many) and many[0] == "site 01"


@pytest.mark.parametrize(("open_licence", "name"), [(True, "Mercy"), (False, "site 1")])
def test_a_site_is_named_only_where_the_licence_is_open(small_cohort, open_licence, name):
    _, _, predictions = small_cohort.run("linear_probe")
    lesions = small_cohort.lesions.assign(site_id="Mercy", store_index=0)
    patients = lesions[["patient_id"]].drop_duplicates().assign(num_images=2)
    target = SimpleNamespace(fields={}, open_licence=open_licence)
    table = group(target, predictions, lesions, patients, small_cohort.splits, small_cohort.settings)
    assert set(table.loc[table["field"] == "site_id", "group"]) == {name}


def test_too_small_a_group_is_named_without_figures():
    predictions, rows = cohort()
    predictions = pd.concat([predictions, predictions.assign(method="random_init")])
    rows.loc[:3, "sex"] = "other"  # two patients
    small = table_of(predictions, rows).query("group == 'other'")
    assert small["method"].tolist() == ["slimp", "random_init"]
    assert small["too_small"].all() and (small["metric"] == "").all()
    assert small[["value", "ci_low", "ci_high"]].isna().all(axis=None)
    assert (small["num_patients"] == 2).all() and (small["num_images"] == 4).all()
    just_large_enough = table_of(predictions, rows, with_subgroups(min_patients=2)).query("group == 'other'")
    assert just_large_enough["value"].notna().all() and not just_large_enough["too_small"].any()


def test_metrics_of_malignant_lesions_need_patients_of_either_class():
    predictions, rows = cohort()
    women = set(rows.loc[rows["sex"] == "female", "image_id"])
    with_melanoma = predictions.loc[predictions["label"].eq("MEL"), "image_id"]
    keep = [*sorted(women & set(with_melanoma))[:4], *predictions.loc[~predictions["label"].eq("MEL"), "image_id"]]
    few = predictions[predictions["image_id"].isin(keep)]  # four women have a melanoma each
    asked = {number: with_subgroups(fields=["sex"], min_patients_per_class=number) for number in (4, 5)}
    found = {n: set(table_of(few, rows, one).query("group == 'female'")["metric"]) for n, one in asked.items()}
    assert found[4] == set(METRICS) and found[5] == {"balanced_accuracy", "macro_auroc"}
    binary = few.assign(label=few["label"].replace("SEK", "NEV")).drop(columns="score.SEK")
    told = binary.assign(label_malignant=binary["label"].eq("MEL").astype(int))
    table = subgroup_table(told, rows, asked[5])
    assert table.loc[table["group"] == "female", "too_small"].all()


def test_only_linear_probes_on_folds_count_and_the_hold_out_where_there_are_none():
    predictions, rows = cohort()
    neighbours = predictions.assign(protocol="knn", method="knn_only")
    held_out = predictions.assign(draw="holdout", patient_id="h" + predictions["patient_id"])
    mixed = table_of(pd.concat([neighbours, held_out, predictions]), rows)
    pd.testing.assert_frame_equal(mixed, table_of(predictions, rows))
    alone = table_of(held_out, rows)
    assert len(alone) == len(mixed) and (alone["value"] != mixed["value"]).any()


def test_a_fold_that_a_metric_cannot_be_measured_in_is_left_out_of_its_mean():
    predictions, rows = cohort()
    first = predictions["draw"] == "0"
    predictions.loc[first, "label"] = "NEV"
    value = table_of(predictions, rows).query("group == 'male' and metric == 'malignant_auroc'")["value"].item()
    second = table_of(predictions[~first], rows).query("group == 'male' and metric == 'malignant_auroc'")
    assert value == pytest.approx(second["value"].item())


def test_metrics_that_no_fold_can_measure_are_left_out():
    predictions, rows = cohort()
    predictions["label"] = "NEV"
    assert set(table_of(predictions, rows)["metric"]) == {"balanced_accuracy"}
    assert set(table_of(*cohort(), malignant_K=np.array([-1, 0, 0]))["metric"]) == {"balanced_accuracy", "macro_auroc"}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_methods_with_the_same_scores_have_the_same_figures_in_whatever_order(seed):
    predictions, rows = cohort(num_patients=12, seed=seed)
    shuffled = predictions.assign(method="twin").sample(frac=1, random_state=seed)
    table = table_of(pd.concat([predictions, shuffled]), rows)
    columns = ["field", "group", "metric", "value", "ci_low", "ci_high", "num_patients", "num_images", "too_small"]
    one, two = (table.loc[table["method"] == name, columns].reset_index(drop=True) for name in ("slimp", "twin"))
    pd.testing.assert_frame_equal(one, two)
    known = table[~table["too_small"]]
    assert known["value"].between(known["ci_low"], known["ci_high"]).all()
    assert known["ci_low"].ge(0).all() and known["ci_high"].le(1).all()


def test_fields_that_the_rows_lack_are_left_out():
    predictions, rows = cohort()
    table = table_of(predictions, rows.drop(columns=["sex", "age_years"]))
    assert table.empty and list(table) == SUBGROUP_COLUMNS
    assert table_of(predictions.iloc[:0], rows).empty


def test_what_does_not_fit_together_is_refused():
    predictions, rows = cohort()
    with pytest.raises(ValueError, match=r"2 predicted images aren't among the rows, first: i000"):
        table_of(predictions, rows.iloc[2:])
    for edges in ([], [60.0, 40.0], [37.5], [40.0, 40.0]):
        with pytest.raises(ValueError, match="whole years that rise"):
            table_of(predictions, rows, with_subgroups(age_edges=edges))
