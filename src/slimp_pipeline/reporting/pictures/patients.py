"""All lesions of a patient beside one another, those that stand out marked."""

from typing import Any

import numpy as np
import pandas as pd

from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import ReportParams
from slimp_pipeline.reporting.pictures.gallery import picture

_MIN_LESIONS = 3  # of two, neither stands out


def patient_view(
    ducklings: pd.DataFrame,
    rows: pd.DataFrame,
    store: ImageStore,
    patient_names: pd.DataFrame,
    settings: ReportParams,
) -> list[dict[str, Any]]:
    """Picture the lesions of the patients who have the most.

    Args:
        ducklings: As `ugly_ducklings.ugly_duckling_table` gives them.
        rows: Evaluated rows.
        store: Their pictures.
        patient_names: pseudonym, patient_id.
        settings: How many patients and lesions; whether ids may be shown.

    Returns:
        Patients: name (the pseudonym, or the id if it may be shown), num_lesions, num_pictures, num_standing_out, and
        pictures, the most unlike first: as `gallery.picture` has them, with distance and stands_out.
    """
    num_lesions = ducklings.groupby("patient_id")["lesion_id"].nunique()
    num_lesions = num_lesions[num_lesions >= _MIN_LESIONS].sort_values(ascending=False, kind="stable")
    by_image = rows.set_index("image_id", drop=False)
    names = patient_names.set_index("patient_id")["pseudonym"]
    view = []
    for patient in num_lesions.index[: settings.num_patients]:
        own = ducklings[ducklings["patient_id"] == patient].sort_values("distance", ascending=False, kind="stable")
        shown = [
            picture(by_image.loc[row.image_id], store, show_ids=settings.show_ids)
            | {"distance": f"{row.distance:.2f}", "stands_out": bool(row.stands_out)}
            for row in own.head(settings.max_lesions).itertuples()
        ]
        view.append(
            {
                "name": str(patient) if settings.show_ids else f"Patient {names[patient]}",
                "num_lesions": int(num_lesions[patient]),
                "num_pictures": len(own),
                "num_standing_out": int(np.sum(own["stands_out"])),
                "pictures": shown,
            }
        )
    return view
