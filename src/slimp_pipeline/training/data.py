"""Pictures of patients' lesions as the training loop reads them: encoded fields, groups, and where the pixels are."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from slimp_pipeline.tables.encoding import EncodedFields, Encoding, encode, row_groups


@dataclass(frozen=True)
class PatientLesions:
    """N images of K lesions, of M patients, as tensors; with two levels each image is a lesion of its own.

    Attributes:
        image_id_N: Id of each image.
        store_index_N: Its row in the image store.
        lesion_N: Position of its lesion, 0..K-1, in the order in which lesions first appear.
        patient_N: Position of its patient, 0..M-1.
        malignant_N: Whether the image is known to show a malignant lesion.
        lesion: Encoded lesion fields, K rows.
        patient: Encoded patient fields, M rows.
        lesion_group_K: Lesions of equal number have equal metadata.
        patient_group_M: Likewise for patients.
        nuisance: Encoded fields that an embedding should not carry, N rows.
        image: Encoded fields of pictures, N rows; empty with two levels.
        image_group_N: Images of equal number have equal metadata of their own.
        cohort_N: Name of each image's cohort; all alike where there is one.
    """

    image_id_N: np.ndarray
    store_index_N: np.ndarray
    lesion_N: np.ndarray
    patient_N: np.ndarray
    malignant_N: np.ndarray
    lesion: dict[str, Tensor]
    patient: dict[str, Tensor]
    lesion_group_K: Tensor
    patient_group_M: Tensor
    nuisance: dict[str, Tensor]
    image: dict[str, Tensor]
    image_group_N: Tensor
    cohort_N: np.ndarray

    def to(self, device: torch.device) -> "PatientLesions":
        """The same with its tensors on a device: a batch's metadata are gathered where it is computed."""

        def moved(fields: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: values.to(device) for name, values in fields.items()}

        return replace(
            self,
            image=moved(self.image),
            lesion=moved(self.lesion),
            patient=moved(self.patient),
            nuisance=moved(self.nuisance),
            image_group_N=self.image_group_N.to(device),
            lesion_group_K=self.lesion_group_K.to(device),
            patient_group_M=self.patient_group_M.to(device),
        )

    @property
    def num_patients(self) -> int:
        """M."""
        return len(self.patient_group_M)


def patient_lesions(lesions: pd.DataFrame, patients: pd.DataFrame, encoding: Encoding) -> PatientLesions:
    """Encode lesions and their patients.

    Args:
        lesions: Rows with an image: image_id, patient_id, store_index, malignant, lesion fields; with three levels
            lesion_id and fields of pictures too, and all rows of a lesion agree in its fields.
        patients: Patients table; rows of patients without lesions here are left out.
        encoding: Fitted on training patients.
    """
    own = patients[patients["patient_id"].isin(lesions["patient_id"])].reset_index(drop=True)
    position = pd.Series(own.index, index=own["patient_id"])
    lesion_N = encoding.lesion_numbers(lesions)
    each = lesions.iloc[np.unique(lesion_N, return_index=True)[1]]
    lesion, patient, image = (
        encode(encoding.lesion, each),
        encode(encoding.patient, own),
        encode(encoding.image, lesions),
    )
    return PatientLesions(
        image_id_N=lesions["image_id"].to_numpy(dtype=object),
        store_index_N=lesions["store_index"].to_numpy(dtype=np.int64),
        lesion_N=lesion_N,
        patient_N=position.loc[lesions["patient_id"]].to_numpy(dtype=np.int64),
        malignant_N=lesions["malignant"].fillna(False).to_numpy(dtype=bool),
        lesion=as_tensors(lesion),
        patient=as_tensors(patient),
        lesion_group_K=torch.from_numpy(row_groups(lesion)),
        patient_group_M=torch.from_numpy(row_groups(patient)),
        nuisance=as_tensors(encode(encoding.nuisance, lesions)),
        image=as_tensors(image) if encoding.has_three_levels else {},
        image_group_N=torch.from_numpy(row_groups(image)),
        cohort_N=lesions.get("cohort", pd.Series("", index=lesions.index)).to_numpy(dtype=object),
    )


def as_tensors(encoded: EncodedFields) -> dict[str, Tensor]:
    """Encoded fields as tensors that share their memory."""
    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in encoded.items()}


def select(fields: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """Rows of encoded fields, on the device where they are."""
    return {name: values[rows] for name, values in fields.items()}
