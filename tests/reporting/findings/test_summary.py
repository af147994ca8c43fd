"""What the console says of a run is what the page says."""

from slimp_pipeline.reporting.findings.summary import search_lines, summary_lines
from slimp_pipeline.reporting.findings.tables import headline


def test_the_console_and_the_page_agree_to_the_digit(results, differences, controls):
    said, brief = "\n".join(summary_lines(results, differences, controls)), headline(results, differences)
    assert "mean over folds" in said
    for line in brief["results"] + brief["differences"]:
        assert f"{line['value']} {line['range']}" in said.replace(":", "")


def test_figures_of_a_hold_out_alone_are_called_so(results, differences, controls):
    alone = results[results["draw"] == "0"].assign(draw="holdout")
    said = "\n".join(summary_lines(alone, differences, controls))
    assert "on the hold-out [interval]" in said and "mean over folds" not in said


def test_a_search_is_told_with_what_it_chose_and_by_whom():
    chosen = {
        "chosen": {"training.learning_rate": 0.00123456, "model.pooling": "max"},
        "trial": 2,
        "value": 0.4321,
        "cohort": "clinic",
        "measured_on": ["clinic"],
        "rows": {"num_validation_patients": 1234},
        "trials": {"complete": 3, "pruned": 1},
        "search": {"metric": "macro_auroc"},
    }
    assert search_lines(chosen) == [
        "clinic: trial 2 of 4 is chosen (3 complete, 1 pruned)",
        "  macro auroc of a linear probe on 1,234 inner validation patients: 0.432, as the best of several too good by "
        "chance",
        "  training.learning_rate: 0.001235",
        "  model.pooling: max",
    ]
    of_several = search_lines(chosen | {"cohort": "clinic+app+archive", "measured_on": ["app", "clinic"]})
    assert "inner validation patients, mean of app, clinic: 0.432" in of_several[1]
