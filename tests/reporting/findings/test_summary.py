"""What the console says of a run is what the page says."""

from slimp_pipeline.reporting.findings.summary import summary_lines
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
