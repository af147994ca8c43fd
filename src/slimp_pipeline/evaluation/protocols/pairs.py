"""What pictures and metadata find of one another among a fold's test rows, query by query, to be looked at."""

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.features.embed import block, encoders_of, methods
from slimp_pipeline.evaluation.measures.records import is_pretrained
from slimp_pipeline.evaluation.protocols.ranking import nearest_keys, rank_of_own
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import make_task, task_splits
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.training.device import pick_device

FOUND_COLUMNS = [
    "method", "level", "fields", "direction", "query_image_id", "place", "image_id", "is_own", "rank_of_own",
    "num_keys",
]  # fmt: skip
TO_METADATA, TO_IMAGE = "image to metadata", "metadata to image"


def find_pairs(target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Let pictures look up metadata records, and the other way round, by the projections of the encoder's objective.

    Of several pre-trained encoders the last is asked: an adapted one, which reads the target's own fields. Keys are
    the test rows of the first partition; of many so many query as `settings.retrieval.max_queries`.

    Args:
        target: Rows, splits, embeddings, encoders, fields; free texts aren't shown.
        settings: How many queries and results, seed and device.

    Returns:
        `FOUND_COLUMNS`, `settings.retrieval.num_shown` rows per query and direction: the nearest keys, whether one has
        the query's own metadata, and the rank of the first that has; `fields`: those that the encoder reads and that
        may be shown. No rows where the objective doesn't contrast images with metadata, the rows' metadata are all
        alike, or nothing is to be shown.
    """
    nothing = pd.DataFrame(columns=FOUND_COLUMNS)
    trained = [name for name in methods(target.embeddings) if is_pretrained(name) and name in target.encoders]
    if not trained or not settings.retrieval.num_shown:
        return nothing
    method = trained[-1]
    task = make_task(target.rows, target.splits, settings)
    split = next(task_splits(task, target.name))
    image_ND = block(target.embeddings, method, split.name, "image")
    assert image_ND is not None  # every method embeds images
    test = task.rows[split.test_N]
    checkpoint = encoders_of(target.encoders, split.name)[method]
    encoder = PretrainedSLIMP(checkpoint, pick_device(settings.device))
    contrasts = encoder.contrast(image_ND[task.labelled_M][split.test_N], test)
    levels = list(checkpoint.encoding.levels)
    read_by = {levels[0]: levels[:1], "flat": levels}  # contrast of images -> levels of the metadata
    contrast = next((name for name in read_by if name in contrasts), None)
    if contrast is None or len(np.unique(contrasts[contrast][2])) < 2:
        return nothing
    image_BD, metadata_BD, group_B = contrasts[contrast]
    asked_of = [checkpoint.encoding.levels[name] for name in read_by[contrast]]
    read = [name for level in asked_of for name in level.fields if set(level.columns(name)) & set(test)]
    shown = [name for name in read if name not in target.fields or target.fields[name].is_public]
    limit = settings.retrieval.max_queries or len(test)
    asked = np.sort(np.random.default_rng(settings.seed).permutation(len(test))[:limit])
    ids, tables = test["image_id"].to_numpy(), []
    for direction, query_BD, key_BD in ((TO_METADATA, image_BD, metadata_BD), (TO_IMAGE, metadata_BD, image_BD)):
        nearest_QN = nearest_keys(query_BD[asked], key_BD, settings.retrieval.num_shown)
        rank_Q, num_shown = rank_of_own(query_BD, key_BD, group_B, asked), nearest_QN.shape[1]
        table = {
            "method": method,
            "level": " and ".join(read_by[contrast]),
            "fields": ", ".join(shown),
            "direction": direction,
            "query_image_id": np.repeat(ids[asked], num_shown),
            "place": np.tile(np.arange(1, num_shown + 1), len(asked)),
            "image_id": ids[nearest_QN.ravel()],
            "is_own": (group_B[nearest_QN] == group_B[asked, None]).ravel(),
            "rank_of_own": np.repeat(rank_Q, num_shown),
            "num_keys": len(test),
        }
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)[FOUND_COLUMNS]
