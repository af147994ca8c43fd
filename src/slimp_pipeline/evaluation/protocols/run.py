"""The evaluation protocol: every method, feature set and protocol on the same patient-disjoint partitions."""

import pandas as pd
from tqdm import tqdm

from slimp_pipeline.evaluation.features.sets import Features
from slimp_pipeline.evaluation.measures.measure import measured_table, yardsticks
from slimp_pipeline.evaluation.measures.records import Key, join_tables, prediction_table
from slimp_pipeline.evaluation.protocols.scorers import SCORERS, score_baselines, score_low_shot
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import make_task, task_splits
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.processes.heap import trim_heap


def predict(target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Train on the training rows of every partition, by every protocol asked for but low-shot, and score its test rows.

    Args:
        target: Rows, splits, embeddings, encodings.
        settings: Protocols and their settings.

    Returns:
        Predictions, as `records.prediction_table` has them: one row per score of a test row.

    Raises:
        ValueError: If the cohort has no label or one class, or a partition's training patients are of one class.
    """
    task, labelled = make_task(target.rows, target.splits, settings)
    features = Features(target, task, labelled)
    asked = [name for name in settings.protocols if name in SCORERS]
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in settings.protocols}
    with tqdm(
        task_splits(task, target.name), desc=f"Evaluating on {target.name}", unit="fold", leave=False, disable=None
    ) as folds:
        for split in folds:
            # What costs most of a protocol's time beside its fit is to make the features: they are made once.
            for method, feature_set, sides in features.every(settings.features, split) if asked else ():
                for name in asked:
                    folds.set_postfix_str(f"{split.name}, {name}: {method}, {feature_set}")
                    for protocol, score_NK in SCORERS[name](task, sides, split, settings).items():
                        tables[name].append(prediction_table(task, Key(method, feature_set, protocol), split, score_NK))
                trim_heap()
            if "baselines" in settings.protocols:
                folds.set_postfix_str(f"{split.name}, baselines")
                for key, score_NK in score_baselines(task, features, split, settings):
                    tables["baselines"].append(prediction_table(task, key, split, score_NK))
    return join_tables([table for of_protocol in tables.values() for table in of_protocol])


def measure_low_shot(target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Train on few rows of every partition, and measure each probe as it comes.

    A test row is scored hundreds of times: tables of these scores would be the largest of an evaluation.

    Args:
        target, settings: As of `predict`.

    Returns:
        As `measure.measured_table` has them; no rows where low-shot isn't asked for.
    """
    if "low_shot" not in settings.protocols:
        return measured_table([])
    task, labelled = make_task(target.rows, target.splits, settings)
    features = Features(target, task, labelled)
    measured = []
    folds = list(yardsticks(task, target.name, settings))
    with tqdm(folds, desc=f"Few labels on {target.name}", unit="fold", leave=False, disable=None) as progress:
        for yardstick in progress:
            for key, score_NK, drawn in score_low_shot(task, features, yardstick.split, settings):
                progress.set_postfix_str(f"{key.method}, {key.features}, {key.shots}")
                measured.append(yardstick.measure(key, score_NK, drawn.rows_N, drawn.draw))
    return measured_table(measured)
