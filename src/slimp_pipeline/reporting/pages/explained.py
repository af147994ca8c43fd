"""Sections of the report on what predictions rest on; a template each: `importance.html`, `controls.html`, ..."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from slimp_pipeline.reporting.findings.explanations import (
    control_tables,
    importance_tables,
    leak_lines,
    saliency_summary,
    worst_group,
)


@dataclass(frozen=True)
class Explained:
    """What was looked at beside results; tables, and pictures as `reporting.pictures` draws them."""

    importance: pd.DataFrame
    controls: pd.DataFrame
    leaks: pd.DataFrame
    saliency: pd.DataFrame
    patient_view: list[dict[str, Any]]
    pair_gallery: list[dict[str, Any]]
    saliency_pictures: list[dict[str, Any]]

    def pictures(self) -> dict[str, list[Any]]:
        """Pictures by section, those that give way first at the head, where a page has no room."""
        return {"pairs": self.pair_gallery, "patients": self.patient_view, "saliency": self.saliency_pictures}


def explained_sections(explained: Explained, subgroups: pd.DataFrame, results: pd.DataFrame) -> dict[str, Any]:
    """What the templates of these sections are given."""
    return {
        "importance": importance_tables(explained.importance),
        "controls": control_tables(explained.controls),
        "leak_audit": leak_lines(explained.leaks),
        "worst_group": worst_group(subgroups, results),
        "saliency_summary": saliency_summary(explained.saliency),
    }
