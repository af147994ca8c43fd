"""Submission files of challenges: exactly their columns, and values that they take."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from slimp_pipeline.cohorts.files.table_file import read_table
from slimp_pipeline.handover.classifier import Classifier

_NUM_SHOWN = 3


@dataclass(frozen=True)
class Challenge:
    """What a challenge asks for.

    Attributes:
        name: As `--params=challenge=` has it.
        id_column: First column.
        id_form: Regular expression of ids.
        by_lesion: Whether a row is a lesion; else it is a picture.
        columns: Column after the first -> class whose probability it holds.
        classes: Of the classifier: these and no others.
        trained_with: Parameters of an evaluation, and of its export, that give such a classifier.
        source: Where its form is published.
    """

    name: str
    id_column: str
    id_form: str
    by_lesion: bool
    columns: dict[str, str]
    classes: frozenset[str]
    trained_with: str
    source: str

    def require_classes(self, classifier: Classifier | None, encoder: Path) -> None:
        """Refuse a model that says something else.

        Raises:
            ValueError: If it has no classifier, or one with other classes.
        """
        train = "Train it so: " + " and ".join(
            f"`kedro run --pipeline={stage} --params={self.trained_with}`" for stage in ("evaluate", "export")
        )
        if classifier is None:
            raise ValueError(f"{self.name} asks for probabilities, and {encoder} has no classifier. {train}")
        if set(classifier.classes) != self.classes:
            raise ValueError(
                f"{self.name} asks for the classes {', '.join(sorted(self.classes))}; the classifier of {encoder} "
                f"tells apart {', '.join(classifier.classes)}. {train}"
            )


_MILK10K = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")
CHALLENGES = {
    "isic2024": Challenge(
        "isic2024", "isic_id", r"ISIC_\d{7}", False, {"target": "malignant"}, frozenset({"benign", "malignant"}),
        "evaluation.label=malignant",
        "https://www.kaggle.com/competitions/isic-2024-challenge/overview/evaluation",
    ),
    "milk10k": Challenge(
        "milk10k", "lesion_id", r"IL_\d{7}", True, {name: name for name in _MILK10K}, frozenset(_MILK10K),
        "target_cohort=milk10k",
        "https://challenge.isic-archive.com/landing/milk10k",
    ),
}  # fmt: skip


def read_sample(path: Path, challenge: Challenge) -> list[str]:
    """Ids of a challenge's sample file, in its order.

    Raises:
        ValueError: If it is no sample of this challenge.
    """
    table = read_table(path)
    if list(table) != [challenge.id_column, *challenge.columns]:
        raise ValueError(
            f"{path} is no sample file of {challenge.name}: its columns are {', '.join(table)}, not "
            f"{', '.join([challenge.id_column, *challenge.columns])}"
        )
    check_ids(table[challenge.id_column], challenge, str(path))
    return list(table[challenge.id_column])


def check_ids(ids: pd.Series, challenge: Challenge, where: str) -> None:
    """Refuse ids that a challenge wouldn't take.

    Args:
        ids: All of them.
        challenge: Whose.
        where: They are from.

    Raises:
        ValueError: If one isn't of the challenge's form, or stands twice.
    """
    if odd := [name for name in ids if not re.fullmatch(challenge.id_form, str(name))]:
        form = re.sub(r"\\d\{(\d)\}", lambda digits: "0" * int(digits[1]), challenge.id_form)
        raise ValueError(f"{challenge.name}: {len(odd):,} ids of {where} aren't of the form {form} ({_some(odd)})")
    if (twice := ids[ids.duplicated()]).size:
        raise ValueError(f"{challenge.name}: {len(twice):,} ids of {where} stand twice ({_some(twice)})")


def require_sample(ids: Iterable[str], challenge: Challenge, sample: list[str] | None, lack: str, remedy: str) -> None:
    """Refuse ids that don't hold all of the sample's.

    Args:
        ids: That are there.
        challenge: Whose sample.
        sample: Ids that it has; None where there is no sample.
        lack: What is said of those that aren't there.
        remedy: What to do.

    Raises:
        ValueError: With the first that are missing.
    """
    there = set(ids)
    if missing := [name for name in sample or () if name not in there]:
        raise ValueError(
            f"{challenge.name}: {len(missing):,} of the {len(sample or ()):,} ids of the sample file {lack} "
            f"({_some(missing)}). {remedy}"
        )


def submission(scores: pd.DataFrame, challenge: Challenge, sample: list[str] | None) -> pd.DataFrame:
    """The table to be handed in.

    Args:
        scores: The id column, and `probability_<class>`, in any order.
        challenge: Whose.
        sample: Ids that must be there, in order; others are left out. None: all, sorted.

    Raises:
        ValueError: If an id isn't of the challenge's form, stands twice or is missing, or a value is no probability.
    """
    check_ids(scores[challenge.id_column], challenge, "the pictures")
    values = {column: scores[f"probability_{of}"].to_numpy() for column, of in challenge.columns.items()}
    table = pd.DataFrame({challenge.id_column: scores[challenge.id_column], **values}).set_index(challenge.id_column)
    require_sample(table.index, challenge, sample, "weren't embedded", "picture_ledger.csv says why")
    table = table.loc[sample] if sample is not None else table.sort_index()
    array = table.to_numpy(dtype=np.float64)
    wrong_N = ~((array >= 0) & (array <= 1)).all(axis=1)  # NaN compares false
    if wrong_N.any():
        raise ValueError(f"{challenge.name}: no probabilities between 0 and 1: {_some(table.index[wrong_N])}")
    return table.reset_index()


def _some(names: object) -> str:
    listed = list(map(repr, names))  # type: ignore[call-overload]
    return ", ".join(listed[:_NUM_SHOWN]) + (", …" if len(listed) > _NUM_SHOWN else "")


def submission_file(table: pq.ParquetFile, challenge: Challenge, sample: list[str] | None) -> dict[str, bytes]:
    """File name -> CSV that a challenge takes.

    Args:
        table: Of pictures, or of lesions where the challenge asks for these.
        challenge: Whose.
        sample: Ids that must be there, in order.

    Raises:
        ValueError: As `submission`.
    """
    own_id = "lesion_id" if challenge.by_lesion else "image_id"
    probabilities = [f"probability_{of}" for of in challenge.columns.values()]
    scores = table.read(columns=[own_id, *probabilities]).to_pandas().rename(columns={own_id: challenge.id_column})
    text = submission(scores, challenge, sample).to_csv(index=False, lineterminator="\n")
    return {f"{challenge.name}.csv": text.encode()}
