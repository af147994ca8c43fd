"""Feature sets: which blocks of a method's embeddings, and of the metadata, a classifier sees."""

from typing import NamedTuple

import numpy as np

from slimp_pipeline.evaluation.features.blocks import Scaling, scale_blocks
from slimp_pipeline.evaluation.features.embed import block, methods, start_method
from slimp_pipeline.evaluation.features.patient_context import patient_relative, ugly_duckling
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Split, Task
from slimp_pipeline.tables.encoding import encode, one_hot

FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "image": ("image",),
    "image+lesion": ("image", "lesion"),
    "image+lesion+patient": ("image", "lesion", "patient"),
    "image+metadata": ("image", "metadata"),
    "image+ugly_duckling": ("image", "ugly_duckling"),
}
"""Blocks `image`, `lesion`, `patient`: embeddings. `metadata`: one-hot fields. `ugly_duckling`: the image embedding
against those of the patient's other lesions."""


class Sides(NamedTuple):
    """Scaled features of a split's rows.

    Attributes:
        train_ND, test_ND: Of its training and of its test rows, float32.
        widths: Columns of each block.
    """

    train_ND: np.ndarray
    test_ND: np.ndarray
    widths: list[int]

    def train_blocks(self) -> list[np.ndarray]:
        """The training rows' blocks, each (N, D_block)."""
        return np.split(self.train_ND, np.cumsum(self.widths)[:-1], axis=1)


class Features:
    """Features of a task's rows, by method, feature set and split.

    Args:
        target: Rows, embeddings, encodings.
        task: The task on it.
    """

    def __init__(self, target: TargetCohort, task: Task) -> None:
        self._rows, self._task = target.rows, task
        self._embeddings, self._encodings = target.embeddings, target.encodings
        rows = target.rows
        self._patient = rows["patient_id"].to_numpy()
        self._lesion = rows["lesion_id"].to_numpy()
        self._has_context = bool(rows.drop_duplicates(["patient_id", "lesion_id"])["patient_id"].duplicated().any())

    @property
    def methods(self) -> list[str]:
        """Methods that there are embeddings of, of images or of metadata alone."""
        return methods(self._embeddings, fused=True)

    @property
    def start(self) -> str:
        """Method that stands for what training started from."""
        return start_method(self._embeddings)

    def of(self, method: str, feature_set: str, split: Split) -> Sides | None:
        """Blocks of a feature set, scaled to equal weight by training rows; None where the target lacks one."""
        blocks = self._blocks(method, feature_set, split)
        if not blocks:
            return None
        scaling = Scaling.fit(blocks, split.train_N)
        widths = [len(columns) for columns in scaling.columns]
        return Sides(scaling(blocks, split.train_N), scaling(blocks, split.test_N), widths)

    def _blocks(self, method: str, feature_set: str, split: Split) -> list[np.ndarray]:
        """Blocks of a feature set as they are, each (N, D_block); none where the target lacks one."""
        names = FEATURE_SETS[feature_set]
        if method not in methods(self._embeddings) and not {"lesion", "patient"} & set(names):
            return []
        blocks: list[np.ndarray] = []
        for name in names:
            values = self.block(method, name, split)
            if values is None:
                return []
            # The two distances would drown among a thousand coordinates: they are a block of their own.
            blocks += np.split(values, [-2], axis=1) if name == "ugly_duckling" else [values]
        return blocks

    def block(self, method: str, name: str, split: Split) -> np.ndarray | None:
        """One block as it is, (N, D)."""
        if name == "metadata":
            return self.metadata(split)
        if name == "ugly_duckling":
            image = block(self._embeddings, method, split.name, "image")
            known = image is not None and self._has_context
            return self._chosen(ugly_duckling(image, self._patient, self._lesion)) if known else None  # type: ignore[arg-type]
        values = block(self._embeddings, method, split.name, name)
        return None if values is None else self._chosen(values)

    def _chosen(self, values_ND: np.ndarray) -> np.ndarray:
        """The task's rows; not copied where they are all there are."""
        return values_ND if self._task.labelled_M.all() else values_ND[self._task.labelled_M]

    def metadata(self, split: Split) -> np.ndarray | None:
        """Metadata of all levels, one-hot, each level of equal weight; None for a cohort of images alone."""
        encoding = self._encodings[split.name]
        levels = [one_hot(level, self._task.rows) for level in encoding.levels.values()]
        levels = [level for level in levels if level.shape[1]]
        return scale_blocks(levels, split.train_N) if levels else None

    def patient_relative(self, split: Split) -> np.ndarray | None:
        """Numbers of lesions (and pictures) relative to the patient's other rows; None where nobody has two lesions."""
        numeric_NF = encode(self._encodings[split.name].of_rows, self._rows)["numeric"]
        known = numeric_NF.shape[1] > 0 and self._has_context
        return self._chosen(patient_relative(numeric_NF, self._patient)) if known else None
