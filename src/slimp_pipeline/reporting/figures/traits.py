"""The phenotypes of patients on a plane, coloured by one trait at a time."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.evaluation.audits.subgroups import AGE, NOT_KNOWN, patient_groups
from slimp_pipeline.evaluation.features.phenotypes import PHENOTYPE_COLUMNS
from slimp_pipeline.reporting.figures.layout import LEGEND_CHARACTERS, laid_out
from slimp_pipeline.reporting.labels import COLOURS
from slimp_pipeline.reporting.text import figure_text, in_lines

_MALIGNANT, _MISSING = "any_malignant", "missing_share"
_MAX_VALUES = 8  # a colour each; the rarer ones of more share one
_OTHER, _UNKNOWN_COLOUR = "other", "#b8c0c8"


def phenotype_figure(phenotypes: pd.DataFrame, age_edges: Sequence[float]) -> go.Figure:
    """Patients by phenotype; a menu picks the trait that colours them, and numbers but ages are shaded.

    Args:
        phenotypes: As `phenotypes.map_phenotypes` gives them.
        age_edges: Bounds between age bands.

    Returns:
        A figure; without data where there are no patients. It holds no ids.
    """
    figure = go.Figure()
    traits = [
        name
        for name in [_MALIGNANT, *phenotypes.columns]
        if name not in set(PHENOTYPE_COLUMNS) - {_MALIGNANT, _MISSING}
    ]
    traits = [name for name in dict.fromkeys(traits) if len(phenotypes[name].dropna().unique()) > 1]
    owner: list[str] = []
    for trait in traits:
        before = len(figure.data)
        _add_trait(figure, phenotypes, trait, age_edges, visible=trait == traits[0])
        owner += [trait] * (len(figure.data) - before)
    if traits:
        buttons = [
            {"label": _spoken(trait), "method": "update", "args": [{"visible": [name == trait for name in owner]}]}
            for trait in traits
        ]
        menu = {"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.16, "yanchor": "top", "showactive": True}
        figure.update_layout(updatemenus=[menu])
    figure.update_xaxes(showticklabels=False, zeroline=False)
    figure.update_yaxes(showticklabels=False, zeroline=False)
    return laid_out(figure, "Map of the patients' phenotypes", f"t-SNE, {len(phenotypes)} patients", "", "")


def _add_trait(
    figure: go.Figure, phenotypes: pd.DataFrame, trait: str, age_edges: Sequence[float], *, visible: bool
) -> None:
    values = phenotypes[trait]
    if trait != AGE and pd.api.types.is_float_dtype(values):
        marker = {"size": 8, "color": values, "colorscale": "Viridis", "colorbar": {"title": _spoken(trait)}}
        place = {"x": phenotypes["x"], "y": phenotypes["y"], "mode": "markers", "marker": marker}
        figure.add_scatter(**place, name=_spoken(trait), showlegend=False, visible=visible)
        return
    if trait == _MALIGNANT:
        values = values.map({True: "has a malignant lesion", False: "has none"}).astype(object)
        values.name = trait
    group_N, names = patient_groups(values, age_edges)
    kept = [name for name in names if name != NOT_KNOWN]
    if len(kept) > _MAX_VALUES:
        frequent = list(group_N[group_N != NOT_KNOWN].value_counts().index[: _MAX_VALUES - 1])
        kept = [name for name in kept if name in frequent] + [_OTHER]
        group_N = group_N.where(group_N.isin([*kept, NOT_KNOWN]), _OTHER)
    for number, name in enumerate([*kept, NOT_KNOWN]):
        chosen = phenotypes[group_N == name]
        if len(chosen):
            colour = _UNKNOWN_COLOUR if name == NOT_KNOWN else COLOURS[number]
            place = {"x": chosen["x"], "y": chosen["y"], "mode": "markers", "marker": {"size": 8, "color": colour}}
            figure.add_scatter(**place, name=in_lines(name, LEGEND_CHARACTERS), opacity=0.8, visible=visible)


def _spoken(trait: str) -> str:
    named = {_MALIGNANT: "malignant lesion", _MISSING: "lesion fields missing, share"}
    return named.get(trait) or figure_text(trait.replace("_years", ", years").replace("_", " "))
