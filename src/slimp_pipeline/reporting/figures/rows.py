"""How many rows are left after each step."""

import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.evaluation.audits.row_counts import CHAIN
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
            y=[step_name(step, "") for step in last["step"]],
            name=str(role),
            orientation="h",
            text=last["num_out"].map("{:,}".format),
            marker={"color": COLOURS[number]},
        )
    steps = [step_name(step, "") for step in CHAIN if step in set(counts["step"])]
    order = {"categoryorder": "array", "categoryarray": steps}  # a role may lack a step
    figure.update_yaxes(**order, autorange="reversed", showgrid=False)
    laid_out(figure, "Rows that are left", "after each step that all rows pass", "rows", "")
    return figure.update_layout(height=170 + 60 * counts["step"].nunique())
