"""Suspects of all kinds in one table, ranked within each kind, each with a reason in words."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import EvaluationParams, InspectionParams
from slimp_pipeline.quality.broken import find_broken
from slimp_pipeline.quality.labels import rank_labels
from slimp_pipeline.quality.near_duplicates import rank_pairs
from slimp_pipeline.quality.neighbours import Nearest, nearest_others
from slimp_pipeline.tables.decisions import DECISION_COLUMNS
from slimp_pipeline.training.device import pick_device

NEAR_DUPLICATE, OFF_TOPIC, WRONG_LABEL = "near_duplicate", "off_topic", "wrong_label"
SAME_BYTES = "the same bytes"
KIND_TITLES: Mapping[str, str] = {
    NEAR_DUPLICATE: "Near duplicates",
    OFF_TOPIC: "Off-topic pictures",
    "blank": "Blank pictures",
    "dark": "Very dark pictures",
    "bright": "Very bright pictures",
    "low_information": "Pictures of little information",
    "blurred": "Blurred pictures",
    "odd_shape": "Pictures of an odd shape",
    "odd_size": "Pictures of an odd size",
    WRONG_LABEL: "Doubtful labels",
}
SUSPECT_COLUMNS = ["kind", "rank", "image_id", "other_image_id", "score"]
SUSPECT_COLUMNS += ["hash_distance_bits", "embedding_distance", "relation", "why"]


def find_suspects(
    pictures: pd.DataFrame,
    embedding_ND: np.ndarray,
    measures: pd.DataFrame,
    settings: InspectionParams,
    evaluation: EvaluationParams,
    hash_bits: int,
) -> pd.DataFrame:
    """Find and rank suspects of all kinds.

    Args:
        pictures: image_id, patient_id, lesion_id, diagnosis, sha256, perceptual_hash; N rows.
        embedding_ND: Their embeddings.
        measures: What `appearance.measure_pictures` says of them.
        settings: Neighbours, limits.
        evaluation: Device; strengths and seed of the probe that judges labels.
        hash_bits: Hashes that differ in so many bits (0 to 3) are looked at whatever the embedding says.

    Returns:
        `SUSPECT_COLUMNS`; of each kind rank 1 is the most suspicious. other_image_id: the other picture of a pair, or
        one to compare with; empty where there is none. embedding_distance: cosine, between the two pictures of a pair,
        or from an off-topic one to the last of its nearest of other patients. relation: of a pair.

    Raises:
        ValueError: If an embedding isn't finite; names the image.
    """
    broken = np.flatnonzero(~np.isfinite(embedding_ND).all(axis=1))
    if broken.size:
        raise ValueError(
            f"the embedding of image {pictures['image_id'].iloc[broken[0]]} holds values that aren't finite: is the "
            "encoder damaged? Set inspection.encoder, or train it anew."
        )
    groups = [np.arange(len(pictures)), pd.factorize(pictures["patient_id"])[0]]
    of_all, of_others = nearest_others(
        embedding_ND, groups, settings.num_neighbours, device=pick_device(evaluation.device)
    )
    limit = settings.max_suspects
    pairs = _pairs(rank_pairs(pictures, embedding_ND, of_all, hash_bits, limit))
    del of_all  # before labels are judged, which takes the most memory
    found = [
        pairs,
        _off_topic(of_others, limit),
        find_broken(measures, settings.min_deviations).groupby("kind", sort=False).head(limit),
        _doubtful(rank_labels(pictures, embedding_ND, of_others, evaluation, limit)),
    ]
    return _named(pd.concat(found, ignore_index=True), pictures["image_id"].to_numpy())


def decision_template(suspects: pd.DataFrame) -> pd.DataFrame:
    """A decision file to be filled in: each suspect image once, undecided; of pairs the note names the other one."""
    pairs = suspects[suspects["kind"] == NEAR_DUPLICATE]
    turned = pairs.assign(image_id=pairs["other_image_id"], other_image_id=pairs["image_id"])
    listed = pd.concat([pairs, turned]).sort_index(kind="stable")
    listed = pd.concat([listed, suspects[suspects["kind"] != NEAR_DUPLICATE].assign(other_image_id="")])
    listed = listed.drop_duplicates("image_id")[["image_id", "other_image_id"]].assign(decision="")
    return listed.rename(columns={"other_image_id": "note"})[DECISION_COLUMNS].reset_index(drop=True)


def _pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    def why(pair: Any) -> str:
        near = f"hashes {pair.hash_distance_bits} of 64 bits apart, embeddings {pair.embedding_distance:.3f}"
        return f"{SAME_BYTES if pair.same_bytes else near}; {pair.relation}"

    return pairs.assign(kind=NEAR_DUPLICATE, why=[why(pair) for pair in pairs.itertuples()])


def _off_topic(nearest: Nearest, limit: int) -> pd.DataFrame:
    """Pictures far from those of other patients: from the last of the neighbours, lest a few alike hide one another."""
    num_N = np.isfinite(nearest.distance_NK).sum(axis=1)
    rows = np.flatnonzero(num_N)
    distance_R = nearest.distance_NK[rows, num_N[rows] - 1]
    order = np.lexsort((rows, -distance_R))[:limit]
    usual = float(np.median(distance_R)) if len(rows) else 0.0
    why = [
        f"{num_N[rows[place]]} pictures of other patients within {distance_R[place]:.3f}; {usual:.3f} is usual"
        for place in order
    ]
    distances = distance_R[order].astype(float)
    return pd.DataFrame(
        {"row": rows[order], "kind": OFF_TOPIC, "score": distances, "embedding_distance": distances, "why": why}
    )


def _doubtful(labels: pd.DataFrame) -> pd.DataFrame:
    why = [
        f"labelled {row.label}; {row.likely_label} is {row.probability:.2f} probable, and {row.num_agree} of its "
        f"{row.num_neighbours} nearest of other patients have its label"
        for row in labels.itertuples()
    ]
    return labels.assign(kind=WRONG_LABEL, why=why)


def _named(found: pd.DataFrame, image_id_N: np.ndarray) -> pd.DataFrame:
    """Rows as image ids, ranks within each kind; kinds in the order of `KIND_TITLES`."""
    other = found["other_row"].fillna(-1).to_numpy(dtype=np.int64)
    table = found.assign(
        image_id=image_id_N[found["row"].to_numpy(dtype=np.int64)],
        other_image_id=np.where(other >= 0, image_id_N[other], ""),
        rank=found.groupby("kind").cumcount() + 1,
        relation=found["relation"].fillna(""),
        hash_distance_bits=found["hash_distance_bits"].astype("Int64"),
        order=found["kind"].map(list(KIND_TITLES).index),
    )
    return table.sort_values(["order", "rank"], ignore_index=True)[SUSPECT_COLUMNS]


def inspected_pictures(lesions: pd.DataFrame, store: ImageStore) -> pd.DataFrame:
    """Rows that are inspected: those with an image, sorted by image_id, with its sha256 and perceptual_hash.

    Raises:
        ValueError: If there is none.
    """
    stored = store.pictures(lesions)
    if stored.empty:
        raise ValueError(
            f"none of the cohort's {len(lesions):,} rows has an image: there is nothing to inspect. Its raw folder has "
            "to hold one of the image sources that its YAML names."
        )
    return stored.sort_values("image_id", ignore_index=True)
