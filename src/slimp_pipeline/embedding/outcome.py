"""What became of every file and row, and what is said of it at the end."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from slimp_pipeline.cohorts.text import in_one_line
from slimp_pipeline.embedding.listing import EMBEDDED, NO_PICTURE, REFUSED
from slimp_pipeline.embedding.metadata import PictureRows
from slimp_pipeline.embedding.request import Request
from slimp_pipeline.embedding.shards import EmbeddedPictures, folder_digest
from slimp_pipeline.embedding.tables import count
from slimp_pipeline.handover.known import KnownLesions

ROW_ALONE = "row_without_picture"
COLUMNS = ["picture", "image_id", "outcome", "reason"]
_NUM_SHOWN = 5
_LEDGER = "picture_ledger.csv names each file"
_NO_ROW = "no row of the metadata table is of it: nothing but the picture is known"


def ledger(request: Request, embedded: EmbeddedPictures) -> pd.DataFrame:
    """A row for each file, and for each row of the metadata table that is of none.

    Returns:
        picture, image_id, outcome (`embedded`, `refused`, `no_picture`, `row_without_picture`), reason ("" where there
        is nothing to say).
    """
    files = request.files[COLUMNS].copy()
    is_asked = files["outcome"].eq(EMBEDDED).to_numpy()
    reasons = np.concatenate([shard["refused"].to_numpy() for shard in embedded])
    if request.rows is not None:
        reasons = np.where(pd.isna(reasons) & ~request.rows.has_row_N, _NO_ROW, reasons)
    refused = pd.notna(reasons) & (reasons != _NO_ROW)
    files.loc[is_asked, "reason"] = np.where(pd.isna(reasons), "", reasons)
    files.loc[is_asked, "outcome"] = np.where(refused, REFUSED, EMBEDDED)
    return pd.concat([files, _rows_alone(request.rows)], ignore_index=True)


def _rows_alone(rows: PictureRows | None) -> pd.DataFrame:
    unmatched = rows.unmatched if rows else {}
    values = [
        (name, "", ROW_ALONE, f"line {line} of the metadata table: {why}") for line, (name, why) in unmatched.items()
    ]
    return pd.DataFrame(values, columns=COLUMNS, dtype="str")


def summary(
    request: Request, files: pd.DataFrame, pictures: pq.ParquetFile, lesions: pq.ParquetFile, max_refused_share: float
) -> dict[str, Any]:
    """Count what became of the files.

    Args:
        request: What was asked for.
        files: The ledger.
        pictures: The table of pictures.
        lesions: The table of lesions.
        max_refused_share: Of the pictures.

    Raises:
        ValueError: If more pictures were refused, or all; says why they were, and that the others are there.
    """
    outcomes, known = files["outcome"].value_counts(), KnownLesions.read(request.encoder)
    counts = {outcome: int(outcomes.get(outcome, 0)) for outcome in (EMBEDDED, REFUSED, NO_PICTURE, ROW_ALONE)}
    _require_few_refused(files, counts, max_refused_share)
    return {
        **{f"num_{outcome}": number for outcome, number in counts.items()},
        "num_pictures_without_row": int(files["reason"].eq(_NO_ROW).sum()),
        "num_lesions": lesions.metadata.num_rows,
        "num_unusual": count(pictures, "is_unusual"),
        "unusual_above": known.unusual_above if known else None,
        "unusual_share": known.unusual_share if known else None,
        "challenge": request.challenge.name if request.challenge else None,
        "encoder": folder_digest(request.encoder),
    }


def _require_few_refused(files: pd.DataFrame, counts: dict[str, int], max_refused_share: float) -> None:
    asked = counts[EMBEDDED] + counts[REFUSED]
    if counts[EMBEDDED] and counts[REFUSED] <= max_refused_share * asked:
        return
    refused = files[files["outcome"] == REFUSED]
    kinds = refused.groupby("reason", sort=False)["picture"].agg(["size", "first"])
    kinds = kinds.sort_values("size", ascending=False, kind="stable")
    lines = [f"  {row.size:,} x {row.Index} ({in_one_line(row.first)})" for row in kinds.head(_NUM_SHOWN).itertuples()]
    if len(kinds) > _NUM_SHOWN:
        lines.append(f"  and {len(kinds) - _NUM_SHOWN} other reasons")
    if not counts[EMBEDDED]:
        raise ValueError(f"none of {asked:,} pictures was embedded:\n" + "\n".join([*lines, _LEDGER]))
    share = f"{np.ceil(1e4 * counts[REFUSED] / asked) / 1e4:g}"
    raise ValueError(
        f"{counts[REFUSED]:,} of {asked:,} pictures weren't embedded:\n" + "\n".join(lines) + "\n"
        f"The other {counts[EMBEDDED]:,} were, and all tables are written; {_LEDGER}. "
        f"To accept this: --params=embedding.max_refused_share={share}"
    )
