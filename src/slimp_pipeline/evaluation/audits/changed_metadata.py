"""Test rows whose metadata were changed, as a probe sees them that was trained on intact rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.features.blocks import Scaling
from slimp_pipeline.evaluation.features.embed import RANDOM_INIT, block, encoders_of, initial, start_method
from slimp_pipeline.evaluation.measures.records import ADAPTED
from slimp_pipeline.evaluation.protocols.probe import fit_task_probe
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Split, Task
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.encoding import LevelEncoding, one_hot
from slimp_pipeline.training.device import pick_device


@dataclass(frozen=True)
class Tested:
    """A method's features of a split.

    Attributes:
        method: Whose features they are.
        features: Feature set: the levels that it reads of the target.
        fields: Names of the fields that it reads.
        intact: Blocks of all rows, as they are.
        changed: Blocks of the test rows, once for each change.
    """

    method: str
    features: str
    fields: frozenset[str]
    intact: list[np.ndarray]
    changed: list[list[np.ndarray]]

    def scores(self, task: Task, split: Split, settings: EvaluationParams) -> Iterator[np.ndarray]:
        """Fit once on intact training rows; scores of the test rows under each change."""
        scaling = Scaling.fit(self.intact, split.train_N)
        probe = fit_task_probe(task, scaling(self.intact, split.train_N), split.train_N, settings)
        return (probe.scores(scaling(blocks)) for blocks in self.changed)


def read_changed(
    target: TargetCohort,
    task: Task,
    split: Split,
    changed: Sequence[pd.DataFrame],
    settings: EvaluationParams,
    *,
    with_starts: bool,
) -> list[Tested]:
    """Let every encoder, and one-hot encoding, read a split's test rows under each change; images stay as they are.

    Args:
        target: Embeddings, encoders, encodings.
        task: Whose rows they are.
        split: Which of them train and are tested.
        changed: Copies of the test rows, one for each change.
        settings: On which device.
        with_starts: Whether to add the model that an encoder's training started from; for an adapted one with the
            target's fields.

    Returns:
        Of each encoder that reads metadata of the target; and `metadata_linear`, where the target has any.
    """
    rows, test_N = task.rows, split.test_N
    # All changes below one another: a call for each would cost more than the rows do.
    joined = pd.concat([rows, *changed], ignore_index=True)
    starts = np.cumsum([len(test_N), *[test_N.sum()] * (len(changed) - 1)])
    own = encoders_of(target.encoders, split.name)
    start = start_method(target.embeddings) if with_starts else ""
    for method, checkpoint in list(own.items()) if with_starts else ():
        name = start + ADAPTED if method.endswith(ADAPTED) else start
        own.setdefault(name, initial(checkpoint, random_image_encoder=start == RANDOM_INIT))
    made = []
    for method, checkpoint in own.items():
        image_ND = block(target.embeddings, method, split.name, "image")
        encoder = PretrainedSLIMP(checkpoint, pick_device(settings.device))
        encode = {"lesion": encoder.encode_metadata, "patient": encoder.encode_patients}
        read = [level for level in encode if block(target.embeddings, method, split.name, level) is not None]
        if image_ND is None or not read:
            continue
        image_ND = image_ND[task.labelled_M]
        images = [image_ND, *[image_ND[test_N]] * len(changed)]
        levels = [np.split(encode[level](joined), starts) for level in read]
        intact, *others = (list(parts) for parts in zip(images, *levels, strict=True))
        of_block = {"lesion": checkpoint.encoding.of_rows, "patient": checkpoint.encoding.patient}
        fields = _fields([of_block[level] for level in read], rows)
        made.append(Tested(method, "+".join(["image", *read]), fields, intact, others))
    encoding = target.encodings[split.name]
    known = [level for level in encoding.levels.values() if level.fields]
    if known:
        hot = [np.split(one_hot(level, joined), starts) for level in known]
        intact, *others = (list(parts) for parts in zip(*hot, strict=True))
        made.append(Tested("metadata_linear", "metadata", _fields(known, rows), intact, others))
    return made


def _fields(levels: Sequence[LevelEncoding], rows: pd.DataFrame) -> frozenset[str]:
    """Fields of these levels of which the rows have a column."""
    return frozenset(
        name for level in levels for name in level.fields if any(column in rows for column in level.columns(name))
    )
