"""Lesions of patients as the training loop reads them: encoded fields, groups, and where the pixels are."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from slimp_pipeline.tables.encoding import EncodedFields, Encoding, encode, row_groups


@dataclass(frozen=True)
class PatientLesions:
    """N lesions with images, of M patients, as tensors.

    Attributes:
        image_id_N: Id of each lesion's image.
        store_index_N: Its row in the image store.
        patient_N: Position of each lesion's patient, 0..M-1.
        malignant_N: Whether the lesion is known to be malignant.
        lesion: Encoded lesion fields, N rows.
        patient: Encoded patient fields, M rows.
        lesion_group_N: Lesions of equal number have equal metadata.
        patient_group_M: Likewise for patients.
        nuisance: Encoded fields that an embedding should not carry, N rows.
        cohort_N: Name of each lesion's cohort; all alike where there is one.
    """

    image_id_N: np.ndarray
    store_index_N: np.ndarray
    patient_N: np.ndarray
    malignant_N: np.ndarray
    lesion: dict[str, Tensor]
    patient: dict[str, Tensor]
    lesion_group_N: Tensor
    patient_group_M: Tensor
    nuisance: dict[str, Tensor]
    cohort_N: np.ndarray

    def to(self, device: torch.device) -> "PatientLesions":
        """The same with its tensors on a device: a batch's metadata are gathered where it is computed."""
        return replace(
            self,
            lesion={name: values.to(device) for name, values in self.lesion.items()},
            patient={name: values.to(device) for name, values in self.patient.items()},
            lesion_group_N=self.lesion_group_N.to(device),
            patient_group_M=self.patient_group_M.to(device),
            nuisance={name: values.to(device) for name, values in self.nuisance.items()},
        )

    @property
    def num_patients(self) -> int:
        """M."""
        return len(self.patient_group_M)


def patient_lesions(lesions: pd.DataFrame, patients: pd.DataFrame, encoding: Encoding) -> PatientLesions:
    """Encode lesions and their patients.

    Args:
        lesions: Rows with an image: image_id, patient_id, store_index, malignant, lesion fields.
        patients: Patients table; rows of patients without lesions here are left out.
        encoding: Fitted on training patients.
    """
    own = patients[patients["patient_id"].isin(lesions["patient_id"])].reset_index(drop=True)
    position = pd.Series(own.index, index=own["patient_id"])
    lesion, patient = encode(encoding.lesion, lesions), encode(encoding.patient, own)
    return PatientLesions(
        image_id_N=lesions["image_id"].to_numpy(dtype=object),
        store_index_N=lesions["store_index"].to_numpy(dtype=np.int64),
        patient_N=position.loc[lesions["patient_id"]].to_numpy(dtype=np.int64),
        malignant_N=lesions["malignant"].fillna(False).to_numpy(dtype=bool),
        lesion=as_tensors(lesion),
        patient=as_tensors(patient),
        lesion_group_N=torch.from_numpy(row_groups(lesion)),
        patient_group_M=torch.from_numpy(row_groups(patient)),
        nuisance=as_tensors(encode(encoding.nuisance, lesions)),
        cohort_N=lesions.get("cohort", pd.Series("", index=lesions.index)).to_numpy(dtype=object),
    )


def as_tensors(encoded: EncodedFields) -> dict[str, Tensor]:
    """Encoded fields as tensors that share their memory."""
    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in encoded.items()}


def select(fields: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """Rows of encoded fields, on the device where they are."""
    return {name: values[rows] for name, values in fields.items()}
