"""Retrieval on a target's test rows: what each query finds, beside chance."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from tqdm import tqdm

from slimp_pipeline.evaluation.features.embed import block, encoders_of, methods
from slimp_pipeline.evaluation.measures.records import ADAPTED, Key
from slimp_pipeline.evaluation.protocols.ranking import (
    chance_recall_at_k,
    chance_same_class,
    recall_at_k,
    retrieve_same_class,
)
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Split, Task, make_task, task_splits
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.encoding import Encoding
from slimp_pipeline.training.device import pick_device

OUTCOME_COLUMNS = [*Key._fields, "draw", "repeat", "num_train_patients", "image_id", "patient_id"]
CHANCE = "chance"
_SIDES = {"lesion": ("image", "lesion"), "patient": ("phenotype", "patient"), "flat": ("image", "metadata")}
_SIDES_OF_THREE = _SIDES | {"image": ("image", "picture"), "lesion": ("pictures", "lesion")}


def retrieve(target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Let every test row, and every test patient, query.

    Images query the training images for those of their diagnosis (`image`); within the test rows of a fold, images
    query metadata and phenotypes patients, and the other way round, as far as the encoder's objective projects them
    (`image to lesion`, `phenotype to patient`, ...). Each stands beside chance on the same queries. Of more than
    `settings.retrieval.max_queries` test rows of a fold so many are drawn to query; the keys stay all that there are.

    Returns:
        `OUTCOME_COLUMNS`, one row per query, and its outcomes: precision_at_<k>, mean_average_precision (of the one
        query), recall_at_<k>; NaN where an outcome doesn't apply. No rows where it isn't asked for.
    """
    if "retrieval" not in settings.protocols:
        return pd.DataFrame(columns=OUTCOME_COLUMNS)
    task = make_task(target.rows, target.splits, settings)
    device = pick_device(settings.device)
    tables = []
    splits_of_task = list(task_splits(task, target.name))
    for split in tqdm(splits_of_task, desc=f"Retrieving on {target.name}", unit="fold", leave=False, disable=None):
        test, own = task.rows[split.test_N], encoders_of(target.encoders, split.name)
        for method in methods(target.embeddings):
            image_ND = block(target.embeddings, method, split.name, "image")
            assert image_ND is not None  # every method embeds images
            image_ND = image_ND[task.labelled_M]
            tables += list(_by_diagnosis(task, split, method, image_ND, settings))
            if method in own:
                contrasts = PretrainedSLIMP(own[method], device).contrast(image_ND[split.test_N], test)
                for name, sides in contrasts.items():
                    asked = _queries(test, name, own[method].encoding)
                    if asked is not None:
                        tables += list(_partners(task, split, method, *asked, sides, settings))
    outcomes = pd.concat(tables, ignore_index=True)
    return outcomes.drop_duplicates([*Key._fields, "draw", "image_id"], ignore_index=True)  # chance, of each method


def _by_diagnosis(
    task: Task, split: Split, method: str, image_ND: np.ndarray, settings: EvaluationParams
) -> Iterator[pd.DataFrame]:
    ks, asked = settings.retrieval.ks, np.flatnonzero(split.test_N)
    asked = asked[_drawn(len(asked), settings)]
    query_N, key_N = task.label_N[asked], task.label_N[split.train_N]
    found = retrieve_same_class(image_ND[asked], image_ND[split.train_N], query_N, key_N, ks)
    expected = chance_same_class(query_N, key_N, ks)
    queries = task.rows.iloc[asked]
    for name, outcomes in ((method, found), (CHANCE, expected)):
        yield _table(task, split, Key(name, "image", "retrieval"), queries, outcomes)


def _queries(test: pd.DataFrame, contrast: str, encoding: Encoding) -> tuple[tuple[str, str], pd.DataFrame] | None:
    """What a contrast's two sides are called, and the test rows that stand for its rows; None for views."""
    sides = (_SIDES_OF_THREE if encoding.has_three_levels else _SIDES).get(contrast)
    one_of_each = {"patient": ["patient_id"]}
    if encoding.has_three_levels:
        one_of_each["lesion"] = ["patient_id", "lesion_id"]
    queries = test.drop_duplicates(one_of_each[contrast]) if contrast in one_of_each else test
    return (sides, queries) if sides else None


def _partners(
    task: Task,
    split: Split,
    method: str,
    names: tuple[str, str],
    queries: pd.DataFrame,
    sides: tuple[np.ndarray, ...],
    settings: EvaluationParams,
) -> Iterator[pd.DataFrame]:
    left_ND, right_ND, groups_N = sides
    if len(np.unique(groups_N)) < 2:  # the target tells its rows apart by nothing
        return
    left, right = names
    ks, asked = settings.retrieval.ks, _drawn(len(queries), settings)
    queries = queries.iloc[asked]
    expected = {name: value[asked] for name, value in chance_recall_at_k(groups_N, ks).items()}
    for title, query_ND, key_ND in (
        (f"{left} to {right}", left_ND, right_ND),
        (f"{right} to {left}", right_ND, left_ND),
    ):
        found = recall_at_k(query_ND, key_ND, groups_N, ks, asked)
        # Chance depends on which rows coincide, which the encoder's own fields decide.
        chance = CHANCE + (ADAPTED if method.endswith(ADAPTED) else "")
        for name, outcomes in ((method, found), (chance, expected)):
            yield _table(task, split, Key(name, title, "retrieval"), queries, outcomes)


def _drawn(num_queries: int, settings: EvaluationParams) -> np.ndarray:
    """Positions of the queries that are asked: all, or a draw of them, sorted."""
    limit = settings.retrieval.max_queries or num_queries
    return np.sort(np.random.default_rng(settings.seed).permutation(num_queries)[:limit])


def _table(task: Task, split: Split, key: Key, queries: pd.DataFrame, outcomes: dict[str, np.ndarray]) -> pd.DataFrame:
    named = {name.replace("average_precision", "mean_average_precision"): value for name, value in outcomes.items()}
    return pd.DataFrame(
        {
            **key._asdict(),
            "draw": split.draw,
            "repeat": 0,
            "num_train_patients": task.rows.loc[split.train_N, "patient_id"].nunique(),
            "image_id": queries["image_id"].to_numpy(),
            "patient_id": queries["patient_id"].to_numpy(),
            **named,
        }
    )
