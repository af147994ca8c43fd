"""What a cohort is: where its tables and images are, what its columns mean, what leaks.

A cohort is described by YAML alone (`conf/base/parameters/cohorts/<cohort>.yml`); no cohort has code.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from slimp_pipeline.parameters import Block

RESERVED = frozenset(
    {"image_id", "lesion_id", "patient_id", "patient_known", "diagnosis", "malignant", "store_index"}
    | {"split", "fold", "partition", "num_images"}
)  # columns of the tables that hold fields
MISSING_TOKENS = frozenset({"", "NA", "N/A", "NaN", "nan", "None", "null", "NULL"})


class FieldSpec(Block):
    """One metadata field; its key in the spec is its name, with the unit (`age_years`)."""

    kind: Literal["numeric", "categorical", "checkbox"]
    level: Literal["lesion", "patient"]
    column: str | None = None  # numeric and categorical
    options: dict[str, str] = {}  # checkbox: option name -> column holding true/false
    scale: float = 1.0  # raw number times scale is in the unit that the name states
    minimum: float | None = None  # in the field's unit; a number outside is impossible
    maximum: float | None = None
    categories: list[str] | None = None  # None: any text
    rename: dict[str, str] = {}  # raw text -> category
    missing: list[str] = []  # tokens beside MISSING_TOKENS that mean "not known"

    @field_validator("categories", "missing", mode="before")
    @classmethod
    def _as_text(cls, values: Any) -> Any:
        return None if values is None else [_text(value) for value in values]

    @field_validator("rename", mode="before")
    @classmethod
    def _keys_as_text(cls, values: Any) -> Any:
        return {_text(key): _text(value) for key, value in (values or {}).items()}

    @model_validator(mode="after")
    def _columns_fit_kind(self) -> "FieldSpec":
        if self.kind == "checkbox" and (not self.options or self.column):
            raise ValueError("a checkbox field needs `options` (option: column) and no `column`")
        if self.kind != "checkbox" and (not self.column or self.options):
            raise ValueError(f"a {self.kind} field needs `column` and no `options`")
        return self

    @property
    def columns(self) -> list[str]:
        """Raw columns the field reads."""
        return list(self.options.values()) if self.kind == "checkbox" else [str(self.column)]

    def table_columns(self, name: str) -> list[str]:
        """Columns of tables that hold the field: its name, or `<name>.<option>` for each option of a checkbox group."""
        return [f"{name}.{option}" for option in self.options] or [name]


class TableSpec(Block):
    """One CSV file; further tables are joined to the first."""

    file: list[str]  # first that exists is read (official names differ between releases)
    join_on: str | None = None  # column shared with the first table; None for the first
    separator: str | None = None  # None: found from the header line
    rename: dict[str, str] = {}  # column as some releases name it -> name that this specification uses
    required: bool = True

    @field_validator("file", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class ImagesSpec(Block):
    """Where the images are: the first source that exists, a folder or an HDF5 file keyed by image id."""

    sources: list[str]
    suffixes: list[str] = [".jpg", ".jpeg", ".png"]
    pattern: str | None = None  # regular expression that the file stem must match


class LabelSpec(Block):
    """Diagnosis and its grouping into malignant and not."""

    column: str | None = None
    one_hot: list[str] = []  # columns of a one-hot ground truth, instead of `column`
    classes: dict[str, str] = {}  # raw text -> diagnosis; empty: any text is a diagnosis
    malignant: list[str] = []
    indeterminate: list[str] = []  # neither malignant nor benign
    missing: list[str] = []

    @field_validator("classes", mode="before")
    @classmethod
    def _keys_as_text(cls, values: Any) -> Any:
        return {_text(key): str(value) for key, value in (values or {}).items()}

    @model_validator(mode="after")
    def _groups_name_diagnoses(self) -> "LabelSpec":
        known = set(self.classes.values()) or set(self.one_hot)
        if known and (unknown := sorted({*self.malignant, *self.indeterminate} - known)):
            raise ValueError(
                f"`malignant` or `indeterminate` names {', '.join(unknown)}; "
                f"the diagnoses are {', '.join(sorted(known))}"
            )
        return self

    @model_validator(mode="after")
    def _one_form(self) -> "LabelSpec":
        if bool(self.column) == bool(self.one_hot):
            raise ValueError("a label needs either `column` or `one_hot`")
        return self

    @property
    def columns(self) -> list[str]:
        """Raw columns that state the label."""
        return self.one_hot or [str(self.column)]


class FabricatedSpec(Block):
    """How a fabricated cohort is made."""

    layout: Literal["tbp", "clinic"]
    num_patients: int = Field(ge=2)
    seed: int = 0


class CohortSpec(Block):
    """A cohort: files, ids, label, fields, and the columns that must not be features."""

    name: str
    title: str
    licence: str
    open_licence: bool = False  # pictures may be shown on the report page
    source: str  # where the data and its description are published
    folder: str  # under the raw data root, or absolute
    tables: list[TableSpec]
    images: ImagesSpec | None = None
    image_id: str
    image_id_is_path: bool = False  # the column holds file names: folder and suffix are dropped
    lesion_id: list[str] = []  # columns that together identify a lesion; empty: every image its own
    patient_id: list[str] = []  # likewise for patients; empty: every lesion its own
    patient_registry: str | None = None  # cohorts of one registry name the same person by the same patient id
    split_file: Path | None = None  # official split of this cohort; see `features.split_file`
    label: LabelSpec | None = None
    fields: dict[str, FieldSpec]
    leaks: dict[str, str] = {}  # column -> why it may not be a feature
    optional: list[str] = []  # columns that some releases lack: where one is absent, its values are missing
    ignored: list[str] = []  # known columns without use
    fabricated: FabricatedSpec | None = None

    @model_validator(mode="after")
    def _no_field_leaks(self) -> "CohortSpec":
        leaking = self.leaking_columns
        for name, field in self.fields.items():
            for column in field.columns:
                if column in leaking:
                    raise ValueError(
                        f"cohort {self.name}: field '{name}' reads column '{column}', which leaks the "
                        f"label: {leaking[column]}. Remove the field."
                    )
        return self

    @model_validator(mode="after")
    def _field_names_are_free(self) -> "CohortSpec":
        if taken := sorted(RESERVED & set(self.fields)):
            raise ValueError(
                f"cohort {self.name}: a field may not be called {', '.join(taken)}: a column of the tables is"
            )
        return self

    @model_validator(mode="after")
    def _optional_columns_are_read(self) -> "CohortSpec":
        known = {*self.columns, *self.leaks}  # a label column of another task leaks this one's
        if unread := [name for name in self.optional if name not in known or name == self.image_id]:
            raise ValueError(
                f"cohort {self.name}: `optional` names {', '.join(unread)}, which no id, field or label reads"
            )
        return self

    @property
    def columns(self) -> list[str]:
        """Raw columns that are read."""
        fields = [column for field in self.fields.values() for column in field.columns]
        return [self.image_id, *self.lesion_id, *self.patient_id, *fields, *(self.label.columns if self.label else [])]

    @property
    def leaking_columns(self) -> dict[str, str]:
        """Columns that may not be features, the label's own among them, and why."""
        return dict.fromkeys(self.label.columns if self.label else [], "it is the label") | self.leaks

    def shares_registry(self, other: "CohortSpec") -> bool:
        """Whether both name the same person by the same patient id, by registry."""
        return self.patient_registry is not None and self.patient_registry == other.patient_registry

    def select_fields(self, names: Literal["all"] | list[str]) -> dict[str, FieldSpec]:
        """Return the chosen fields by name.

        Raises:
            ValueError: If a name is a leaking column (says why), or no field of this cohort.
        """
        if names == "all":
            return dict(self.fields)
        leaking = self.leaking_columns
        for name in names:
            if name in leaking:
                raise ValueError(
                    f"cohort {self.name}: '{name}' can't be a feature, it leaks the label: {leaking[name]}"
                )
            if name not in self.fields:
                known = ", ".join(self.fields)
                raise ValueError(f"cohort {self.name} has no field '{name}'. Its fields: {known}")
        return {name: self.fields[name] for name in names}


def _text(value: Any) -> str:
    """YAML reads True and 1 as values; the tables hold them as text."""
    return str(value)
