"""Batches of patients: P patients, up to L lesions each, malignant ones first up to a share."""

from collections.abc import Iterator

import numpy as np

from slimp_pipeline.parameters import SamplerParams


class PatientBatches:
    """Draws an epoch as batches of lesion rows, grouped by patient.

    Every patient is drawn once an epoch. Patients are spread evenly over the batches, so that the last one
    is no remnant; a patient with L lesions or fewer gives them all, and nothing is repeated or padded.
    Positive sampling tops a patient's draw up with malignant lesions, to the share and no further; a
    draw that holds more of them by chance stays as it is.
    The draw depends on seed and epoch alone, so that a resumed run draws what it would have drawn.

    Args:
        patient_N: Position of each lesion's patient, 0..M-1.
        malignant_N: Whether each lesion is malignant; read only where the share is above 0.
        settings: P (up to half as many again, where patients don't divide), L, and the share of the lesions
            drawn that malignant ones may take first.
        seed: Seed of the draw.

    Raises:
        ValueError: With fewer than two patients there is nothing to contrast.
    """

    def __init__(self, patient_N: np.ndarray, malignant_N: np.ndarray, settings: SamplerParams, seed: int) -> None:
        order = np.argsort(patient_N, kind="stable")
        bounds = np.flatnonzero(np.diff(patient_N[order])) + 1
        self._lesions = np.split(order, bounds)
        if len(self._lesions) < 2:
            raise ValueError(f"{len(self._lesions)} patients with images: contrastive training needs at least two")
        self._malignant = malignant_N
        self._settings = settings
        self._seed = seed
        self.num_batches = max(1, round(len(self._lesions) / settings.patients_per_batch))
        self.num_batches = min(self.num_batches, len(self._lesions) // 2)
        self.lesions_per_epoch = sum(min(len(x), settings.lesions_per_patient) for x in self._lesions)

    def epoch(self, epoch: int) -> Iterator[np.ndarray]:
        """Yield the batches of one epoch: lesion rows, int64, a patient's rows next to each other."""
        rng = np.random.default_rng([self._seed, epoch])
        for patients in np.array_split(rng.permutation(len(self._lesions)), self.num_batches):
            yield np.concatenate([self._draw(self._lesions[patient], rng) for patient in patients])

    def steps(self, start: int, num_epochs: int) -> Iterator[np.ndarray]:
        """Yield the batches of all steps from step `start` on."""
        for epoch in range(start // self.num_batches, num_epochs):
            for batch, rows in enumerate(self.epoch(epoch)):
                if epoch * self.num_batches + batch >= start:
                    yield rows

    def _draw(self, lesions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        wanted = self._settings.lesions_per_patient
        if len(lesions) <= wanted:
            return lesions
        shuffled = rng.permutation(lesions)
        if self._settings.malignant_first_share == 0:
            return shuffled[:wanted]
        malignant = shuffled[self._malignant[shuffled]]
        first = malignant[: int(np.floor(self._settings.malignant_first_share * wanted))]
        rest = shuffled[~np.isin(shuffled, first)]
        return np.concatenate([first, rest])[:wanted]
