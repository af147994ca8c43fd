"""How many rows are left after each step."""

import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.reporting.figures.layout import laid_out
from slimp_pipeline.reporting.findings.rows import step_name
from slimp_pipeline.reporting.labels import COLOURS


def row_counts_figure(row_counts: pd.DataFrame) -> go.Figure:
    """Rows left after each step that all of a cohort passes; one bar each, in both roles."""
    counts = row_counts[row_counts["partition"].fillna("") == ""]
    figure = go.Figure()
    for number, (role, rows) in enumerate(counts.groupby("role", sort=False)):
        last = rows.drop_duplicates("step", keep="last")  # of the reasons for quarantine
        figure.add_bar(
            x=last["num_out"],
            y=["after the quarantine" if step == "quarantine" else step_name(step, "") for step in last["step"]],
            name=str(role),
            orientation="h",
            text=last["num_out"].map("{:,}".format),
            marker={"color": COLOURS[number]},
        )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    laid_out(figure, "Rows that are left", "after each step that all rows pass", "rows", "")
    return figure.update_layout(height=170 + 60 * counts["step"].nunique())
