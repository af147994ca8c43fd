"""How a training went: losses and embedding health."""

import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.reporting.figures.layout import laid_out
from slimp_pipeline.reporting.labels import COLOURS

_DASHES = {"solid": "solid", "dot": "dotted", "dash": "dashed"}


def history_figure(history: pd.DataFrame) -> go.Figure:
    """Training and validation loss by epoch, one line per partition."""
    lines = {"loss": "training", "validation_loss": "validation"}
    return laid_out(_epochs_figure(history, lines), "Pre-training loss", _dashes(lines), "epoch", "nats")


def health_figure(history: pd.DataFrame) -> go.Figure:
    """Effective rank of the projections on held-out patients: a fall towards 1 is a collapse."""
    sides = {"image": "image", "lesion": "image", "patient": "phenotype", "flat": "image", "views": "image"}
    measured = set(history["name"])
    if "image_effective_rank" in measured:
        sides["lesion"] = "pictures of a lesion"
    lines = {f"{name}_effective_rank": side for name, side in sides.items() if f"{name}_effective_rank" in measured}
    figure = _epochs_figure(history, lines)
    return laid_out(figure, "Effective rank, held-out patients", _dashes(lines), "epoch", "effective rank")


def _epochs_figure(history: pd.DataFrame, lines: dict[str, str]) -> go.Figure:
    figure = go.Figure()
    partitions = list(dict.fromkeys(history["partition"]))
    for (name, title), dash in zip(lines.items(), _DASHES, strict=False):
        rows = history[history["name"] == name]
        by_epoch = rows.groupby(["partition", "epoch"], sort=False)["value"].mean().reset_index()
        for partition, line in by_epoch.groupby("partition", sort=False):
            figure.add_scatter(
                x=line["epoch"],
                y=line["value"],
                mode="lines",
                name=title if len(partitions) == 1 else str(partition).replace("_", " "),
                legendgroup=str(partition),
                showlegend=len(partitions) == 1 or dash == "solid",
                line={"dash": dash, "color": COLOURS[partitions.index(partition) % len(COLOURS)]},
            )
    return figure


def _dashes(lines: dict[str, str]) -> str:
    return ", ".join(f"{dash}: {title}" for dash, title in zip(_DASHES.values(), lines.values(), strict=False))
