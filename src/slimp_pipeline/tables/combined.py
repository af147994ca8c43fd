"""Several cohorts ingested as one: each is read as it is alone; then their rows stand in one table."""

import logging
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from slimp_pipeline.cohorts.combined import BETWEEN_IDS, own_ids, rows_of, with_cohort
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.tables.lesions import Ingested, fingerprint
from slimp_pipeline.tables.manifest import diagnosis_table
from slimp_pipeline.tables.splits import names_images, split_patients, usable_rows

logger = logging.getLogger(__name__)
_OWN_IDS = {"image_id": "image", "lesion_id": "lesion", "patient_id": "patient"}
_OTHER_UNIT = 5.0  # medians further apart than so many times are of another unit, if the bulks don't overlap either


def members_of(cohort: CohortSpec, *tables: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield each cohort, and its rows of the tables; a cohort that isn't made of others is its own only one."""
    if not cohort.members:
        yield cohort, *tables
    known = _own_columns(cohort)
    for name, member in cohort.members.items():
        foreign = {"cohort", *(known - _own_columns(member))}
        own = (table[table["cohort"] == name].drop(columns=foreign & {*table}) for table in tables)
        yield member, *(table.reset_index(drop=True) for table in own)


def put_together(cohort: CohortSpec, by_member: list[pd.DataFrame]) -> pd.DataFrame:
    """The inverse of `members_of` for one table: rows of several cohorts bear the cohort's name."""
    if not cohort.members:
        return by_member[0]
    return stacked([table.assign(cohort=name) for name, table in zip(cohort.members, by_member, strict=True)])


def stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Rows of all tables; a column that one lacks is missing there, and keeps its type."""
    types = {column: table[column].dtype for table in reversed(tables) for column in reversed(table.columns)}
    columns = list(dict.fromkeys(column for table in tables for column in table))
    aligned = [
        table.assign(**{name: pd.Series(index=table.index, dtype=types[name]) for name in columns if name not in table})
        for table in tables
    ]
    return pd.concat([table[columns] for table in aligned], ignore_index=True)


def _own_columns(cohort: CohortSpec) -> set[str]:
    """Columns that not every cohort has."""
    fields = {column for name, field in cohort.fields.items() for column in field.table_columns(name)}
    return fields | ({"site_id"} if cohort.site_id else set())


def told_of(cohort: CohortSpec, by_member: list[Any]) -> Any:
    """What was noted of each cohort, by its name; of a cohort that isn't made of others, as it is."""
    return dict(zip(cohort.members, by_member, strict=True)) if cohort.members else by_member[0]


def facts_of(cohort: CohortSpec, member: CohortSpec, told: Any) -> Any:
    """The inverse of `told_of`, for one cohort."""
    return told[member.name] if cohort.members else told


def first_tables(told: Any) -> list[str]:
    """Names of the first tables, as the quarantine of the whole has them, from what reading noted."""
    return [told["table"]] if "table" in told else [f"{name}/{facts['table']}" for name, facts in told.items()]


def named_by_cohort(cohort: CohortSpec, image_files: pd.DataFrame) -> pd.DataFrame:
    """Image files under the ids that the image store holds them by."""
    if not cohort.members:
        return image_files
    ids = image_files["cohort"] + BETWEEN_IDS + image_files["image_id"]
    return image_files.assign(image_id=ids).drop(columns="cohort")


def stored_of(cohort: CohortSpec, member: CohortSpec, stored: pd.DataFrame) -> pd.DataFrame:
    """A cohort's rows of the image store's table, under its own image ids."""
    if not cohort.members:
        return stored
    own = stored[rows_of(cohort, member, stored["image_id"])]
    return own.assign(image_id=own_ids(own["image_id"]))


def combine(cohort: CohortSpec, ingested: Mapping[str, Ingested], stored: pd.DataFrame) -> Ingested:
    """Put ingested cohorts together; ids say whose they are, fields that a cohort lacks are missing.

    Args:
        cohort: What they are together.
        ingested: Each cohort by name, as it is ingested alone.
        stored: The table of the image store that holds all of their images.

    Raises:
        ValueError: If cohorts share pictures, or a field's numbers are of different units.
    """
    lesions, quarantine, unused = [], [], []
    for name, member in cohort.members.items():
        own = ingested[name]
        lesions.append(with_cohort(own.lesions, member, _OWN_IDS).assign(cohort=name))
        table = (name + "/" + own.quarantine["table"]).where(own.quarantine["table"].ne(""), "")
        quarantine.append(with_cohort(own.quarantine.assign(table=table), member, {"image_id": "image"}))
        unused.append(with_cohort(own.unused_files, member, {"image_id": "image"}))
    together = stacked(lesions)
    together = together[[*(column for column in together if column != "store_index"), "store_index"]]
    check_pictures_differ(together, stored)
    check_units(cohort, together)
    _say_what_is_shared(cohort)
    diagnoses = diagnosis_table(together)
    manifest = _manifest(cohort, {name: own.manifest for name, own in ingested.items()}, together)
    manifest["fingerprint"] = fingerprint(together, stored)
    return Ingested(together, stacked(quarantine), stacked(unused), diagnoses, manifest)


def split_cohort(cohort: CohortSpec, lesions: pd.DataFrame, settings: FeatureParams) -> pd.DataFrame:
    """Split a cohort as `split_patients` does; several cohorts each as it is split alone.

    So the folds of one that is tested on are the same in both roles. A run's split file comes before the cohort's own;
    of several cohorts it is for those whose images it names.

    Args:
        cohort: The cohort.
        lesions: Its lesions.
        settings: Seed, level, folds, hold-out or split file.

    Returns:
        As `split_patients`.
    """
    if not cohort.members:
        path = settings.split_file or cohort.split_file
        return split_patients(usable_rows(lesions), settings.model_copy(update={"split_file": path}))
    parts = []
    for member, rows in members_of(cohort, lesions):
        own = rows.assign(**{column: own_ids(rows[column]) for column in _OWN_IDS})
        path = settings.split_file if settings.split_file and names_images(settings.split_file, own) else None
        how = how_split(cohort, member, settings).model_copy(update={"split_file": path or member.split_file})
        try:
            splits = split_patients(usable_rows(own), how)
        except ValueError as error:
            raise ValueError(f"cohort {member.name}: {error}") from error
        parts.append(with_cohort(splits, member, {"image_id": "image", "patient_id": "patient"}))
    return pd.concat(parts, ignore_index=True).sort_values("image_id", ignore_index=True)


def how_split(cohort: CohortSpec, member: CohortSpec, settings: FeatureParams) -> FeatureParams:
    """How one cohort is split: among several by patient, where whole sites are asked for and it names none."""
    if cohort.members and settings.split_level == "site" and not member.site_id:
        return settings.model_copy(update={"split_level": "patient"})
    return settings


def check_pictures_differ(lesions: pd.DataFrame, stored: pd.DataFrame) -> None:
    """Raise ValueError if a picture stands in two cohorts: it would be of two patients, and a negative of itself."""
    pictures = lesions.dropna(subset="store_index")
    sha256 = stored["sha256"].reindex(pictures["store_index"].astype(int)).to_numpy()
    pictures = pictures[["image_id", "cohort"]].assign(sha256=sha256)
    in_cohorts = pictures.groupby("sha256")["cohort"].transform("nunique")
    shared = pictures[in_cohorts > 1].sort_values(["sha256", "cohort"])
    if len(shared):
        first = " and ".join(shared.loc[shared["sha256"] == shared["sha256"].iloc[0], "image_id"].iloc[:2])
        cohorts = ", ".join(sorted(set(shared["cohort"])))
        raise ValueError(
            f"{shared['sha256'].nunique():,} pictures stand in several cohorts ({cohorts}), first: {first}. They "
            "would be learnt from as different patients'. Leave one cohort out, or drop these pictures from one by a "
            "decision file (`decisions` in its YAML)."
        )


def check_units(cohort: CohortSpec, lesions: pd.DataFrame) -> None:
    """Raise ValueError if a field's numbers can't be of one unit in two cohorts, going by their middle halves."""
    for name, field in cohort.fields.items():
        if field.kind != "numeric":
            continue
        quarters = lesions.groupby("cohort")[name].quantile([0.25, 0.5, 0.75]).unstack().dropna()  # noqa: PD010
        for one, other in combinations(quarters.sort_values(0.5).index, 2):
            low, high = quarters.loc[one], quarters.loc[other]
            if low[0.5] > 0 and high[0.5] > _OTHER_UNIT * low[0.5] and high[0.25] > low[0.75]:
                raise ValueError(
                    f"the field '{name}' of {one} (median {low[0.5]:g}) and that of {other} (median {high[0.5]:g}) can "
                    "hardly be of one unit. Set `scale` in one cohort's YAML so that they are, or give one field "
                    "another name."
                )


def _say_what_is_shared(cohort: CohortSpec) -> None:
    for name, member in cohort.members.items():
        others = {field for other in cohort.members.values() if other is not member for field in other.fields}
        shared = [field for field in member.fields if field in others]
        if shared:
            logger.info("%s shares %s with the other cohorts", name, ", ".join(shared))
        else:
            logger.warning("%s shares no field with the other cohorts: its metadata teach nothing about theirs", name)


def _manifest(cohort: CohortSpec, manifests: Mapping[str, dict[str, Any]], lesions: pd.DataFrame) -> dict[str, Any]:
    """Counts of all cohorts added up, with each one's own below."""
    added: dict[str, Any] = {}
    for name, manifest in manifests.items():
        for key, value in manifest.items():
            if key == "joins":
                added[key] = added.get(key, {}) | {f"{name}/{table}": counts for table, counts in value.items()}
            elif isinstance(value, dict):
                counts = added.get(key, {})
                added[key] = counts | {kind: count + counts.get(kind, 0) for kind, count in value.items()}
            elif isinstance(value, list):
                added[key] = [*added.get(key, []), *(f"{name}: {text}" for text in value)]
            elif isinstance(value, int) and not isinstance(value, bool):
                added[key] = added.get(key, 0) + value
            else:
                added[key] = getattr(cohort, key, cohort.name)
    with_image = lesions["store_index"].notna()
    added["num_patients"] = int(lesions["patient_id"].nunique())  # cohorts of one registry share some
    added["num_patients_with_image"] = int(lesions.loc[with_image, "patient_id"].nunique())
    return added | {"cohorts": dict(manifests)}
