"""What a cohort is: where its tables and images are, what its columns mean, what leaks.

A cohort is described by YAML alone (`conf/base/parameters/cohorts/<cohort>.yml`); no cohort has code.
"""

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from slimp_pipeline.cohorts.combined import described_by, names_of
from slimp_pipeline.cohorts.downloads.spec import DownloadSpec
from slimp_pipeline.cohorts.text import as_meant
from slimp_pipeline.parameters import Block

RESERVED = frozenset(
    {"image_id", "lesion_id", "patient_id", "patient_known", "site_id", "diagnosis", "malignant", "store_index"}
    | {"split", "fold", "partition", "num_images", "image_folder", "cohort", "x", "y", "any_malignant", "missing_share"}
)  # columns of the tables that hold fields
MISSING_TOKENS = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "none", "null"})  # case aside
MISSING_ID_TOKENS = MISSING_TOKENS | {"unknown", "-"}
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")


def _text(value: Any) -> str:
    """YAML reads True and 1 as values; the tables hold them as text."""
    if value is None or isinstance(value, dict | list):
        raise ValueError(f"{value!r} is no text. Put what the table holds in quotes.")
    return as_meant(str(value))


def _texts(values: Any) -> Any:
    """One text stands for a list of one."""
    if values is None:
        return None
    return [_text(value) for value in values] if isinstance(values, list | tuple) else [_text(values)]


def _mapping(values: Any) -> Any:
    return {_text(key): _text(value) for key, value in values.items()} if isinstance(values, dict) else values


def _suffixes(values: Any) -> Any:
    return [f".{text.lower().removeprefix('.')}" for text in _texts(values) or []]


def _one_or_more(values: Any) -> Any:
    """A block stands for a list of one."""
    return [values] if isinstance(values, dict) else values


def _separator(value: Any) -> Any:
    """A tab as people write it; PH2 doubles a character, no other file has more than one."""
    if value is None:
        return None
    separator = {"\\t": "\t", "tab": "\t"}.get(str(value).lower(), str(value))
    if len(set(separator)) != 1:
        raise ValueError(
            f"{value!r}: one character parts the cells, such as ',' or ';' or tab. Leave it out to find it"
        )
    return separator


def _pattern(value: Any) -> Any:
    try:
        re.compile(value or "")
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{value!r} is no regular expression ({error}). For all files, leave it out") from error
    return value


Text = Annotated[str, BeforeValidator(_text)]
Texts = Annotated[list[str], BeforeValidator(_texts)]
TextMapping = Annotated[dict[str, str], BeforeValidator(_mapping)]


class FieldSpec(Block):
    """One metadata field; its key in the spec is its name, with the unit (`age_years`)."""

    kind: Literal["numeric", "categorical", "checkbox"]
    level: Literal["image", "lesion", "patient"]  # whose value it is; a field of `image` makes three levels of two
    column: Text | None = None  # numeric and categorical
    options: TextMapping = {}  # checkbox: option name -> column holding true/false
    scale: float = 1.0  # raw number times scale is in the unit that the name states
    minimum: float | None = None  # in the field's unit; a number outside is impossible
    maximum: float | None = None
    decimal: Literal[".", ","] | None = None  # None: told by the column
    categories: Texts | None = None  # None: any text
    rename: TextMapping = {}  # raw text -> text that is read instead
    missing: Texts = []  # tokens beside MISSING_TOKENS that mean "not known", case aside
    nuisance: bool = False  # no feature, and nothing that an embedding should carry: lighting, device, pen marks
    weight: float = Field(1.0, gt=0)  # of what it says beside the other fields of its level that are known
    publish_texts: bool = False  # without `categories`: the texts met in training may leave in `encoding.json`

    @property
    def is_public(self) -> bool:
        """Whether its values may leave with what is made of a cohort: they aren't texts that somebody typed."""
        return self.kind != "categorical" or self.categories is not None or self.publish_texts

    @model_validator(mode="after")
    def _columns_fit_kind(self) -> "FieldSpec":
        if self.kind == "checkbox" and (not self.options or self.column):
            raise ValueError("a checkbox field needs `options` (option: column) and no `column`")
        if self.kind != "checkbox" and (not self.column or self.options):
            raise ValueError(f"a {self.kind} field needs `column` and no `options`")
        return self

    @model_validator(mode="after")
    def _numbers_are_possible(self) -> "FieldSpec":
        bounds = [bound for bound in (self.minimum, self.maximum) if bound is not None]
        if any(math.isnan(bound) for bound in bounds) or bounds != sorted(bounds):
            raise ValueError(f"no number is between `minimum` {self.minimum} and `maximum` {self.maximum}")
        if self.scale == 0 or not math.isfinite(self.scale):
            raise ValueError(f"`scale` {self.scale:g} makes all numbers alike")
        return self

    @model_validator(mode="after")
    def _categories_are_known(self) -> "FieldSpec":
        if both := sorted(set(self.categories or []) & set(self.missing)):
            raise ValueError(f"`categories` and `missing` both name {', '.join(both)}: is it known or not?")
        return self

    @property
    def columns(self) -> list[str]:
        """Raw columns the field reads."""
        return list(self.options.values()) if self.kind == "checkbox" else [str(self.column)]

    def table_columns(self, name: str) -> list[str]:
        """Columns of tables that hold the field: its name, or `<name>.<option>` for each option of a checkbox group."""
        return [f"{name}.{option}" for option in self.options] or [name]


