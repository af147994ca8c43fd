"""The lesions table: one validated row per image, linked to the image store."""

import hashlib
from typing import Any

import pandas as pd
import pandera.pandas as pa

from slimp_pipeline.cohorts.reader import QUARANTINE_COLUMNS
from slimp_pipeline.cohorts.spec import CohortSpec

_NUM_REASONS_SAID = 5  # all stand in the quarantine table
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
            "diagnosis": text,
            "malignant": pa.Column("boolean", nullable=True),
            **{column: kinds[kind] for column, kind in field_columns(spec).items()},
            "store_index": pa.Column("Int64", pa.Check.ge(0), nullable=True),
        },
        strict=True,
        name=f"lesions of {spec.name}",
    )


def link_images(
    spec: CohortSpec,
    rows: pd.DataFrame,
    row_quarantine: pd.DataFrame,
    images: pd.DataFrame,
    num_unlisted_images: int,
    max_quarantined_share: float,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Link rows to packed images, set aside those whose image was refused, and count everything.

    Args:
        spec: The cohort.
        rows: Lesion rows as `read_rows` returns them.
        row_quarantine: Rows that it set aside.
        images: The image store's table (image_id, sha256, refused); index = store row.
        num_unlisted_images: Images on disk that no row names.
        max_quarantined_share: Of all rows; beyond it the cohort is refused.

    Returns:
        lesions (validated; `store_index` is missing where a row has no image), quarantine, manifest.

    Raises:
        ValueError: If too many rows break, none is left, or the table breaks its schema.
    """
    repeated = images["image_id"].duplicated(keep=False)
    refused = images["refused"].where(~repeated, "several files have this image id")
    reasons = pd.Series(refused.to_numpy(), index=images["image_id"]).groupby(level=0).first()
    reason = rows["image_id"].map(reasons)
    image_quarantine = pd.DataFrame(
        {
            "image_id": rows["image_id"][reason.notna()],
            "line": -1,
            "column": "(image)",
            "value": "",
            "reason": reason[reason.notna()],
        }
    )
    quarantine = pd.concat([row_quarantine, image_quarantine], ignore_index=True)[QUARANTINE_COLUMNS]
    lesions = rows[reason.isna()].reset_index(drop=True)
    good = images[refused.isna()]
    index = pd.Series(good.index.to_numpy(), index=good["image_id"])
    lesions["store_index"] = lesions["image_id"].map(index).astype("Int64")
    num_rows = len(rows) + row_quarantine["line"].nunique()
    _require_few_broken(spec, quarantine, num_rows, num_rows - len(lesions), max_quarantined_share)
    if num_unlisted_images and lesions["store_index"].isna().all():
        raise ValueError(
            f"cohort {spec.name}: {num_unlisted_images} images are there, but none bears the image id of a row (the "
            f"first row's is '{lesions['image_id'].iloc[0]}'). An image's id is its file's name without suffix; where "
            f"column '{spec.image_id}' holds whole file names, set image_id_is_path: true in the cohort's YAML."
        )
    try:
        lesions = lesions_schema(spec).validate(lesions, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases[["column", "check", "failure_case", "index"]].head(5).to_string(index=False)
        raise ValueError(f"cohort {spec.name}: the lesions table breaks its schema:\n{cases}") from errors
    return lesions, quarantine, _manifest(spec, lesions, images, quarantine, num_rows, num_unlisted_images)


def _require_few_broken(
    spec: CohortSpec, quarantine: pd.DataFrame, num_rows: int, num_broken: int, max_share: float
) -> None:
    if num_rows == 0 or num_broken == num_rows or num_broken > max_share * num_rows:
        reasons = quarantine.groupby(["column", "reason"]).size().sort_values(ascending=False).head(_NUM_REASONS_SAID)
        listed = "\n".join(f"  {count} x {column}: {why}" for (column, why), count in reasons.items())
        example = quarantine.iloc[0].to_dict() if len(quarantine) else {}
        raise ValueError(
            f"cohort {spec.name}: {num_broken} of {num_rows} rows are broken, more than the share "
            f"{max_share:g} that ingest.max_quarantined_share allows.\n{listed}\n  first: {example}\n"
            "Correct the data or the cohort's YAML, or raise the share."
        )


def _manifest(
    spec: CohortSpec,
    lesions: pd.DataFrame,
    images: pd.DataFrame,
    quarantine: pd.DataFrame,
    num_rows: int,
    num_unlisted_images: int,
) -> dict[str, Any]:
    with_image = lesions["store_index"].notna()
    return {
        "cohort": spec.name,
        "title": spec.title,
        "licence": spec.licence,
        "source": spec.source,
        "open_licence": spec.open_licence,
        "fingerprint": fingerprint(lesions, images),
        "num_rows": num_rows,
        "num_rows_quarantined": num_rows - len(lesions),
        "num_rows_with_image": int(with_image.sum()),
        "num_rows_without_image": int((~with_image).sum()),
        "num_images_without_row": num_unlisted_images,
        "num_images_refused": int(images["refused"].notna().sum()),
        "num_patients": int(lesions["patient_id"].nunique()),
        "num_patients_with_image": int(lesions.loc[with_image, "patient_id"].nunique()),
        "num_rows_without_patient_id": int((~lesions["patient_known"]).sum()),
        "num_lesions": int(lesions["lesion_id"].nunique()),
        "diagnoses": {str(k): int(v) for k, v in lesions["diagnosis"].value_counts(dropna=False).items()},
        "quarantine_reasons": {
            f"{column}: {reason}": int(count)
            for (column, reason), count in quarantine.groupby(["column", "reason"]).size().items()
        },
    }


def counted(manifest: dict[str, Any]) -> str:
    """What a manifest counts, in a line; and in further lines what was set aside, and why."""
    lines = [
        f"{manifest['cohort']}: {manifest['num_rows']:,} rows, {manifest['num_rows_with_image']:,} with an image, of "
        f"{manifest['num_patients_with_image']:,} patients; {manifest['num_rows_quarantined']:,} quarantined"
    ]
    reasons = sorted(manifest["quarantine_reasons"].items(), key=lambda item: -item[1])
    lines += [f"  {count:,} x {reason}" for reason, count in reasons[:_NUM_REASONS_SAID]]
    if len(reasons) > _NUM_REASONS_SAID:
        lines.append(f"  and {len(reasons) - _NUM_REASONS_SAID} other reasons: see quarantine.csv")
    return "\n".join(lines)


def fingerprint(lesions: pd.DataFrame, images: pd.DataFrame) -> str:
    """Digest of a cohort's content: its rows and the pixels linked to them, whatever their order."""
    by_row = images["sha256"].reindex(lesions["store_index"].astype("float")).to_numpy()
    content = lesions.drop(columns="store_index").assign(sha256=by_row).sort_values("image_id")
    hashes = pd.util.hash_pandas_object(content.astype(str), index=False).to_numpy()
    return hashlib.sha256(hashes.tobytes()).hexdigest()[:16]
