"""Pictures and the metadata records that they find, and the other way round."""

from typing import Any

import pandas as pd

from slimp_pipeline.evaluation.protocols.pairs import TO_METADATA
from slimp_pipeline.evaluation.task import in_turn
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import ReportParams
from slimp_pipeline.reporting.labels import UNLABELLED, method_name
from slimp_pipeline.reporting.pictures.cases import text_of
from slimp_pipeline.reporting.pictures.gallery import picture


def pair_gallery(
    found: pd.DataFrame, rows: pd.DataFrame, store: ImageStore, settings: ReportParams
) -> list[dict[str, Any]]:
    """Show some queries, one diagnosis after the other, with what each found.

    Args:
        found: As `protocols.pairs.find_pairs` gives it.
        rows: Evaluated rows.
        store: Their pictures.
        settings: How many queries each way (half of the gallery); whether ids may be shown.

    Returns:
        Queries: method, direction, rank (of the first result with the query's own metadata), num_keys, query and
        results, the own partner last where it isn't among the first. These hold a `picture`, or a `record`: field and
        value of what is known; results also is_own (the query's own metadata) and is_query (the query's very row).
    """
    by_image = rows.set_index("image_id", drop=False)
    size = -(-settings.gallery_size // 2)
    shown = []
    for direction, own in found.groupby("direction", sort=False):
        queries = own.drop_duplicates("query_image_id")
        labels = by_image.loc[queries["query_image_id"], "diagnosis"].fillna(UNLABELLED)
        for place in in_turn(labels.to_numpy(), size):
            query = queries.iloc[place]
            results = own[own["query_image_id"] == query["query_image_id"]]
            fields = str(query["fields"]).split(", ")
            sides = [_picture, _record] if direction == TO_METADATA else [_record, _picture]
            asked = sides[0](by_image.loc[query["query_image_id"]], fields, store, settings)
            answers = [
                sides[1](by_image.loc[row.image_id], fields, store, settings)
                | {"is_own": bool(row.is_own), "is_query": row.image_id == query["query_image_id"]}
                for row in results.sort_values("place").itertuples()
            ]
            if not any(answer["is_own"] for answer in answers):
                own_row = by_image.loc[query["query_image_id"]]
                answers.append(sides[1](own_row, fields, store, settings) | {"is_own": True, "is_query": True})
            rank, num_keys = int(query["rank_of_own"]), int(query["num_keys"])
            place_of_own = {"direction": direction, "rank": rank, "num_keys": num_keys}
            method = method_name(str(query["method"]))
            shown.append({"method": method, **place_of_own, "query": asked, "results": answers})
    return shown


def _picture(row: pd.Series, fields: list[str], store: ImageStore, settings: ReportParams) -> dict[str, Any]:
    return {"picture": picture(row, store, show_ids=settings.show_ids)}


def _record(row: pd.Series, fields: list[str], store: ImageStore, settings: ReportParams) -> dict[str, Any]:
    """Known fields of a row; of a checkbox group the options that are ticked."""
    lines = []
    for name in fields:
        if name in row.index:
            if pd.notna(row[name]):
                lines.append({"field": name, "value": text_of(row[name])})
            continue
        options = [column for column in row.index if column.startswith(f"{name}.")]
        ticked = [column.removeprefix(f"{name}.") for column in options if pd.notna(row[column]) and row[column]]
        if ticked:
            lines.append({"field": name, "value": ", ".join(ticked)})
    return {"record": lines, "num_unknown": len(fields) - len(lines)}
