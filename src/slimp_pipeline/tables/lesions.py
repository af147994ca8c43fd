"""The lesions table: one validated row per image, linked to the image store."""

import hashlib
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pandera.pandas as pa

from slimp_pipeline.cohorts.matched_files import CONFLICT, UNUSED_COLUMNS, MatchedFiles
from slimp_pipeline.cohorts.rows.problems import COLUMNS
from slimp_pipeline.cohorts.rows.reader import Reading
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.tables.decisions import DECIDED, lost_duplicates
from slimp_pipeline.tables.manifest import NUM_REASONS_SAID, diagnosis_table, make_manifest

_ROWS_AS_TEXT = 65_536  # at a time: as text, a table takes several times its memory
ID_COLUMNS = ["image_id", "lesion_id", "patient_id", "patient_known", "diagnosis", "malignant"]


def field_columns(spec: CohortSpec) -> dict[str, str]:
    """Columns that hold fields in the lesions table: column -> kind (`numeric`, `categorical`, `checkbox`)."""
    return {column: field.kind for name, field in spec.fields.items() for column in field.table_columns(name)}


def lesions_schema(spec: CohortSpec) -> pa.DataFrameSchema:
    """Pandera schema of a cohort's lesions table."""
    text, required = pa.Column(str, nullable=True), pa.Column(str, pa.Check.str_length(min_value=1))
    kinds = {
        "numeric": pa.Column(float, nullable=True),
        "categorical": text,
        "checkbox": pa.Column("boolean", nullable=True),
    }
    return pa.DataFrameSchema(
        {
            "image_id": pa.Column(str, pa.Check.str_length(min_value=1), unique=True),
            "lesion_id": required,
            "patient_id": required,
            "patient_known": pa.Column(bool),
            **({"site_id": text} if spec.site_id else {}),
            "diagnosis": text,
            "malignant": pa.Column("boolean", nullable=True),
            **{column: kinds[kind] for column, kind in field_columns(spec).items()},
            "store_index": pa.Column("Int64", pa.Check.ge(0), nullable=True),
        },
        strict=True,
        name=f"lesions of {spec.name}",
    )


@dataclass(frozen=True)
class Ingested:
    """A cohort as ingest leaves it.

    Attributes:
        lesions: One validated row per image; `store_index` is missing where a row has no image.
        quarantine: table, line (-1: of no line, but of its image), image_id, column, value, reason, kept.
        unused_files: Files that are no row's image: path, key, image_id, unused (kind of reason), reason.
        diagnoses: Rows per diagnosis, as `diagnosis_table` counts them.
        manifest: What it is, and counts; plain JSON.
    """

    lesions: pd.DataFrame
    quarantine: pd.DataFrame
    unused_files: pd.DataFrame
    diagnoses: pd.DataFrame
    manifest: dict[str, Any]


def link_images(
    spec: CohortSpec, reading: Reading, files: MatchedFiles, stored: pd.DataFrame, max_quarantined_share: float
) -> Ingested:
    """Link rows to packed images, set aside those whose image was refused, and count everything.

    Args:
        spec: The cohort.
        reading: Its rows, and those set aside.
        files: Its image files.
        stored: The image store's table (image_id, sha256, refused); index = store row.
        max_quarantined_share: Of all rows but those that people dropped; beyond it the cohort is refused.

    Raises:
        ValueError: If too many rows break, none is left, or the table breaks its schema.
    """
    refused = stored.set_index("image_id")["refused"].dropna()
    conflicts = files.unused[files.unused["unused"] == CONFLICT].drop_duplicates("image_id")
    reasons = pd.concat([refused, conflicts.set_index("image_id")["reason"]]).astype("str")
    rows = reading.rows
    reason = rows["image_id"].map(reasons)
    quarantine = pd.concat([reading.quarantine, _of_images(rows["image_id"], reason)], ignore_index=True)[COLUMNS]
    lesions = rows[reason.isna()].drop(columns="image_folder").reset_index(drop=True)
    good = stored[stored["refused"].isna()]
    index = pd.Series(good.index.to_numpy(), index=good["image_id"])
    lesions["store_index"] = lesions["image_id"].map(index).astype("Int64")
    num_decided = int((quarantine["column"].eq(DECIDED) & ~quarantine["kept"]).sum())
    num_rows = int(reading.facts["num_rows"]) - num_decided
    _require_few_broken(spec, quarantine, num_rows, num_rows - len(lesions), max_quarantined_share)
    try:
        lesions = lesions_schema(spec).validate(lesions, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases[["column", "check", "failure_case", "index"]].head(5).to_string(index=False)
        raise ValueError(f"cohort {spec.name}: the lesions table breaks its schema:\n{cases}") from errors
    unused = pd.concat([files.unused, _refused_files(files.images, refused)], ignore_index=True)
    lost = lost_duplicates(quarantine, lesions.loc[lesions["store_index"].notna(), "image_id"])
    facts = reading.facts | {
        "notes": [*reading.facts["notes"], *files.notes, *lost],
        "fingerprint": fingerprint(lesions, stored),
    }
    return Ingested(
        lesions, quarantine, unused, diagnosis_table(lesions), make_manifest(spec, lesions, quarantine, unused, facts)
    )


def _of_images(image_ids: pd.Series, reason: pd.Series) -> pd.DataFrame:
    broken = reason.notna()
    entries = pd.DataFrame({"image_id": image_ids[broken], "reason": reason[broken]})
    return entries.assign(table="", line=-1, column="(image)", value="", kept=False)


def _refused_files(images: pd.DataFrame, refused: pd.Series) -> pd.DataFrame:
    reason = images["image_id"].map(refused)
    files = images[reason.notna()].assign(unused="refused", reason=reason[reason.notna()])
    return files[UNUSED_COLUMNS]


def _require_few_broken(
    spec: CohortSpec, quarantine: pd.DataFrame, num_rows: int, num_broken: int, max_share: float
) -> None:
    if num_rows == 0 or num_broken == num_rows or num_broken > max_share * num_rows:
        broken = quarantine[~quarantine["kept"]]
        reasons = broken.groupby(["column", "reason"]).size().sort_values(ascending=False).head(NUM_REASONS_SAID)
        listed = "\n".join(f"  {count} x {column}: {why}" for (column, why), count in reasons.items())
        example = broken.drop(columns="kept").iloc[0].to_dict() if len(broken) else {}
        raise ValueError(
            f"cohort {spec.name}: {num_broken} of {num_rows} rows are broken, more than the share "
            f"{max_share:g} that ingest.max_quarantined_share allows.\n{listed}\n  first: {example}\n"
            "Correct the data or the cohort's YAML, or raise the share."
        )


def fingerprint(lesions: pd.DataFrame, images: pd.DataFrame) -> str:
    """Digest of a cohort's content: its rows and the pixels linked to them, whatever their order."""
    by_row = images["sha256"].reindex(lesions["store_index"].astype("float")).to_numpy()
    order, digest = lesions["image_id"].argsort().to_numpy(), hashlib.sha256()
    for start in range(0, len(order), _ROWS_AS_TEXT):
        rows = order[start : start + _ROWS_AS_TEXT]
        content = lesions.iloc[rows].drop(columns="store_index").assign(sha256=by_row[rows]).astype(str)
        digest.update(pd.util.hash_pandas_object(content, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]
