"""Encoding of metadata fields: fitted on training patients, saved as JSON, total on any later input."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from slimp_pipeline.cohorts.rows.values import FALSE, TRUE
from slimp_pipeline.cohorts.spec import MISSING_TOKENS, FieldSpec
from slimp_pipeline.parameters import Block
from slimp_pipeline.tables.levels import has_three, lesion_numbers, settle_lesions, settle_where_three

KINDS = ("numeric", "categorical", "checkbox")  # in token order
MISSING, UNSEEN = 0, 1  # codes of a categorical field; its categories follow
MAX_DEVIATIONS = 8.0  # a number further from the training mean is taken as this far


class FieldEncoding(Block):
    """What the encodings of all kinds of fields have."""

    weight: float = Field(1.0, gt=0)  # of its token in the mean over the level's known ones


class NumericEncoding(FieldEncoding):
    """Standardisation of one numeric field."""

    kind: Literal["numeric"] = "numeric"
    mean: float
    std: float = Field(gt=0)
    minimum: float | None
    maximum: float | None


class CategoricalEncoding(FieldEncoding):
    """Categories of one field, in code order after MISSING and UNSEEN.

    Free texts of patients' records stand as digests: the encoding leaves with the weights, they don't.
    """

    kind: Literal["categorical"] = "categorical"
    categories: list[str]
    digested: bool = False

    @field_validator("categories")
    @classmethod
    def _differ(cls, categories: list[str]) -> list[str]:
        if len(set(categories)) < len(categories):
            raise ValueError("a category stands twice")
        return categories

    def codes(self, name: str, column: pd.Series) -> np.ndarray:
        """Codes of a column's values: int64 (N,); `name` is the field's, by which its digests differ from others'."""
        texts = [str(value) for value in column]  # True and 1.0 are categories as much as "True" and "1.0"
        if self.digested:
            digests = {text: _digest(name, text) for text in set(texts)}
            texts = [digests[text] for text in texts]
        codes = pd.Index(self.categories, dtype=object).get_indexer(pd.Index(texts, dtype=object)).astype(np.int64) + 2
        codes[codes < 2] = UNSEEN
        codes[column.isna().to_numpy()] = MISSING
        return codes


class CheckboxEncoding(FieldEncoding):
    """Options of one checkbox group."""

    kind: Literal["checkbox"] = "checkbox"
    options: list[str]


class LevelEncoding(Block):
    """Encoding of the fields of one level, in token order."""

    fields: dict[str, NumericEncoding | CategoricalEncoding | CheckboxEncoding]

    def names(self, kind: str) -> list[str]:
        """Names of the fields of one kind, in order."""
        return [name for name, field in self.fields.items() if field.kind == kind]

    @property
    def weights(self) -> list[float]:
        """Weights of the fields, in token order."""
        return [self.fields[name].weight for kind in KINDS for name in self.names(kind)]

    def columns(self, name: str) -> list[str]:
        """Columns of tables that hold a field: its name, or `<name>.<option>` for each option of a checkbox group."""
        field = self.fields[name]
        return [f"{name}.{option}" for option in field.options] if isinstance(field, CheckboxEncoding) else [name]


class Encoding(Block):
    """How a cohort's metadata become numbers.

    Attributes:
        lesion: Lesion-level fields.
        patient: Patient-level fields.
        num_patients: Training patients that it was fitted on.
        nuisance: Fields that no encoder reads and an embedding should not carry, of any level, by picture.
        image: Fields of pictures. With any there are three levels, and a lesion's pictures belong together; without,
            each picture is a lesion of its own.
        swapped_levels: Whether, as a control, the innermost level's fields stand for patients', and back.
    """

    lesion: LevelEncoding
    patient: LevelEncoding
    num_patients: int
    nuisance: LevelEncoding = LevelEncoding(fields={})
    image: LevelEncoding = LevelEncoding(fields={})
    swapped_levels: bool = False

    @property
    def has_three_levels(self) -> bool:
        """Whether pictures have fields of their own."""
        return bool(self.image.fields)

    @property
    def levels(self) -> dict[str, LevelEncoding]:
        """Its two or three levels by name, from the inside out."""
        outer = {"lesion": self.lesion, "patient": self.patient}
        return {"image": self.image, **outer} if self.has_three_levels else outer

    @property
    def of_rows(self) -> LevelEncoding:
        """Fields of a row's picture and lesion together: all but its patient's."""
        return LevelEncoding(fields={**self.image.fields, **self.lesion.fields})

    def lesion_numbers(self, rows: pd.DataFrame) -> np.ndarray:
        """Number of each row's lesion, int64 (N,), in the order in which lesions first appear.

        Args:
            rows: With three levels patient_id and lesion_id.
        """
        return lesion_numbers(rows) if self.has_three_levels else np.arange(len(rows))

    def settled(self, lesions: pd.DataFrame) -> pd.DataFrame:
        """Rows of pictures; with three levels all of a lesion agree in its fields, settled by `settle.RULE`."""
        columns = {
            column: field.kind for name, field in self.lesion.fields.items() for column in self.lesion.columns(name)
        }
        return settle_lesions(lesions, columns)[0] if self.has_three_levels else lesions


