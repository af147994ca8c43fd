"""Fine-tuning as an evaluation protocol, with late fusion of its scores and those of metadata."""

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.features.embed import encoders_of, initial
from slimp_pipeline.evaluation.measures.records import Key, join_tables, prediction_table
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Split, Task, make_task, task_splits
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import AugmentationParams, EvaluationParams
from slimp_pipeline.training.device import pick_device
from slimp_pipeline.training.fine_tune import LabelledImages, fine_tune

_SUPERVISED = "supervised"


def predict_fine_tuned(
    target: TargetCohort,
    store: ImageStore,
    predictions: pd.DataFrame,
    augmentation: AugmentationParams,
    settings: EvaluationParams,
) -> pd.DataFrame:
    """Fine-tune every pre-trained encoder, and the model it started from (`supervised`), on each partition.

    Late fusion stands beside them as features `image+metadata`: the mean of the fine-tuned image's probabilities and
    those of `metadata_linear`, where `predictions` hold it.

    Returns:
        Predictions of protocol `fine_tune`, as `protocol.predict` returns them; none where it isn't asked for.
    """
    if "fine_tuning" not in settings.protocols:
        return predictions.iloc[:0]
    task = make_task(target.rows, target.splits, settings)
    images = LabelledImages(
        task.rows["store_index"].to_numpy(dtype=np.int64), task.label_N, task.rows["patient_id"].to_numpy()
    )
    tables = []
    for split in task_splits(task, target.name):
        own = encoders_of(target.encoders, split.name)
        own[_SUPERVISED] = initial(next(iter(own.values())), random_image_encoder=False)
        metadata_NK = _metadata_scores(predictions, task, split)
        for method, checkpoint in own.items():
            score_NK = fine_tune(
                checkpoint,
                store,
                images.rows(split.train_N),
                images.store_index_N[split.test_N],
                len(task.classes),
                settings.fine_tuning,
                augmentation,
                pick_device(settings.device),
                settings.seed,
                f"Fine-tuning {method} {split.name}",
            )
            scored = {"image": score_NK}
            if metadata_NK is not None:
                scored["image+metadata"] = (score_NK + metadata_NK) / 2
            for features, values_NK in scored.items():
                tables.append(prediction_table(task, Key(method, features, "fine_tune"), split, values_NK))
    return join_tables(tables)


def _metadata_scores(predictions: pd.DataFrame, task: Task, split: Split) -> np.ndarray | None:
    """Scores of the metadata baseline on the split's test rows, in their order."""
    own = predictions[(predictions["method"] == "metadata_linear") & (predictions["draw"] == split.draw)]
    if own.empty:
        return None
    scores = own.set_index("image_id")[[f"score.{name}" for name in task.classes]]
    return scores.loc[task.rows.loc[split.test_N, "image_id"]].to_numpy()
