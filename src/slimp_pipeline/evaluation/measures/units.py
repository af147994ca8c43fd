"""Units of evaluation: pictures, or lesions or patients of which several pictures' scores are pooled, then measured."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.measures.records import Key, classes_of, join_tables
from slimp_pipeline.parameters import EvaluationParams, Unit

_IDS = {"image": ["image_id"], "lesion": ["patient_id", "lesion_id"], "patient": ["patient_id"]}


@dataclass(frozen=True)
class Units:
    """N rows as U units.

    Attributes:
        unit_N: Unit of each row, 0..U-1, in the order of the units' ids.
        first_U: A row of each unit.
        label_U: Class of each unit: of its rows' classes a malignant one before others, then the one of most rows,
            then the first.
        malignant_K: 1 where a class is malignant, 0 where benign, -1 where neither.
        lesions: For patients, their lesions as units of the rows.
    """

    unit_N: np.ndarray
    first_U: np.ndarray
    label_U: np.ndarray
    malignant_K: np.ndarray
    lesions: "Units | None" = None

    @classmethod
    def of(cls, rows: pd.DataFrame, label_N: np.ndarray, malignant_K: np.ndarray, unit: Unit) -> "Units":
        """Gather rows.

        Args:
            rows: image_id, lesion_id, patient_id.
            label_N: Class numbers.
            malignant_K: As above.
            unit: What is gathered.
        """
        unit_N = rows.groupby(_IDS[unit], sort=True, observed=True).ngroup().to_numpy()
        first_U = np.unique(unit_N, return_index=True)[1]
        counts_UK = np.zeros((len(first_U), len(malignant_K)))
        np.add.at(counts_UK, (unit_N, label_N), 1)
        malignant_first_UK = counts_UK + len(rows) * ((counts_UK > 0) & (malignant_K == 1))
        lesions = cls.of(rows, label_N, malignant_K, "lesion") if unit == "patient" else None
        return cls(unit_N, first_U, malignant_first_UK.argmax(axis=1), malignant_K, lesions)

    def pooled(self, score_NK: np.ndarray) -> np.ndarray:
        """Scores of the units, (U, K): a lesion's are the mean of its pictures', a patient's those of the worst lesion.

        The worst is the one of the highest malignant score less the benign one: of the two, one alone may be known,
        where the rows are all of one class. A mean over a patient's lesions would drown one melanoma among many moles.
        Our choice, both.
        """
        if len(self.first_U) == len(score_NK):
            return score_NK[self.first_U]
        if self.lesions is None:
            sums_UK = np.zeros((len(self.first_U), score_NK.shape[1]))
            np.add.at(sums_UK, self.unit_N, score_NK)
            return sums_UK / np.bincount(self.unit_N)[:, None]
        score_LK = self.lesions.pooled(score_NK)
        unit_L = self.unit_N[self.lesions.first_U]
        malignant_L, benign_L = (score_LK[:, self.malignant_K == group].sum(axis=1) for group in (1, 0))
        order_L = np.lexsort((benign_L - malignant_L, unit_L))
        return score_LK[order_L[np.unique(unit_L[order_L], return_index=True)[1]]]


def by_unit(predictions: pd.DataFrame, settings: EvaluationParams) -> pd.DataFrame:
    """Predictions of units, pooled from those of pictures.

    Args:
        predictions: As `records.prediction_table` has them, a row per picture.
        settings: The unit.

    Returns:
        The same table, a row per unit; image_id is the unit's id.

    Raises:
        ValueError: If the table doesn't tell lesions: those of older versions don't.
    """
    if settings.unit == "image" or predictions.empty:
        return predictions
    if "lesion_id" not in predictions:
        raise ValueError(
            "these predictions were made by an older version, which didn't note lesions: they can't be measured by "
            f"{settings.unit}. Run `kedro run --pipeline=evaluate` again, or set evaluation.unit to image."
        )
    classes, malignant_K = classes_of(predictions)
    scores = [f"score.{name}" for name in classes]
    parts = []
    for _, part in predictions.groupby([*Key._fields, "draw", "repeat"], sort=False, observed=True):
        units = Units.of(part, pd.Index(classes).get_indexer(part["label"]), malignant_K, settings.unit)
        score_UK = units.pooled(part[scores].to_numpy())
        of_unit = part.iloc[units.first_U]
        pooled = {
            "image_id": of_unit[_IDS[settings.unit][-1]].astype("category"),
            "label": pd.Categorical.from_codes(units.label_U, classes),
            "label_malignant": malignant_K[units.label_U].astype(np.int8),
            "predicted": pd.Categorical.from_codes(score_UK.argmax(axis=1), classes),
        }
        parts.append(of_unit.assign(**pooled, **dict(zip(scores, score_UK.T, strict=True))))
    return join_tables(parts)
