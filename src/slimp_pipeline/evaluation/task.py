"""What is to be told apart on a target cohort."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.splits import partition, partition_names, usable_rows


@dataclass(frozen=True)
class Task:
    """What is to be told apart on a target cohort.

    Attributes:
        rows: Labelled rows with image, sorted by image_id: image_id, lesion_id, patient_id, split, fold, fields.
        label_N: Class numbers.
        classes: Class names.
        malignant_K: 1 where a class is malignant, 0 where benign, -1 where neither (indeterminate, or not known).
        labelled_M: Which of the cohort's M rows these are, bool.
    """

    rows: pd.DataFrame
    label_N: np.ndarray
    classes: list[str]
    malignant_K: np.ndarray
    labelled_M: np.ndarray

    @cached_property
    def image_id_N(self) -> pd.Categorical:
        """Image ids, in the order of the rows, which is theirs."""
        return pd.Categorical(self.rows["image_id"])

    @cached_property
    def lesion_id_N(self) -> pd.Categorical:
        """Lesion ids."""
        return pd.Categorical(self.rows["lesion_id"])

    @cached_property
    def patient_id_N(self) -> pd.Categorical:
        """Patient ids."""
        return pd.Categorical(self.rows["patient_id"])


@dataclass(frozen=True)
class Split:
    """One partition of a task's rows.

    Attributes:
        name: `fold_k` or `holdout`.
        train_N: Which rows may train, bool.
        test_N: Which rows are tested, bool; no patient is on both sides.
    """

    name: str
    train_N: np.ndarray
    test_N: np.ndarray

    @property
    def draw(self) -> str:
        """Its name in tables: a fold's number, or `holdout`."""
        return self.name.removeprefix("fold_")


def has_two_classes(lesions: pd.DataFrame, settings: EvaluationParams) -> bool:
    """Whether the rows' labels are of two classes at least: without that there is nothing to classify."""
    return len(_labels(lesions, settings).dropna().unique()) > 1


def check_task(cohort: str, lesions: pd.DataFrame, settings: EvaluationParams) -> pd.DataFrame:
    """Say what is to be told apart, before anything is trained for it.

    Args:
        cohort: Name of the target.
        lesions: All of its rows.
        settings: Which label.

    Returns:
        label (of the class), images, patients: of the rows that are evaluated on, one row per class.

    Raises:
        ValueError: If they aren't of two classes at least.
    """
    rows = usable_rows(lesions)
    label = _labels(rows, settings)
    counted = rows.assign(label=label).dropna(subset="label").groupby("label")["patient_id"].agg(["size", "nunique"])
    if len(counted) < 2:
        found = f"all have '{counted.index[0]}'" if len(counted) else "none has one"
        raise ValueError(
            f"cohort {cohort}: evaluation.label is {settings.label}, and its {len(rows):,} rows with an image can't be "
            f"told apart by it: {found}. Correct `label` of the cohort's YAML, or evaluate on another label."
        )
    return counted.set_axis(["images", "patients"], axis=1).reset_index()


def _labels(lesions: pd.DataFrame, settings: EvaluationParams) -> pd.Series:
    if settings.label == "malignant":
        return lesions["malignant"].map({True: "malignant", False: "benign"})
    return lesions["diagnosis"]


def make_task(lesions: pd.DataFrame, splits: pd.DataFrame, settings: EvaluationParams) -> Task:
    """Gather the rows that have a label.

    Args:
        lesions: Target rows in the order of the embeddings (sorted by image_id).
        splits: The target's splits.
        settings: Which label.

    Raises:
        ValueError: If the cohort has no label, or only one class.
    """
    label = _labels(lesions, settings)
    labelled_M = label.notna().to_numpy(dtype=bool)
    classes = sorted(label[labelled_M].unique())
    if len(classes) < 2:
        found = f"only '{classes[0]}'" if classes else "none"
        raise ValueError(f"evaluation.label = {settings.label}: two classes are needed, the cohort has {found}.")
    rows = lesions[labelled_M].merge(splits[["image_id", "split", "fold"]], on="image_id", how="left")
    label_N = label[labelled_M].map({name: k for k, name in enumerate(classes)}).to_numpy(dtype=np.int64)
    share = rows["malignant"].astype("float").groupby(label_N).mean().reindex(range(len(classes)))
    malignant_K = np.where(share.isna(), -1, share > 0.5)
    return Task(rows, label_N, list(map(str, classes)), malignant_K, labelled_M)


def task_splits(task: Task, cohort: str) -> Iterator[Split]:
    """Yield the partitions that have test rows, folds first.

    Raises:
        ValueError: If a partition's training rows are of one class.
    """
    for name in partition_names(task.rows):
        split = Split(name, *partition(task.rows, name))
        if not split.test_N.any():
            continue
        if len(np.unique(task.label_N[split.train_N])) < 2:
            raise ValueError(
                f"cohort {cohort}, {name}: the training patients are all of one class. Set features.num_folds lower, "
                "or evaluate on another label (evaluation.label)."
            )
        yield split


def in_turn(group_N: np.ndarray | pd.Series, num: int) -> np.ndarray:
    """Positions of so many rows, one of each group after the other, in the order of the groups' names.

    >>> in_turn(np.array(["b", "a", "a", "a"]), 3).tolist()
    [1, 0, 2]
    """
    group_N = pd.Series(np.asarray(group_N))
    turn_N = group_N.groupby(group_N).cumcount()
    return np.lexsort((pd.factorize(group_N, sort=True)[0], turn_N))[:num]