EncodedFields = dict[str, np.ndarray]
"""Fields of N rows: `numeric` float32 (N, n), NaN = missing; `categorical` int64 (N, c), codes;
`checkbox` float32 (N, options of all groups), 1 = ticked; `checkbox_known` bool (N, groups)."""


def fit_encoding(
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    fields: Mapping[str, FieldSpec],
    nuisance: Mapping[str, FieldSpec] = MappingProxyType({}),
) -> Encoding:
    """Fit the encoding on training rows alone.

    Args:
        lesions: Lesion rows of training patients; with three levels all rows of a lesion agree in its fields.
        patients: Their rows of the patients table.
        fields: The chosen fields.
        nuisance: Fields that an embedding should not carry.
    """
    each = lesions.drop_duplicates(["patient_id", "lesion_id"]) if has_three(fields.values()) else lesions
    by_level = {
        level: LevelEncoding(
            fields={name: _fit_field(name, field, frame) for name, field in fields.items() if field.level == level}
        )
        for level, frame in (("image", lesions), ("lesion", each), ("patient", patients))
    }
    suppressed = LevelEncoding(fields={name: _fit_field(name, field, lesions) for name, field in nuisance.items()})
    return Encoding(num_patients=len(patients), nuisance=suppressed, **by_level)


def fit_encodings(
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    training: Mapping[str, pd.DataFrame],
    fields: Mapping[str, FieldSpec],
    nuisance: Mapping[str, FieldSpec] = MappingProxyType({}),
) -> dict[str, Encoding]:
    """Fit one encoding per partition on its training rows.

    Args:
        lesions, patients: Of the cohort.
        training: Partition -> image_id and patient_id of its training rows, as `training_partitions` gives them.
        fields: The chosen fields.
        nuisance: Fields that an embedding should not carry.
    """
    lesions, _ = settle_where_three(lesions, fields)
    return {
        name: fit_encoding(
            lesions[lesions["image_id"].isin(rows["image_id"])],
            patients[patients["patient_id"].isin(rows["patient_id"])],
            fields,
            nuisance,
        )
        for name, rows in training.items()
    }


def validated(encodings: dict[str, Any]) -> dict[str, Encoding]:
    """Encodings as JSON holds them -> encodings."""
    return {name: Encoding.model_validate(encoding) for name, encoding in encodings.items()}


def _fit_field(
    name: str, field: FieldSpec, frame: pd.DataFrame
) -> NumericEncoding | CategoricalEncoding | CheckboxEncoding:
    if field.kind == "checkbox":
        return CheckboxEncoding(options=list(field.options), weight=field.weight)
    if field.kind == "categorical":
        texts, published = sorted(frame[name].dropna().unique()), field.is_public
        categories = texts if published else [_digest(name, text) for text in texts]
        return CategoricalEncoding(categories=categories, digested=not published, weight=field.weight)
    values = frame[name].to_numpy(dtype=np.float64)
    known = values[~np.isnan(values)]
    mean = float(known.mean()) if known.size else 0.0
    std = float(known.std()) if known.size else 0.0
    if std <= 1e-12 * max(1.0, abs(mean)):  # a constant carries nothing; it maps to 0, others to their difference
        std = 1.0
    return NumericEncoding(mean=mean, std=std, minimum=field.minimum, maximum=field.maximum, weight=field.weight)


