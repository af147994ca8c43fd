"""Extrapolation of a target's metadata: who lends to whom, partition by partition, and what it is worth."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.features.embed import embed_images
from slimp_pipeline.evaluation.features.transfer import fields_read
from slimp_pipeline.evaluation.measures.bootstrap import estimate
from slimp_pipeline.evaluation.measures.measure import measure
from slimp_pipeline.evaluation.measures.records import EXTRAPOLATED, Key
from slimp_pipeline.evaluation.protocols.run import predict
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.extrapolation.lend import NEAREST_ROW, borrow
from slimp_pipeline.extrapolation.neighbours import nearest, shared_keys
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import EvaluationParams, ExtrapolationParams
from slimp_pipeline.tables.duplicates import number_pictures
from slimp_pipeline.tables.splits import ALL, partition
from slimp_pipeline.training.device import pick_device

WORTH_COLUMNS = ["cohort", "compared", "reference", "metric", "difference", "ci_low", "ci_high"]
_ALL_FEATURES = "image+lesion+patient"


@dataclass(frozen=True)
class Side:
    """A cohort in its role.

    Attributes:
        rows: Rows with image, patient fields settled.
        store: Their images.
        ids: Their image_id, lesion_id and patient_id as the target has them.
    """

    rows: pd.DataFrame
    store: ImageStore
    ids: pd.DataFrame


@dataclass(frozen=True)
class Lending:
    """Who lends to whom.

    Attributes:
        reference: Who lends; the target itself where the two are one cohort.
        target: Who borrows.
        same_people: Whether patient ids of the two mean the same people.
    """

    reference: Side
    target: Side
    same_people: bool


def extrapolate(
    lending: Lending,
    fields: Mapping[str, FieldSpec],
    lenders: Mapping[str, pd.Series],
    encoders: Mapping[str, Checkpoint],
    settings: ExtrapolationParams,
    evaluation: EvaluationParams,
    *,
    near_duplicate_bits: int,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Let every target row borrow the metadata of its nearest reference rows.

    Rows of the same picture (by id, by content, or nearly by perceptual hash) or of the same lesion id never lend to
    one another, nor do rows of the same patient, where the two cohorts' patient ids mean the same people. Where the
    target is among the reference's cohorts, each partition borrows from its own training rows with its own encoder.

    Args:
        lending: Reference and target.
        fields: What is lent: fields of the reference.
        lenders: Partition -> image ids of the reference's rows that lend: those that its encoder was trained on.
        encoders: Partition -> checkpoint; the one partition `all` where the reference doesn't hold the target.
        settings: Neighbours.
        evaluation: Device, batch size, workers.
        near_duplicate_bits: Greatest Hamming distance of the perceptual hashes of one picture.

    Returns:
        partition, image_id, patient_id, similarity, nearest_image_id and the reference's fields, one row per
        partition and target row; and image embeddings of the target by partition, float32 (N, D).

    Raises:
        ValueError: If too few reference rows are left for a target row.

    Source:
        SLIMP, arXiv:2505.23709, metadata extrapolation.
    """
    device, tables = pick_device(evaluation.device), []
    reference, target = lending.reference, lending.target
    loaded = {name: PretrainedSLIMP(checkpoint, device, evaluation.batch_size) for name, checkpoint in encoders.items()}
    embeddings = embed_images(loaded, target.rows, target.store, evaluation, "the target")
    lent = embeddings
    if reference is not target:
        lent = embed_images(loaded, reference.rows, reference.store, evaluation, "the reference")
    for name, image_ND in embeddings.items():
        lends_R = reference.rows["image_id"].isin(lenders[name]).to_numpy()
        rows = reference.rows[lends_R].reset_index(drop=True)
        query_keys, reference_keys = _keys(lending, lends_R, near_duplicate_bits)
        index_QK, similarity_QK = nearest(
            image_ND,
            lent[name][lends_R],
            settings.num_neighbours,
            device=device,
            rows_per_chunk=settings.rows_per_chunk,
            query_keys=query_keys,
            reference_keys=reference_keys,
        )
        borrowed = borrow(rows, fields, index_QK, similarity_QK, settings.temperature)
        ids = target.rows[["image_id", "patient_id"]].reset_index(drop=True).assign(partition=name)
        nearest_id = rows["image_id"].to_numpy()[borrowed[NEAREST_ROW]]
        tables.append(pd.concat([ids, borrowed.drop(columns=NEAREST_ROW).assign(nearest_image_id=nearest_id)], axis=1))
    return pd.concat(tables, ignore_index=True), embeddings


