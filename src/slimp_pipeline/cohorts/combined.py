"""Several cohorts as one source of pre-training: what they share, and whose rows are whose."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from slimp_pipeline.cohorts.spec import CohortSpec, FieldSpec

BETWEEN_NAMES = "+"  # of the cohorts, in the name of what they are together
BETWEEN_IDS = ":"  # whose it is, and its own id


def joint_name(names: Sequence[str]) -> str:
    """Name of what cohorts are together, as it stands in folders' names; of one, its own."""
    return BETWEEN_NAMES.join(names)


def names_of(name: str) -> list[str]:
    """Names of the cohorts that a source is made of: one, or several with `+` between."""
    return [part.strip() for part in name.split(BETWEEN_NAMES)]


def described_by(members: Mapping[str, "CohortSpec"]) -> dict[str, Any]:
    """Describe cohorts as one, whose rows have their fields under the same names.

    A field that several have is one field: its name holds the unit, and a text that two vocabularies have means the
    same in both. A field that others lack is missing there.

    Raises:
        ValueError: If a name stands for fields of different kinds or levels, or for different options.
    """
    specs = list(members.values())
    first = specs[0]
    label = first.label and first.label.model_copy(
        update={"column": "diagnosis", "one_hot": [], "classes": {}, "malignant": [], "indeterminate": []}
    )
    return {
        "title": "; ".join(spec.title for spec in specs),
        "licence": "; ".join(f"{name}: {spec.licence}" for name, spec in members.items()),
        "open_licence": all(spec.open_licence for spec in specs),
        "source": "; ".join(spec.source for spec in specs),
        "folder": "",
        "partial": any(spec.partial for spec in specs),
        "tables": [table for spec in specs for table in spec.tables],
        "image_id": "image_id",
        "lesion_id": ["lesion_id"],
        "patient_id": ["patient_id"],
        "site_id": "site_id" if any(spec.site_id for spec in specs) else None,
        "label": label,
        "fields": _fields({name: spec.fields for name, spec in members.items()}),
    }


def _fields(by_member: Mapping[str, Mapping[str, "FieldSpec"]]) -> dict[str, "FieldSpec"]:
    names = list(dict.fromkeys(name for fields in by_member.values() for name in fields))
    return {
        name: _one_field(name, {member: fields[name] for member, fields in by_member.items() if name in fields})
        for name in names
    }


def _one_field(name: str, found: Mapping[str, "FieldSpec"]) -> "FieldSpec":
    """What one field is in all cohorts that have it."""
    (one, first), *others = found.items()
    for other, field in others:
        for trait in ("kind", "level", "nuisance", "weight"):
            if getattr(first, trait) != getattr(field, trait):
                raise ValueError(
                    f"the field '{name}' of {one} and that of {other} differ in `{trait}` ({getattr(first, trait)}, "
                    f"{getattr(field, trait)}), so they aren't one field. Make them alike, or give one another name"
                )
        if set(first.options) != set(field.options):
            raise ValueError(
                f"the field '{name}' of {one} and that of {other} have different options: what isn't ticked where "
                "nobody asked can't be told. Give one another name"
            )
    return reduce(_joined_field, (field for _, field in others), first).model_copy(
        update={"column": None if first.options else name, "scale": 1.0, "rename": {}, "missing": []}
    )


def _joined_field(one: "FieldSpec", other: "FieldSpec") -> "FieldSpec":
    bounds = {
        bound: None if getattr(one, bound) is None or getattr(other, bound) is None else widest(
            getattr(one, bound), getattr(other, bound)
        )
        for bound, widest in (("minimum", min), ("maximum", max))
    }  # fmt: skip
    both_listed = one.categories is not None and other.categories is not None
    categories = list(dict.fromkeys([*(one.categories or []), *(other.categories or [])])) if both_listed else None
    published = one.is_public and other.is_public
    return one.model_copy(update={**bounds, "categories": categories, "publish_texts": published})


def with_cohort(frame: pd.DataFrame, cohort: "CohortSpec", columns: Mapping[str, str]) -> pd.DataFrame:
    """Say of ids whose they are: `<cohort>:<id>`, or `<registry>:<id>` for patients of a common registry.

    Args:
        frame: Rows of one cohort.
        cohort: The cohort.
        columns: Columns that hold ids -> `image`, `lesion` or `patient`.
    """
    registry = cohort.patient_registry or cohort.name
    owner = {"image": cohort.name, "lesion": cohort.name, "patient": registry}
    return frame.assign(**{
        column: (owner[kind] + BETWEEN_IDS + frame[column]).where(frame[column].ne(""), "")
        for column, kind in columns.items()
    })  # fmt: skip


def rows_of(source: "CohortSpec", member: "CohortSpec", image_ids: pd.Series) -> np.ndarray:
    """Which images of a source are of one of its cohorts, bool (N,)."""
    if not source.members:
        return np.full(len(image_ids), source.name == member.name)
    return image_ids.str.startswith(member.name + BETWEEN_IDS).to_numpy()


def tested_rows(source: "CohortSpec", target: "CohortSpec", image_ids: pd.Series) -> np.ndarray | None:
    """Which images of a source are the target's, bool (N,); None where the target isn't among its cohorts."""
    return rows_of(source, target, image_ids) if source.holds(target) else None


def in_terms_of(target: "CohortSpec", source: "CohortSpec", rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of a source under ids that can be compared with the target's.

    Images and lesions of several cohorts go by their own ids. Patients do where the target's ids mean the same people:
    in its own rows, and in those of its registry.

    Args:
        target: The cohort that is tested on.
        source: The source.
        rows: image_id, patient_id; lesion_id if it is there.
    """
    if not source.members:
        return rows
    owner = (target.patient_registry or target.name) + BETWEEN_IDS
    patients = rows["patient_id"]
    return rows.assign(
        patient_id=patients.str.removeprefix(owner).where(patients.str.startswith(owner), patients),
        **{name: own_ids(rows[name]) for name in ("image_id", "lesion_id") if name in rows},
    )


def own_ids(ids: pd.Series) -> pd.Series:
    """The ids as the cohorts themselves have them."""
    return ids.str.partition(BETWEEN_IDS)[2]
