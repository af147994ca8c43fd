"""Sections of the report on what predictions rest on; a template each: `importance.html`, `controls.html`, ..."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from slimp_pipeline.reporting.findings.explanations import (
    control_tables,
    importance_tables,
    leak_lines,
    reading_tables,
    saliency_summary,
    shuffled_labels,
    worst_group,
)


@dataclass(frozen=True)
class Explained:
    """What was looked at beside results."""

    importance: pd.DataFrame
    controls: pd.DataFrame
    field_reading: pd.DataFrame
    leaks: pd.DataFrame
    saliency: pd.DataFrame


def explained_sections(explained: Explained, subgroups: pd.DataFrame, results: pd.DataFrame) -> dict[str, Any]:
    """What the templates of these sections are given."""
    return {
        "importance": importance_tables(explained.importance),
        "controls": control_tables(explained.controls),
        "field_reading": reading_tables(explained.field_reading),
        "shuffled_labels": shuffled_labels(explained.controls),
        "leak_audit": leak_lines(explained.leaks),
        "worst_group": worst_group(subgroups, results),
        "saliency_summary": saliency_summary(explained.saliency),
    }