def tested_rows(borrowed: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """One borrowed row per target row: that of the partition that tests it."""
    if set(borrowed["partition"]) == {ALL}:
        return borrowed.sort_values("image_id", ignore_index=True)
    merged = borrowed.merge(splits[["image_id", "split", "fold"]], on="image_id", how="left")
    tested = np.zeros(len(merged), dtype=bool)
    for name in merged["partition"].unique():
        tested |= partition(merged, name)[1] & merged["partition"].eq(name).to_numpy()
    return borrowed[tested].sort_values("image_id", ignore_index=True)


def worth(
    target: TargetCohort,
    borrowed: pd.DataFrame,
    image_embeddings: Mapping[str, np.ndarray],
    settings: EvaluationParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Probe images with borrowed metadata beside images alone, and beside the target's own metadata if it has any.

    Args:
        target: Rows, splits, encodings, and the encoders of one method.
        borrowed: As `extrapolate` returns it.
        image_embeddings: Likewise.
        settings: Probe and measures.

    Returns:
        results, as `measure.measure` returns them: the method with the suffix `_extrapolated` has borrowed metadata;
        and `WORTH_COLUMNS`: paired differences of borrowed metadata to images alone and to the target's own.
    """
    ((method, encoders),) = target.encoders.items()
    has_own = bool(fields_read(next(iter(encoders.values())).encoding, target.rows)["read"].any())
    device = pick_device(settings.device)
    embeddings = {}
    for name, checkpoint in encoders.items():
        encoder, lent = PretrainedSLIMP(checkpoint, device), borrowed[borrowed["partition"] == name]
        lent = target.rows[["image_id"]].merge(lent, on="image_id", how="left")
        embeddings[f"{method}.{name}.image"] = image_embeddings[name]
        for suffix, frame in (({"": target.rows} if has_own else {}) | {EXTRAPOLATED: lent}).items():
            embeddings[f"{method}{suffix}.{name}.image"] = image_embeddings[name]
            embeddings[f"{method}{suffix}.{name}.lesion"] = encoder.encode_metadata(frame)
            embeddings[f"{method}{suffix}.{name}.patient"] = encoder.encode_patients(frame)
    asked = settings.model_copy(update={"protocols": ["linear_probe"], "features": ["image", _ALL_FEATURES]})
    predictions = predict(replace(target, embeddings=embeddings), asked)
    predictions = predictions[predictions["protocol"] == "linear_probe"]
    alone = (predictions["method"] == method + EXTRAPOLATED) & (predictions["features"] == "image")
    results, averaged = measure(target.name, predictions[~alone], settings)
    ours = Key(method + EXTRAPOLATED, _ALL_FEATURES, "linear_probe")
    rows = []
    for title, reference in (("images alone", "image"), ("images and the target's own metadata", _ALL_FEATURES)):
        other = averaged.get(Key(method, reference, "linear_probe"))
        if other is None:
            continue
        for metric, value_R in averaged[ours].items():
            difference = estimate(value_R - other[metric], settings.confidence)
            rows.append([target.name, "images and borrowed metadata", title, metric, *difference])
    return results, pd.DataFrame(rows, columns=WORTH_COLUMNS)


def _keys(lending: Lending, lends_R: np.ndarray, near_duplicate_bits: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What a target row and a reference row may not share: picture, lesion, patient where ids mean the same people.

    Lesion ids of unrelated cohorts that happen to be equal cost a query one lesion of the reference.
    """
    reference, target = lending.reference, lending.target
    ids = ["image_id", "lesion_id"] + (["patient_id"] if lending.same_people else [])
    pairs = [shared_keys(target.ids[name], reference.ids.loc[lends_R, name]) for name in ids]
    own, lent = target.store.pictures(target.rows), reference.store.pictures(reference.rows[lends_R])
    pairs.append(shared_keys(own["sha256"], lent["sha256"]))
    hashes = np.concatenate([own["perceptual_hash"], lent["perceptual_hash"]]).astype(np.uint64)
    number_N = number_pictures(hashes, near_duplicate_bits)
    pairs.append((number_N[: len(own)], number_N[len(own) :]))
    return [query for query, _ in pairs], [lender for _, lender in pairs]