class TableSpec(Block):
    """One table file (CSV, plain or compressed, Parquet, Excel); further tables are joined to the first."""

    file: Texts  # first that exists is read (official names differ between releases)
    join_on: Text | None = None  # column shared with the first table; None for the first
    separator: Annotated[str | None, BeforeValidator(_separator)] = None  # None: found from the header line
    sheet: str | None = None  # of an Excel file; None: the only one
    rename: TextMapping = {}  # column as some releases name it -> name that this specification uses
    required: bool = True


class ImagesSpec(Block):
    """Where the images are: folders, or HDF5 files keyed by image id."""

    sources: Annotated[Texts, Field(min_length=1)]
    all_sources: bool = False  # False: the first source that holds pictures; True: all of them
    suffixes: Annotated[list[str], BeforeValidator(_suffixes)] = list(PICTURE_SUFFIXES)
    pattern: Annotated[str | None, BeforeValidator(_pattern)] = None  # regular expression that the file stem must match


class LabelSpec(Block):
    """Diagnosis and its grouping into malignant and not."""

    column: Text | None = None
    one_hot: Texts = []  # columns of a one-hot ground truth, instead of `column`
    classes: TextMapping = {}  # raw text -> diagnosis; empty: any text is a diagnosis
    malignant: Texts = []
    indeterminate: Texts = []  # neither malignant nor benign
    missing: Texts = []  # tokens beside MISSING_TOKENS that mean "not known", case aside

    @model_validator(mode="after")
    def _groups_name_diagnoses(self) -> "LabelSpec":
        known = set(self.classes.values()) or set(self.one_hot)
        if known and (unknown := sorted({*self.malignant, *self.indeterminate} - known)):
            raise ValueError(
                f"`malignant` or `indeterminate` names {', '.join(unknown)}; "
                f"the diagnoses are {', '.join(sorted(known))}"
            )
        if both := sorted(set(self.malignant) & set(self.indeterminate)):
            raise ValueError(f"`malignant` and `indeterminate` both name {', '.join(both)}")
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
    partial: bool = False  # the data may lack some of the names below: a published vocabulary, a copy of a part
    tables: Annotated[list[TableSpec], BeforeValidator(_one_or_more)] = Field(min_length=1)
    images: ImagesSpec | None = None
    image_id: Text
    image_id_is_path: bool = False  # the column holds file names: folder and suffix are dropped
    lesion_id: Texts = []  # columns that together identify a lesion; empty: every image its own
    patient_id: Texts = []  # likewise for patients; empty: every lesion its own
    missing: Texts = []  # tokens beside MISSING_ID_TOKENS that mean "not known" in columns of ids, case aside
    site_id: Text | None = None  # column of the hospital or clinic; read by `features.split_level: site`
    patient_registry: str | None = None  # cohorts of one registry name the same person by the same patient id
    split_file: Path | None = None  # official split of this cohort; see `features.split_file`
    decisions: Text | None = None  # what people decided about its images: a table in its folder, or an absolute path
    label: LabelSpec | None = None
    fields: dict[str, FieldSpec]
    leaks: TextMapping = {}  # column -> why it may not be a feature
    optional: Texts = []  # columns that some releases lack: where one is absent, its values are missing
    ignored: Texts = []  # known columns without use
    fabricated: FabricatedSpec | None = None
    download: DownloadSpec | None = None  # how its files are got
    members: dict[str, "CohortSpec"] = {}  # cohorts that are one source together; all else follows from them

    @model_validator(mode="before")
    @classmethod
    def _follows_from_members(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not given.get("members"):
            return given
        if changed := sorted(set(given) - {"name", "members"}):
            raise ValueError(
                f"several cohorts are the source, and `{changed[0]}` is changed for them all. Say in which: "
                f"source.cohort.members.{next(iter(given['members']))}.{changed[0]}"
            )
        named = names_of(given["name"])
        if unknown := sorted(set(given["members"]) - set(named)):
            raise ValueError(f"source.cohort.members changes {unknown[0]}, and the source is {' and '.join(named)}")
        members = {name: cls.model_validate(member) for name, member in given["members"].items()}
        return described_by(members) | given | {"members": members}

    @model_validator(mode="after")
    def _further_tables_are_joined(self) -> "CohortSpec":
        if self.tables[0].join_on is not None:
            raise ValueError(
                f"cohort {self.name}: tables[0] ({self.tables[0].file[0]}) is the first table, to which the others are "
                "joined. Put `join_on` there"
            )
        for number, table in enumerate(self.tables[1:], start=1) if not self.members else ():
            if table.join_on is None:
                raise ValueError(
                    f"cohort {self.name}: tables[{number}] ({table.file[0]}) needs `join_on`: the column that it "
                    f"shares with {self.tables[0].file[0]}"
                )
        return self

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
    def _no_field_identifies(self) -> "CohortSpec":
        ids = {self.image_id, *self.lesion_id, *self.patient_id}
        for name, field in self.fields.items():
            if found := ids & set(field.columns):
                raise ValueError(
                    f"cohort {self.name}: field '{name}' reads column '{min(found)}', which says who or which image it "
                    "is: nothing can be learnt from that. Remove the field."
                )
        return self

    @model_validator(mode="after")
    def _field_columns_differ(self) -> "CohortSpec":
        made = [column for name, field in self.fields.items() for column in field.table_columns(name)]
        if twice := sorted({column for column in made if made.count(column) > 1}):
            raise ValueError(f"cohort {self.name}: two fields make the column {', '.join(twice)}. Rename one.")
        return self

    @model_validator(mode="after")
    def _field_names_are_free(self) -> "CohortSpec":
        if taken := sorted(RESERVED & set(self.fields)):
            raise ValueError(
                f"cohort {self.name}: a field may not be called {', '.join(taken)}: a column of the tables is"
            )
        return self

    @model_validator(mode="after")
    def _lesions_of_pictures_are_known(self) -> "CohortSpec":
        of_pictures = [name for name, field in self.fields.items() if field.level == "image" and not field.nuisance]
        if of_pictures and not self.lesion_id:
            raise ValueError(
                f"cohort {self.name}: field '{of_pictures[0]}' is of the level image, and nothing tells which pictures "
                "show one lesion. Name the columns in `lesion_id`, or make it a field of the level lesion."
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
        sites, labels = [self.site_id] if self.site_id else [], self.label.columns if self.label else []
        return [self.image_id, *self.lesion_id, *self.patient_id, *sites, *fields, *labels]

    @property
    def leaking_columns(self) -> dict[str, str]:
        """Columns that may not be features, the label's own among them, and why."""
        return dict.fromkeys(self.label.columns if self.label else [], "it is the label") | self.leaks

    @property
    def parts(self) -> list["CohortSpec"]:
        """The cohorts that it is made of; else itself alone."""
        return list(self.members.values()) or [self]

    def holds(self, other: "CohortSpec") -> bool:
        """Whether the other's rows are among this one's: it is the same, or one of several that this is made of."""
        return other.name in [part.name for part in self.parts]

    def shares_registry(self, other: "CohortSpec") -> bool:
        """Whether both name the same person by the same patient id, by registry."""
        registries = [part.patient_registry for part in self.parts]
        return other.patient_registry is not None and other.patient_registry in registries

    def knows_patients_of(self, other: "CohortSpec") -> bool:
        """Whether a patient id of the other may stand in this one, and then means the same person."""
        return self.holds(other) or self.shares_registry(other)

    @property
    def nuisance(self) -> dict[str, FieldSpec]:
        """Fields that an embedding should not carry, by name."""
        return {name: field for name, field in self.fields.items() if field.nuisance}

    def select_fields(self, names: Literal["all"] | list[str]) -> dict[str, FieldSpec]:
        """Return the chosen fields by name; all: but for nuisance.

        Raises:
            ValueError: If a name is a leaking column (says why), a nuisance, or no field of this cohort.
        """
        if names == "all":
            return {name: field for name, field in self.fields.items() if not field.nuisance}
        leaking = self.leaking_columns
        for name in names:
            if name in leaking:
                raise ValueError(
                    f"cohort {self.name}: '{name}' can't be a feature, it leaks the label: {leaking[name]}"
                )
            if name not in self.fields:
                known = ", ".join(self.fields)
                raise ValueError(f"cohort {self.name} has no field '{name}'. Its fields: {known}")
            if self.fields[name].nuisance:
                raise ValueError(
                    f"cohort {self.name}: its YAML calls '{name}' a nuisance, so it can't be a feature. Take "
                    "`nuisance` away, or leave it out of features.fields."
                )
        return {name: self.fields[name] for name in names}
