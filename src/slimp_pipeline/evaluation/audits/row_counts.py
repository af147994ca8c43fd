"""Where a cohort's rows go: read, set aside and why, pre-trained on, tested on. Every line adds up."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from slimp_pipeline.evaluation.task import make_task
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.decisions import DECIDED
from slimp_pipeline.tables.splits import partition, partition_names

ROW_COUNT_COLUMNS = ["role", "cohort", "partition", "step", "reason", "num_in", "num_set_aside", "num_out"]
READ, QUARANTINE, IMAGE, SPLIT, LABEL = CHAIN = ("read", "quarantine", "image", "split", "label")  # in turn
PRETRAIN, ADAPT, TRAIN, TEST = "pretrain", "adapt", "train", "test"  # by partition, each of what was left before
Line = tuple[str, str, str, int, int]  # partition, step, reason, rows in, rows out


@dataclass(frozen=True)
class CountedCohort:
    """What tells where a cohort's rows went.

    Attributes:
        role: `source` or `target`.
        manifest: As ingest left it.
        tables: Name of the cohort's first table; of several cohorts, those of all.
        quarantine: As ingest left it.
    """

    role: str
    manifest: dict[str, Any]
    tables: list[str]
    quarantine: pd.DataFrame

    def lines_to_images(self) -> Iterator[Line]:
        """From the raw table to rows with an image."""
        num_rows = int(self.manifest["num_rows"])
        yield "", READ, "", num_rows, num_rows
        for reason, num_broken in (self._reasons() or {"": 0}).items():
            yield "", QUARANTINE, reason, num_rows, num_rows - num_broken
            num_rows -= num_broken
        yield "", IMAGE, "no image", num_rows, num_rows - int(self.manifest["num_rows_without_image"])

    def _reasons(self) -> dict[str, int]:
        """Rows by the first thing that is wrong with them: one may break several rules, and leaves once."""
        broken = self.quarantine[
            ~self.quarantine["kept"].astype(bool) & self.quarantine["table"].fillna("").isin([*self.tables, ""])
        ]
        line = broken["table"].fillna("") + ", " + broken["line"].astype(str)
        own = line.where(broken["line"] >= 0, "of " + broken["image_id"].astype(str))
        first = broken[~own.duplicated()]
        said = first["reason"].where(first["column"].isin([DECIDED]), first["column"] + ": " + first["reason"])
        return {str(reason): int(count) for reason, count in said.value_counts().items()}


def count_cohorts(
    source: CountedCohort,
    target: CountedCohort,
    training_rows: pd.DataFrame,
    adaptation_rows: pd.DataFrame,
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    settings: EvaluationParams,
) -> pd.DataFrame:
    """Count rows at each step, in both roles.

    Args:
        source: The cohort that was pre-trained on.
        target: The cohort that was evaluated on.
        training_rows: partition, image_id of every pre-training.
        adaptation_rows: The same of every adaptation; none where nothing was adapted.
        rows: What was embedded, as `evaluation_rows` selects it.
        splits: The target's.
        settings: Which label.

    Returns:
        `ROW_COUNT_COLUMNS`: `num_in` - `num_set_aside` = `num_out`. Lines without partition follow one another; those
        with one start from what was left then.
    """
    of_source = [*source.lines_to_images()]
    of_source += _of_partitions(training_rows, PRETRAIN, of_source[-1][-1])
    return pd.concat(
        [_as_table(source, of_source), _as_table(target, _of_target(target, adaptation_rows, rows, splits, settings))],
        ignore_index=True,
    )


def _of_target(
    target: CountedCohort,
    adaptation_rows: pd.DataFrame,
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    settings: EvaluationParams,
) -> list[Line]:
    lines = [*target.lines_to_images()]
    num_with_image = lines[-1][-1]
    if len(rows) != num_with_image:
        lines.append(("", SPLIT, "in no split", num_with_image, len(rows)))
    task = make_task(rows, splits, settings)
    num_labelled = len(task.rows)
    lines.append(("", LABEL, "no label", len(rows), num_labelled))
    lines += _of_partitions(adaptation_rows, ADAPT, len(rows))
    for name in partition_names(task.rows):
        train_N, test_N = partition(task.rows, name)
        lines.append((name, TRAIN, "not of its training patients", num_labelled, int(train_N.sum())))
        lines.append((name, TEST, "not of its test patients", num_labelled, int(test_N.sum())))
    return lines


def _of_partitions(rows: pd.DataFrame, step: str, num_in: int) -> list[Line]:
    counts = rows.groupby("partition", sort=False).size()
    return [(str(name), step, "kept from it", num_in, int(count)) for name, count in counts.items()]


def _as_table(cohort: CountedCohort, lines: list[Line]) -> pd.DataFrame:
    table = pd.DataFrame(lines, columns=["partition", "step", "reason", "num_in", "num_out"])
    table["num_set_aside"] = table["num_in"] - table["num_out"]
    table.loc[table["num_set_aside"] == 0, "reason"] = ""
    return table.assign(role=cohort.role, cohort=cohort.manifest["cohort"])[ROW_COUNT_COLUMNS]
