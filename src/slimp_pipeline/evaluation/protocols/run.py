"""The evaluation protocol: every method, feature set and protocol on the same patient-disjoint partitions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from tqdm import tqdm

from slimp_pipeline.evaluation.features.sets import Features
from slimp_pipeline.evaluation.measures.records import join_tables, prediction_table
from slimp_pipeline.evaluation.protocols.scorers import SCORERS
from slimp_pipeline.evaluation.task import make_task, task_splits
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.encoding import Encoding


def predict(
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    embeddings: Mapping[str, np.ndarray],
    encodings: Mapping[str, Encoding],
    cohort: str,
    settings: EvaluationParams,
) -> pd.DataFrame:
    """Train on the training rows of every partition, by every protocol asked for, and score its test rows.

    Args:
        rows: Embedded rows of the target, sorted by image_id.
        splits: The target's splits.
        embeddings: `<method>.<partition>.<block>` -> float (len(rows), D).
        encodings: Partition -> encoding fitted on its training patients.
        cohort: Name of the cohort.
        settings: Protocols and their settings.

    Returns:
        Predictions, as `records.prediction_table` has them: one row per score of a test row.

    Raises:
        ValueError: If the cohort has no label or one class, or a partition's training patients are of one class.
    """
    task, labelled = make_task(rows, splits, settings)
    features = Features(rows, labelled, task, embeddings, encodings)
    tables = []
    work = [(split, name) for split in task_splits(task, cohort) for name in settings.protocols if name in SCORERS]
    with tqdm(work, desc=f"Evaluating on {cohort}", unit="protocol", leave=False, disable=None) as progress:
        for split, protocol in progress:
            for scored in SCORERS[protocol](task, features, split, settings):
                progress.set_postfix_str(f"{split.name}, {protocol}: {scored.key.method}, {scored.key.features}")
                tables.append(prediction_table(task, scored.key, split, scored.score_NK, scored.train_N, scored.repeat))
    return join_tables(tables)
