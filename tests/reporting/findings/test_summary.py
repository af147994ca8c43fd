"""What the console says of a run is what the page says."""

import pandas as pd

from slimp_pipeline.extrapolation.quality import QUALITY_COLUMNS
from slimp_pipeline.extrapolation.run import WORTH_COLUMNS
from slimp_pipeline.reporting.findings.summary import extrapolation_lines, search_lines, summary_lines
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


def test_the_console_names_the_share_that_borrowed_metadata_were_judged_on():
    rows = [["sex", "categorical", share, "accuracy", 0.9, 0.8, 1.0, 0.5, 0.5, 50, 20, True] for share in (0.5, 1.0)]
    quality, worth = pd.DataFrame(rows, columns=QUALITY_COLUMNS), pd.DataFrame(columns=WORTH_COLUMNS)
    assert extrapolation_lines(quality, worth)[1] == "Borrowed metadata against the truth:"
    _, heading, line = extrapolation_lines(quality[:1], worth)
    assert heading == "Borrowed metadata against the truth on the nearest 50 % of rows:"
    assert line.split() == ["sex", "accuracy", "0.900,", "chance", "0.500:", "better", "than", "chance"]
