"""What ingest found: counts of rows, files and diagnoses, and the words in which it says them."""

from typing import Any

import pandas as pd

from slimp_pipeline.cohorts.spec import CohortSpec

UNLABELLED = "(not known)"
NUM_REASONS_SAID = 5  # all stand in the tables
_MALIGNANCY = {True: "malignant", False: "benign"}


def diagnosis_table(lesions: pd.DataFrame) -> pd.DataFrame:
    """Count rows per diagnosis.

    Returns:
        diagnosis, rows, malignancy (`malignant`, `benign`, `not known`), with_image, without_image; the most frequent
        first, rows without diagnosis last. The counts of each column add up to the number of rows.
    """
    counted = pd.DataFrame(
        {
            "diagnosis": lesions["diagnosis"].fillna(UNLABELLED).astype("str"),
            "malignancy": lesions["malignant"].map(_MALIGNANCY).astype("str").fillna("not known"),
            "with_image": lesions["store_index"].notna().astype(int),
            "without_image": lesions["store_index"].isna().astype(int),
        }
    )
    table = counted.groupby(["diagnosis", "malignancy"], as_index=False)[["with_image", "without_image"]].sum()
    table.insert(1, "rows", table["with_image"] + table["without_image"])
    last = table["diagnosis"].eq(UNLABELLED)
    order = table.assign(last=last).sort_values(["last", "rows", "diagnosis"], ascending=[True, False, True]).index
    return table.loc[order].reset_index(drop=True)


def make_manifest(
    spec: CohortSpec,
    lesions: pd.DataFrame,
    quarantine: pd.DataFrame,
    unused_files: pd.DataFrame,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """State what a cohort is and count its rows and files; plain JSON.

    Args:
        spec: The cohort.
        lesions: Its rows.
        quarantine: What was set aside, and rows without partner.
        unused_files: Files that are no row's image.
        facts: fingerprint, table (the first one's name), num_rows, joins, names_absent, decisions, notes.
    """
    with_image = lesions["store_index"].notna()
    broken = quarantine[~quarantine["kept"] & quarantine["table"].isin([facts["table"], ""])]
    unused = {str(kind): int(count) for kind, count in unused_files["unused"].value_counts().items()}
    return {
        "cohort": spec.name,
        "title": spec.title,
        "licence": spec.licence,
        "source": spec.source,
        "open_licence": spec.open_licence,
        "fingerprint": facts["fingerprint"],
        "num_rows": facts["num_rows"],
        "num_rows_quarantined": facts["num_rows"] - len(lesions),
        "num_rows_with_image": int(with_image.sum()),
        "num_rows_without_image": int((~with_image).sum()),
        "num_images_without_row": unused.get("no_row", 0),
        "num_images_refused": unused.get("refused", 0),
        "num_files": int(with_image.sum()) + len(unused_files),
        "num_patients": int(lesions["patient_id"].nunique()),
        "num_patients_with_image": int(lesions.loc[with_image, "patient_id"].nunique()),
        "num_rows_without_patient_id": int((~lesions["patient_known"]).sum()),
        "num_lesions": int(lesions["lesion_id"].nunique()),
        "diagnoses": {str(k): int(v) for k, v in lesions["diagnosis"].value_counts(dropna=False).items()},
        "quarantine_reasons": {
            f"{column}: {reason}": int(count)
            for (column, reason), count in broken.groupby(["column", "reason"]).size().items()
        },
        "decisions": facts["decisions"],
        "joins": facts["joins"],
        "files_unused": unused,
        "names_absent": facts["names_absent"],
        "notes": facts["notes"],
    }


def in_words(manifest: dict[str, Any], diagnoses: pd.DataFrame, unused_files: pd.DataFrame) -> str:
    """What ingest found, line by line: rows, what was set aside and why, files, notes, diagnoses."""
    name = manifest["cohort"]
    lines = [
        f"{name}: {manifest['num_rows']:,} rows, {manifest['num_rows_with_image']:,} with an image, of "
        f"{manifest['num_patients_with_image']:,} patients; {manifest['num_rows_quarantined']:,} quarantined"
    ]
    lines += _reasons(manifest["quarantine_reasons"], "quarantine.csv")
    if num_unknown := manifest["num_rows_without_patient_id"]:
        lines.append(f"  {num_unknown:,} rows without patient id: each lesion counts as a patient of its own")
    if len(unused_files):
        lines.append(
            f"  {manifest['num_files']:,} files, {manifest['num_rows_with_image']:,} used; listed in unused_files.csv:"
        )
        lines += _unused(unused_files)
    lines += [f"  note: {note}" for note in manifest["notes"]]
    if absent := manifest["names_absent"]:
        more = f" and {len(absent) - NUM_REASONS_SAID} more (manifest.json)" if len(absent) > NUM_REASONS_SAID else ""
        lines.append(f"  note: the YAML names what the data don't have: {'; '.join(absent[:NUM_REASONS_SAID])}{more}")
    return "\n".join([*lines, *_columns(diagnoses)])


def _reasons(reasons: dict[str, int], file: str) -> list[str]:
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    lines = [f"  {count:,} x {reason}" for reason, count in ordered[:NUM_REASONS_SAID]]
    if len(ordered) > NUM_REASONS_SAID:
        lines.append(f"  and {len(ordered) - NUM_REASONS_SAID} other reasons: see {file}")
    return lines


def _unused(files: pd.DataFrame) -> list[str]:
    """A line per kind of reason."""
    lines = []
    for _, group in sorted(files.groupby("unused"), key=lambda item: -len(item[1])):
        first = group.iloc[0]
        others = "" if len(group["reason"].unique()) == 1 else ", or the like"
        lines.append(f"    {len(group):,} x {first['reason']}{others}")
    return lines


def _columns(diagnoses: pd.DataFrame) -> list[str]:
    if diagnoses.empty:
        return []
    width = max(len("diagnosis"), *diagnoses["diagnosis"].str.len())
    heads = ("rows", "malignancy", "with image", "without")
    lines = [f"  {'diagnosis':<{width}} {heads[0]:>9}  {heads[1]:<10} {heads[2]:>10} {heads[3]:>9}"]
    for row in diagnoses.itertuples():
        counts = f"{row.rows:>9,}  {row.malignancy:<10} {row.with_image:>10,} {row.without_image:>9,}"
        lines.append(f"  {row.diagnosis:<{width}} {counts}")
    return lines
