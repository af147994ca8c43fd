"""Batches of patients: P patients, up to L lesions each, malignant ones first up to a share; pictures of lesions."""

from collections.abc import Iterator

import numpy as np

from slimp_pipeline.parameters import SamplerParams


def own_part(patient_B: np.ndarray, rank: int, count: int) -> slice:
    """Part of a batch's lesions that one of several processes encodes: whole patients, about as many lesions in each.

    Parts follow one another and are the batch together; each has a patient at least.

    Args:
        patient_B: Patient of each lesion; a patient's lesions stand next to each other.
        rank: Number of the process, from 0.
        count: Of processes; the batch has as many patients or more.
    """
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(patient_B)) + 1, [len(patient_B)]])
    cuts = [0]
    for part in range(1, count):
        nearest = int(np.abs(bounds - part * len(patient_B) / count).argmin())
        cuts.append(min(max(nearest, cuts[-1] + 1), len(bounds) - 1 - (count - part)))
    cuts.append(len(bounds) - 1)
    return slice(int(bounds[cuts[rank]]), int(bounds[cuts[rank + 1]]))


class Batches:
    """Epochs of batches: image rows; a patient's, and a lesion's, stand next to each other.

    Attributes:
        num_batches: Of an epoch.
        num_lesions: That are drawn from.
        lesions_per_epoch: That an epoch draws.
        images_per_epoch: Likewise, on average.
        fewest_patients: Of a batch.
        unit: What an epoch draws once: `patients` or `lesions`.
    """

    num_batches: int
    num_lesions: int
    lesions_per_epoch: int
    images_per_epoch: int
    fewest_patients: int
    unit: str

    def epoch(self, epoch: int) -> Iterator[np.ndarray]:
        """Yield the batches of one epoch; the draw depends on seed and epoch alone."""
        raise NotImplementedError

    def steps(self, start: int, num_steps: int) -> Iterator[np.ndarray]:
        """Yield the batches of steps number `start` to `num_steps` - 1."""
        for epoch in range(start // self.num_batches, -(-num_steps // self.num_batches)):
            for step, rows in enumerate(self.epoch(epoch), start=epoch * self.num_batches):
                if start <= step < num_steps:
                    yield rows


class PatientBatches(Batches):
    """Draws an epoch as batches of image rows, grouped by patient, and by lesion.

    An epoch of patients draws every patient once. An epoch of lesions draws every lesion once: a patient with more
    than L is in several batches, with up to L in each. (Of a patient with more lesions than all others together, what
    would be alone in a batch waits for another epoch.) Patients are spread evenly over the batches, so that the last
    one is no remnant; a patient with L lesions or fewer gives them all, and nothing is repeated or padded.
    Positive sampling tops a patient's draw up with malignant lesions, to the share and no further; a
    draw that holds more of them by chance stays as it is.
    Of a lesion with several pictures up to `settings.images_per_lesion` are drawn, again without repeats.
    The draw depends on seed and epoch alone, so that a resumed run draws what it would have drawn.

    Args:
        patient_N: Position of each image's patient, 0..M-1.
        malignant_N: Whether each image shows a malignant lesion; read only where the share is above 0.
        settings: P (up to half as many again, where patients don't divide), L, and the share of the lesions
            drawn that malignant ones may take first.
        seed: Seed of the draw.
        lesion_N: Number of each image's lesion; None: each image is a lesion of its own.

    Raises:
        ValueError: With fewer than two patients there is nothing to contrast.
    """

    def __init__(
        self,
        patient_N: np.ndarray,
        malignant_N: np.ndarray,
        settings: SamplerParams,
        seed: int,
        lesion_N: np.ndarray | None = None,
    ) -> None:
        self._images, images_per_lesion = None, 1.0
        if lesion_N is not None and len(np.unique(lesion_N)) < len(lesion_N):
            self._images = _gathered(lesion_N)
            images_per_lesion = float(np.mean([min(len(own), settings.images_per_lesion) for own in self._images]))
            patient_N = patient_N[[own[0] for own in self._images]]
            malignant_N = np.array([malignant_N[own].any() for own in self._images])
        self._lesions = _gathered(patient_N)
        if len(self._lesions) < 2:
            raise ValueError(f"{len(self._lesions)} patients with images: contrastive training needs at least two")
        self._malignant = malignant_N
        self._settings = settings
        self._seed = seed
        self.num_lesions, self.unit = len(patient_N), settings.epoch
        size_M = np.array([len(lesions) for lesions in self._lesions])
        draws_M = np.ones_like(size_M)
        if settings.epoch == "lesions":
            draws_M = -(-size_M // settings.lesions_per_patient)
            draws_M = np.minimum(draws_M, np.maximum(draws_M.sum() - draws_M, 1))
        self._draws = draws_M
        self.num_batches = max(round(draws_M.sum() / settings.patients_per_batch), int(draws_M.max()))
        self.num_batches = min(self.num_batches, int(draws_M.sum()) // 2)
        self.fewest_patients = int(draws_M.sum()) // self.num_batches
        self.lesions_per_epoch = int(np.minimum(size_M, draws_M * settings.lesions_per_patient).sum())
        self.images_per_epoch = round(self.lesions_per_epoch * images_per_lesion)

    def epoch(self, epoch: int) -> Iterator[np.ndarray]:
        """Yield the batches of one epoch: image rows, int64, a patient's, and a lesion's, next to each other."""
        rng = np.random.default_rng([self._seed, epoch])
        patients = rng.permutation(len(self._lesions))
        dealt = self._settings.epoch == "lesions"
        for lesions in self._dealt(patients, rng) if dealt else self._drawn(patients, rng):
            yield self._pictures(lesions, rng)

    def _pictures(self, lesions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Image rows of lesions, in their order."""
        if self._images is None:
            return lesions
        limit = self._settings.images_per_lesion
        images = (self._images[lesion] for lesion in lesions)
        return np.concatenate([rng.permutation(own)[:limit] if len(own) > limit else own for own in images])

    def _drawn(self, patients: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Draw from every patient once, batch after batch."""
        for group in np.array_split(patients, self.num_batches):
            yield np.concatenate([self._draw(self._lesions[patient], rng) for patient in group])

    def _dealt(self, patients: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Deal every patient's lesions like cards, L at a time, to one batch after the other: none is met twice."""
        batches: list[list[np.ndarray]] = [[] for _ in range(self.num_batches)]
        place = 0
        for patient in patients:
            lesions, num_draws = self._lesions[patient], int(self._draws[patient])
            shuffled = rng.permutation(lesions)[: num_draws * self._settings.lesions_per_patient]
            for drawn in np.array_split(shuffled, num_draws):
                batches[place % self.num_batches].append(drawn)
                place += 1
        yield from (np.concatenate(batches[number]) for number in rng.permutation(self.num_batches))

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


def _gathered(owner_N: np.ndarray) -> list[np.ndarray]:
    """Positions of each owner's members, owners in order."""
    order = np.argsort(owner_N, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(owner_N[order])) + 1)
