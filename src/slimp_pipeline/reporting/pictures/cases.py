"""Best and worst cases of borrowed metadata, as pairs of pictures with what was borrowed and what is true."""

from typing import Any

import pandas as pd

from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.reporting.pictures.gallery import picture


def picture_cases(
    cases: pd.DataFrame,
    reference_rows: pd.DataFrame,
    target_rows: pd.DataFrame,
    reference_store: ImageStore,
    target_store: ImageStore,
) -> dict[str, list[dict[str, Any]]]:
    """Draw the cases.

    Args:
        cases: case (`best`, `worst`), image_id, nearest_image_id, similarity, fields (names), borrowed values.
        reference_rows: Rows that lend.
        target_rows: Rows that borrow.
        reference_store: Images of the former.
        target_store: Images of the latter.

    Returns:
        Case -> pairs: the two pictures (target, neighbour), similarity, and lines of field, borrowed, true.
    """
    by_target = target_rows.set_index("image_id")
    by_reference = reference_rows.set_index("image_id")
    names = compared_columns(cases, by_target)
    drawn: dict[str, list[dict[str, Any]]] = {"best": [], "worst": []}
    for case in cases.to_dict("records"):
        own, lender = by_target.loc[case["image_id"]], by_reference.loc[case["nearest_image_id"]]
        drawn[case["case"]].append(
            {
                "pictures": [
                    picture(own, target_store, show_ids=False),
                    picture(lender, reference_store, show_ids=False),
                ],
                "similarity": f"{case['similarity']:.3f}",
                "lines": [
                    {"field": name, "borrowed": text_of(case[name]), "true": text_of(own[name])} for name in names
                ],
            }
        )
    return drawn


def compared_columns(cases: pd.DataFrame, target_rows: pd.DataFrame) -> list[str]:
    """Columns of the compared fields that both tables have; a checkbox group has one per option."""
    fields = str(cases["fields"].iloc[0]).split(", ") if len(cases) else []
    return [
        column
        for name in fields
        for column in cases
        if (column == name or column.startswith(f"{name}.")) and column in target_rows
    ]


def text_of(value: Any) -> str:
    """A table's value as people read it."""
    if pd.isna(value):
        return "not known"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
