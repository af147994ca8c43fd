"""The embeddings on a plane."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from slimp_pipeline.evaluation.features.embed import block, methods
from slimp_pipeline.evaluation.features.phenotypes import on_a_plane
from slimp_pipeline.evaluation.measures.records import pretrained_method
from slimp_pipeline.evaluation.task import Task
from slimp_pipeline.reporting.figures.layout import LEGEND_CHARACTERS, laid_out
from slimp_pipeline.reporting.labels import COLOURS
from slimp_pipeline.reporting.text import in_lines
from slimp_pipeline.tables.splits import partition_names

_MAP_POINTS = 2000  # more can't be told apart, and make the page heavy


def embedding_map(task: Task, embeddings: Mapping[str, np.ndarray], seed: int) -> go.Figure:
    """t-SNE of pre-trained image embeddings (first partition's encoder), coloured by class; a sample where many."""
    method = pretrained_method(methods(embeddings))
    values = block(embeddings, method, partition_names(task.rows)[0], "image")
    assert values is not None  # every method embeds images
    values, label_N = values[task.labelled_M], task.label_N
    sample = np.sort(np.random.default_rng(seed).permutation(len(values))[:_MAP_POINTS])
    values, label_N = values[sample], label_N[sample]
    points = on_a_plane(values, seed)
    figure = go.Figure()
    symbols = ("circle", "diamond", "square", "cross")
    for k, name in enumerate(task.classes):
        chosen = points[label_N == k]
        figure.add_scatter(
            x=chosen[:, 0],
            y=chosen[:, 1],
            mode="markers",
            name=in_lines(name, LEGEND_CHARACTERS),
            showlegend=True,
            marker={
                "size": 6,
                "opacity": 0.75,
                "color": COLOURS[k % len(COLOURS)],
                "symbol": symbols[k // len(COLOURS) % len(symbols)],
            },
        )
    figure.update_xaxes(showticklabels=False, zeroline=False)
    figure.update_yaxes(showticklabels=False, zeroline=False)
    laid_out(figure, "Map of the image embeddings", f"t-SNE, {len(points)} images", "", "")
    num_lines = sum(1 + trace.name.count("<br>") for trace in figure.data)
    return figure.update_layout(height=440 + 15 * max(0, num_lines - 6))  # on a phone every class has a line
