"""Result tables as the page shows them."""

import numpy as np
import pandas as pd

from slimp_pipeline.reporting.findings.tables import differences_tables, headline, results_tables


def test_tables_group_methods_in_one_order_under_their_features(results):
    tables = {table["title"]: table for table in results_tables(results)}
    assert set(tables) == {"linear probe", "k-NN, plain vote", "baseline"}
    for group in tables["linear probe"]["groups"]:
        assert [line["method"] for line in group["lines"]] == ["SLIMP", "initial weights", "random init"]


def test_a_cell_has_the_value_and_the_interval_of_its_row(results):
    probe = next(table for table in results_tables(results) if table["title"] == "linear probe")
    chosen = results[(results["draw"] == "all") & (results["method"] == "slimp") & (results["features"] == "image")]
    row = chosen[(chosen["protocol"] == "linear_probe") & (chosen["metric"] == "macro_auroc")].iloc[0]
    cell = probe["groups"][0]["lines"][0]["cells"][probe["metrics"].index("macro AUROC")]
    assert cell["value"] == f"{row['value']:.3f}"
    assert cell["range"] == f"[{row['ci_low']:.3f}, {row['ci_high']:.3f}]"


def test_a_hold_out_has_tables_of_its_own_after_the_folds(results):
    results.loc[results["draw"] == "1", "draw"] = "holdout"
    titles = [table["title"] for table in results_tables(results)]
    assert titles[:3] == [title.removesuffix(", hold-out") for title in titles[3:]]


def test_what_could_not_be_measured_says_so(results):
    results.loc[:, ["value", "ci_low", "ci_high"]] = np.nan
    assert results_tables(results)[0]["groups"][0]["lines"][0]["cells"][0]["value"] == "not measurable"


def test_differences_within_noise_are_called_so(differences):
    (table,) = differences_tables(differences)
    assert table["method"] == "SLIMP"
    lines = {line["method"]: line["cells"] for line in table["groups"][0]["lines"]}
    assert list(lines) == ["initial weights", "random init", "metadata, linear"]
    assert {cell["verdict"] for cell in lines["random init"]} == {"better"}
    assert {cell["verdict"] for cell in lines["initial weights"]} == {"within noise"}
    assert differences_tables(differences.iloc[:0]) == []


def test_the_headline_names_the_probes_on_images_and_the_baseline(results, differences):
    brief = headline(results, differences)
    methods = ["SLIMP", "initial weights", "random init", "metadata, linear"]
    assert [line["method"] for line in brief["results"]] == methods
    assert [line["reference"] for line in brief["differences"]] == methods[1:]
    assert {line["method"] for line in brief["differences"]} == {"SLIMP"}


def test_every_pre_trained_method_has_a_table_of_its_differences(differences):
    adapted = differences.assign(method="slimp_adapted")
    tables = differences_tables(pd.concat([differences, adapted]))
    assert [table["method"] for table in tables] == ["SLIMP", "SLIMP, adapted"]


def test_probes_on_few_labels_stay_out_of_the_tables_of_full_training(results):
    few = results.assign(shots="5")
    assert results_tables(pd.concat([results, few])) == results_tables(results)
