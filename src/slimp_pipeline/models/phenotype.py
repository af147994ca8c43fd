"""Phenotype: a patient's lesions pooled into one vector."""

import torch
from torch import Tensor


def mean_per_patient(lesions_BD: Tensor, patient_of_lesion_B: Tensor, num_patients: int) -> Tensor:
    """Mean over each patient's lesions, however many they are; nothing is padded.

    Args:
        lesions_BD: One row per lesion.
        patient_of_lesion_B: int64, position of each lesion's patient, 0 <= p < num_patients.
        num_patients: Patients in the batch; each has at least one lesion.

    Returns:
        (num_patients, D), float32 also for rows of half precision: their sums would lose lesions.

    Source:
        SLIMP, arXiv:2505.23709: lesion representations are averaged into the phenotype.
    """
    lesions_BD = lesions_BD.to(torch.promote_types(lesions_BD.dtype, torch.float32))
    sums_PD = lesions_BD.new_zeros(num_patients, lesions_BD.shape[1])
    sums_PD = sums_PD.index_add(0, patient_of_lesion_B, lesions_BD)
    counts_P = torch.bincount(patient_of_lesion_B, minlength=num_patients)
    return sums_PD / counts_P.clamp_min(1).unsqueeze(1).to(sums_PD.dtype)
