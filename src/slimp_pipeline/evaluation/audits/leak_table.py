"""What was looked at to make sure that no test patient was seen, and what was found."""

from collections.abc import Iterator

import pandas as pd

from slimp_pipeline.cohorts.combined import in_terms_of
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.tables.splits import partition, partition_names, patients_torn_apart

LEAK_COLUMNS = ["check", "looked_at", "found", "what_is_counted"]
_Line = tuple[str, int, int, str]


def leak_table(
    source: CohortSpec,
    target: CohortSpec,
    training_rows: pd.DataFrame,
    adaptation_rows: pd.DataFrame,
    splits: pd.DataFrame,
    duplicates: pd.DataFrame,
    seen_pictures: pd.DataFrame,
) -> pd.DataFrame:
    """Count what would be a leak. The checks that stop a run are `leaks.check_no_leak`'s; these are for the reader.

    Args:
        source, target: The cohorts in their roles.
        training_rows, adaptation_rows: partition, image_id, patient_id of every pre-training, and adaptation.
        splits: The target's splits.
        duplicates: Pairs of different patients' pictures of the target: kind, across_folds.
        seen_pictures: Pictures tested on that pre-training saw under another name: image_id, kind.

    Returns:
        `LEAK_COLUMNS`: how many were looked at, and how many of them would be a leak.
    """
    training_rows = in_terms_of(target, source, training_rows)
    lines = [
        _patients_apart(splits),
        *_of_pretraining(source, target, training_rows, splits),
        *_of_training("adaptation", adaptation_rows, splits),
        ("the same picture of two patients, in two folds", len(duplicates), int(duplicates["across_folds"].sum()),
         "pairs of pictures that are the same, or nearly"),
    ]  # fmt: skip
    if source.name != target.name:
        for kind, counted in (("same bytes", "identical"), ("near", "nearly identical")):
            found = seen_pictures.loc[seen_pictures["kind"] == kind, "image_id"].nunique()
            lines.append(
                (f"{counted} picture in pre-training, under another name", len(splits), found, "pictures tested on")
            )
    return pd.DataFrame(lines, columns=LEAK_COLUMNS)


def _patients_apart(splits: pd.DataFrame) -> _Line:
    num_patients = splits["patient_id"].nunique()
    return "patient on both sides of a split", num_patients, len(patients_torn_apart(splits)), "patients"


def _of_pretraining(
    source: CohortSpec, target: CohortSpec, training_rows: pd.DataFrame, splits: pd.DataFrame
) -> Iterator[_Line]:
    if source.holds(target):
        yield from _of_training("pre-training", training_rows, splits)
        return
    shared = set(splits["image_id"]) & set(training_rows["image_id"])
    yield "picture of the target in pre-training", len(splits), len(shared), "pictures tested on"
    if source.shares_registry(target):
        known = set(splits["patient_id"]) & set(training_rows["patient_id"])
        yield "patient of the target in pre-training", splits["patient_id"].nunique(), len(known), "patients tested on"


def _of_training(name: str, rows: pd.DataFrame, splits: pd.DataFrame) -> Iterator[_Line]:
    """Test patients that a training on the target itself was given, over all of its partitions."""
    if rows.empty:
        return
    trained = {str(part): set(own["patient_id"]) for part, own in rows.groupby("partition")}
    tested = [(part, set(splits.loc[partition(splits, part)[1], "patient_id"])) for part in partition_names(splits)]
    found = sum(len(patients & trained.get(part, set())) for part, patients in tested)
    yield f"test patient in {name}", sum(len(patients) for _, patients in tested), found, "patients tested on"
