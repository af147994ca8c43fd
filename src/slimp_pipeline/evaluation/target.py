"""The target as protocols and audits take it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import EvaluationParams, FeatureParams
from slimp_pipeline.tables.encoding import Encoding


@dataclass(frozen=True)
class TargetCohort:
    """A cohort that is evaluated on, with what its rows are known by.

    Attributes:
        name: As results bear it.
        rows: Rows with an image, sorted by image_id; unlabelled ones too, since they are part of their patient's
            context.
        splits: image_id, patient_id, split, fold.
        embeddings: `<method>.<partition>.<block>` -> float (len(rows), D).
        encodings: Partition -> encoding fitted on its training patients.
        encoders: Method -> partition -> checkpoint; the one partition `all` where the source is another cohort.
        fields: Those that are features, by name.
        nuisance: Those that an embedding should not carry, by name.
        nuisance_rows: Their columns, row by row.
    """

    name: str
    rows: pd.DataFrame
    splits: pd.DataFrame
    embeddings: Mapping[str, np.ndarray] = field(default_factory=dict)
    encodings: Mapping[str, Encoding] = field(default_factory=dict)
    encoders: Mapping[str, Mapping[str, Checkpoint]] = field(default_factory=dict)
    fields: Mapping[str, FieldSpec] = field(default_factory=dict)
    nuisance: Mapping[str, FieldSpec] = field(default_factory=dict)
    nuisance_rows: pd.DataFrame = field(default_factory=pd.DataFrame)


def result_name(
    target: str,
    encoders: Mapping[str, Mapping[str, Checkpoint]],
    features: FeatureParams,
    settings: EvaluationParams,
) -> str:
    """Name of a target in results: with what makes them a control, how it was split, whose scores are measured.

    Args:
        target: The cohort's name.
        encoders: Method -> partition -> checkpoint.
        features, settings: How rows were split, and are measured.
    """
    shuffled = any(one.facts.get("shuffled_metadata") for own in encoders.values() for one in own.values())
    name = f"{target} (pre-trained on shuffled metadata: a control)" if shuffled else target
    return settings.result_name(features.result_name(name))
