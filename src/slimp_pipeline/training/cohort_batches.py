"""Batches of several cohorts: each of one cohort alone, so that none is told apart instead of its lesions."""

from collections.abc import Iterator

import numpy as np

from slimp_pipeline.parameters import SamplerParams
from slimp_pipeline.training.data import PatientLesions
from slimp_pipeline.training.sampler import Batches, PatientBatches


def batches_of(data: PatientLesions, settings: SamplerParams, seed: int, *, skip_lone: bool = False) -> Batches:
    """Draw the batches of a training: of patients, and where there are several cohorts of one at a time.

    Args:
        data: Lesions of patients.
        settings: How batches are drawn.
        seed: Seed of the draw.
        skip_lone: Leave out a cohort of a single patient, who can't be contrasted, rather than refuse it; a weight may
            be of a cohort that has none. Where that leaves no cohort, all are mixed.

    Raises:
        ValueError: If there are fewer than two patients, in a cohort too, or a weight is of no cohort.
    """
    names = list(dict.fromkeys(data.cohort_N))
    unknown = sorted(set(settings.cohort_weights) - set(names))
    if unknown and not skip_lone:
        raise ValueError(
            f"training.sampler.cohort_weights names {', '.join(unknown)}; the cohorts that are trained on are "
            f"{', '.join(names) if any(names) else 'but one, which needs no weight'}"
        )
    if len(names) == 1 or settings.mixed_cohorts:
        return PatientBatches(data.patient_N, data.malignant_N, settings, seed, data.lesion_N)
    parts = []
    for name in names:
        rows = np.flatnonzero(data.cohort_N == name)
        num_patients = len(np.unique(data.patient_N[rows]))
        if num_patients < 2:
            if skip_lone:
                continue
            raise ValueError(f"cohort {name} has {num_patients} patient with images: leave it out of source_cohort")
        batches = PatientBatches(data.patient_N[rows], data.malignant_N[rows], settings, seed, data.lesion_N[rows])
        parts.append((rows, batches, settings.cohort_weights.get(name, 1.0)))
    if not parts:
        return PatientBatches(data.patient_N, data.malignant_N, settings, seed, data.lesion_N)
    return CohortBatches(parts, seed)


class CohortBatches(Batches):
    """Batches that are each drawn from one cohort, in an order drawn anew for each epoch.

    Fields that a cohort lacks are missing in all of its rows: beside another cohort's they would give away which rows
    are no partners, and nothing need be learnt of lesions. That batches hold one cohort is our choice.

    An epoch holds each cohort's own epoch as often as its weight says: with weight 2 every patient twice, with 0.5
    half of the batches, the other half in the next epoch.

    Args:
        parts: Of each cohort its rows, their batches and its weight.
        seed: Seed of the order.
    """

    def __init__(self, parts: list[tuple[np.ndarray, PatientBatches, float]], seed: int) -> None:
        self._parts = [(rows, batches) for rows, batches, _ in parts]
        self._counts = [max(1, round(weight * batches.num_batches)) for _, batches, weight in parts]
        self._seed = seed
        drawn = [(batches, count) for (_, batches), count in zip(self._parts, self._counts, strict=True)]
        self.num_batches = sum(self._counts)
        self.num_lesions = sum(batches.num_lesions for _, batches in self._parts)
        self.unit = self._parts[0][1].unit
        self.fewest_patients = min(batches.fewest_patients for _, batches in self._parts)
        self.lesions_per_epoch = sum(round(own.lesions_per_epoch * count / own.num_batches) for own, count in drawn)
        self.images_per_epoch = sum(round(own.images_per_epoch * count / own.num_batches) for own, count in drawn)

    def epoch(self, epoch: int) -> Iterator[np.ndarray]:
        """Yield the batches of one epoch, as `PatientBatches` does."""
        streams = [
            map(rows.__getitem__, batches.steps(epoch * count, (epoch + 1) * count))
            for (rows, batches), count in zip(self._parts, self._counts, strict=True)
        ]
        order = np.repeat(np.arange(len(streams)), self._counts)
        for part in np.random.default_rng([self._seed, epoch, len(streams)]).permutation(order):
            yield next(streams[part])