def encode(level: LevelEncoding, frame: pd.DataFrame) -> EncodedFields:
    """Encode rows of one level; total: a column that is absent counts as missing throughout.

    A number that is missing, unreadable or outside the field's possible range becomes NaN; one that is
    possible but far from the training data is held at MAX_DEVIATIONS standard deviations. A category
    that training never had becomes UNSEEN.
    """
    numeric = [_encode_numbers(level.fields[name], frame, name) for name in level.names("numeric")]
    categorical = [_encode_categories(level.fields[name], frame, name) for name in level.names("categorical")]
    boxes = [_encode_boxes(level.fields[name], frame, name) for name in level.names("checkbox")]
    rows = len(frame)
    return {
        "numeric": np.stack(numeric, axis=1) if numeric else np.empty((rows, 0), dtype=np.float32),
        "categorical": np.stack(categorical, axis=1) if categorical else np.empty((rows, 0), dtype=np.int64),
        "checkbox": np.concatenate([b for b, _ in boxes], axis=1) if boxes else np.empty((rows, 0), np.float32),
        "checkbox_known": np.stack([k for _, k in boxes], axis=1) if boxes else np.empty((rows, 0), dtype=bool),
    }


def one_hot(level: LevelEncoding, frame: pd.DataFrame) -> np.ndarray:
    """Encode rows for linear models: float32 (N, columns).

    Numbers are standardised (0 where missing, with an indicator column); categories, their unseen and
    missing codes, and checkbox options each have a column.
    """
    encoded = encode(level, frame)
    missing = np.isnan(encoded["numeric"])
    parts = [np.nan_to_num(encoded["numeric"], nan=0.0), missing.astype(np.float32)]
    for column, name in enumerate(level.names("categorical")):
        num_codes = len(level.fields[name].categories) + 2  # type: ignore[union-attr]
        parts.append(np.eye(num_codes, dtype=np.float32)[encoded["categorical"][:, column]])
    parts += [encoded["checkbox"], (~encoded["checkbox_known"]).astype(np.float32)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def row_groups(encoded: EncodedFields) -> np.ndarray:
    """Number rows so that two rows have the same number exactly when their encoded fields are equal.

    Returns:
        int64 (N,), numbers from 0.
    """
    flat = np.concatenate([np.nan_to_num(part.astype(np.float64), nan=1e30) for part in encoded.values()], axis=1)
    if flat.shape[1] == 0:
        return np.zeros(len(flat), dtype=np.int64)
    return np.unique(flat, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _encode_numbers(field: Any, frame: pd.DataFrame, name: str) -> np.ndarray:
    if name not in frame:
        return np.full(len(frame), np.nan, dtype=np.float32)
    column = _as_text(frame[name]) if frame[name].dtype == object else frame[name]  # mixed values read as text
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    low = -np.inf if field.minimum is None else field.minimum
    high = np.inf if field.maximum is None else field.maximum
    values = np.where((values >= low) & (values <= high) & np.isfinite(values), values, np.nan)
    return np.clip((values - field.mean) / field.std, -MAX_DEVIATIONS, MAX_DEVIATIONS).astype(np.float32)


def _encode_categories(field: Any, frame: pd.DataFrame, name: str) -> np.ndarray:
    if name not in frame:
        return np.full(len(frame), MISSING, dtype=np.int64)
    codes: np.ndarray = field.codes(name, frame[name])
    return codes


def _encode_boxes(field: Any, frame: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A group is known where at least one of its options reads as true or false, and none can't be read."""
    cells = frame.reindex(columns=[f"{name}.{option}" for option in field.options])
    text = cells.apply(_as_tick)
    known_N = (text.isin(TRUE | FALSE).any(axis=1) & ~unreadable_ticks(cells).any(axis=1)).to_numpy()
    return (text.isin(TRUE).to_numpy() & known_N[:, None]).astype(np.float32), known_N


def unreadable_ticks(cells: pd.DataFrame) -> pd.DataFrame:
    """Where cells of checkboxes are neither true nor false, nor empty: "x" may well be a tick."""
    return cells.notna() & ~cells.apply(_as_tick).isin(TRUE | FALSE | MISSING_TOKENS)


def _as_tick(column: pd.Series) -> pd.Series:
    return _as_text(column).str.strip().str.lower()


def _as_text(column: pd.Series) -> pd.Series:
    try:
        return column.astype(str)
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold and text can't
        return column.map(lambda value: str(value).encode("utf-8", "replace").decode()).astype(str)


def _digest(name: str, text: str) -> str:
    """The same text of another field has another digest, so that records can't be matched by it."""
    return hashlib.sha256(f"{name}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
