"""Rows that are left, as bars."""

from slimp_pipeline.reporting.figures.rows import row_counts_figure


def test_bars_are_what_each_step_leaves_in_the_order_of_steps(row_counts):
    figure = row_counts_figure(row_counts)
    source, target = figure.data
    assert list(target.y) == ["in the raw table", "not quarantined", "with an image", "with a label"]
    assert list(target.x) == [60, 57, 45, 40] and list(source.x) == [50, 50]
    assert list(figure.layout.yaxis.categoryarray) == list(target.y)  # the source lacks two of them
