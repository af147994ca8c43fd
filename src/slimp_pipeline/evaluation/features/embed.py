"""Frozen embeddings of a target cohort, by method and partition."""

from collections.abc import Collection, Iterator, Mapping
from itertools import islice

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.measures.records import ADAPTED
from slimp_pipeline.images.decode import decoded_batches, keep_freed_memory
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import EvaluationParams, FeatureParams
from slimp_pipeline.tables.encoding import LevelEncoding
from slimp_pipeline.tables.levels import settle_where_three
from slimp_pipeline.tables.missing import choose_fields, without_unchosen
from slimp_pipeline.tables.splits import ALL
from slimp_pipeline.training.device import pick_device

RANDOM_INIT = "random_init"
_ENCODERS_AT_ONCE = 4  # on the device, to read each picture together
STARTS = ("initial_weights", RANDOM_INIT)  # the first that a run has is what its training started from


def evaluation_rows(lesions: pd.DataFrame, patients: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """Rows that are embedded: those split and with an image, sorted by image_id.

    Patient-level fields come from the patients table, where a patient's differing rows are settled.
    """
    rows = lesions[lesions["image_id"].isin(splits["image_id"]) & lesions["store_index"].notna()]
    settled = patients.drop(columns="num_images")
    rows = rows.drop(columns=[column for column in settled if column in rows and column != "patient_id"])
    return rows.merge(settled, on="patient_id", how="left").sort_values("image_id", ignore_index=True)


def chosen_rows(
    cohort: CohortSpec, lesions: pd.DataFrame, patients: pd.DataFrame, splits: pd.DataFrame, features: FeatureParams
) -> pd.DataFrame:
    """`evaluation_rows` with the chosen fields alone: an encoder reads whatever it finds by name.

    Raises:
        ValueError: If there is none.
    """
    fields = choose_fields(cohort, lesions, features)
    rows = evaluation_rows(settle_where_three(lesions, fields)[0], patients, splits)
    if rows.empty:
        raise ValueError(
            f"cohort {cohort.name} has no row with an image: nothing can be embedded. Its raw folder must hold one of "
            "the image sources that its YAML names."
        )
    return without_unchosen(rows, cohort, fields)


def embed_methods(
    rows: pd.DataFrame,
    store: ImageStore,
    encoders: Mapping[str, Mapping[str, Checkpoint]],
    settings: EvaluationParams,
) -> dict[str, np.ndarray]:
    """Embed the target's rows with the pre-trained encoders and with what they started from.

    Methods: those of `encoders`, by the name of their objective; `initial_weights` (the model of the first of them
    before pre-training, where its image weights weren't random); `random_init` (the same with a random
    image encoder). The metadata encoders of the latter two are untrained. Adapted encoders read all of the target's
    fields: what the first of the latter two makes of these stands under its name with the suffix `_adapted`, without
    an image block of its own.

    Args:
        rows: Target rows with image, in the order of the result: store_index and the target's fields.
        store: The target's image store.
        encoders: Method -> partition -> checkpoint; the one partition `all` where the source is another cohort.
        settings: Device, batch size, workers.

    Returns:
        `<method>.<partition>.<block>` -> float32 (N, D) for the blocks image, lesion, patient. A block that
        doesn't depend on the partition stands under `all`. With three levels the block lesion holds what is embedded of
        the picture's own fields, too: both are of a row. A level of which the target has no field of
        the encoder's is left out.
    """
    keep_freed_memory()
    device = pick_device(settings.device)
    first = next(iter(encoders.values()))
    embeddings: dict[str, np.ndarray] = {}
    to_embed = _with_starts(encoders, first)
    while several := list(islice(to_embed, _ENCODERS_AT_ONCE)):
        loaded = [
            (method, partition, PretrainedSLIMP(checkpoint, device, settings.batch_size))
            for method, partition, checkpoint in several
        ]
        keys = [_image_key(method, partition, encoders) for method, partition, _ in loaded]
        of_images = {
            key: encoder for key, (*_, encoder) in zip(keys, loaded, strict=True) if key and key not in embeddings
        }
        images = embed_images(of_images, rows, store, settings, "images")
        for key, (method, partition, encoder) in zip(keys, loaded, strict=True):
            if key in images:
                embeddings[key] = images[key]
            embeddings |= {
                f"{method}.{partition}.{block}": values for block, values in _embed_metadata(encoder, rows).items()
            }
    return embeddings


def named_encoders(*groups: Mapping[str, Checkpoint]) -> dict[str, dict[str, Checkpoint]]:
    """Name groups of encoders by their objective, those adapted to a target with the suffix `_adapted`."""
    named = {}
    for encoders in groups:
        if encoders:
            first = next(iter(encoders.values()))
            suffix = ADAPTED if first.facts.get("adapted_to") else ""
            named[first.loss.objective + suffix] = dict(encoders)
    return named


def _with_starts(
    encoders: Mapping[str, Mapping[str, Checkpoint]], first: Mapping[str, Checkpoint]
) -> Iterator[tuple[str, str, Checkpoint]]:
    for method, by_partition in encoders.items():
        for partition, checkpoint in by_partition.items():
            yield method, partition, checkpoint
    weights = next(iter(first.values())).model.image_encoder.weights
    starts = (RANDOM_INIT,) if weights == "random" else STARTS
    for start in starts:
        for partition, checkpoint in first.items():
            yield start, partition, initial(checkpoint, random_image_encoder=start == RANDOM_INIT)
    for method, by_partition in encoders.items():
        if method.endswith(ADAPTED):
            for partition, checkpoint in by_partition.items():
                started = initial(checkpoint, random_image_encoder=starts[0] == RANDOM_INIT)
                yield starts[0] + ADAPTED, partition, started


def _image_key(method: str, partition: str, trained: Collection[str]) -> str | None:
    """Name of a method's image block; None where it has none of its own. A start's doesn't depend on the partition."""
    if method in trained:
        return f"{method}.{partition}.image"
    return f"{method}.{ALL}.image" if method in STARTS else None


def initial(checkpoint: Checkpoint, *, random_image_encoder: bool) -> Checkpoint:
    """Rebuild the model that a checkpoint's training started from: same seed, settings and encoding."""
    settings = checkpoint.model
    if random_image_encoder:
        encoder = settings.image_encoder.model_copy(update={"weights": "random"})
        settings = settings.model_copy(update={"image_encoder": encoder})
    torch.manual_seed(checkpoint.facts["training"]["seed"])
    model = SLIMP(settings, checkpoint.loss, checkpoint.encoding)
    return Checkpoint(model.state_dict(), settings, checkpoint.loss, checkpoint.encoding, checkpoint.facts)


def encoders_of(encoders: Mapping[str, Mapping[str, Checkpoint]], partition: str) -> dict[str, Checkpoint]:
    """Method -> the encoder of a partition, its own or the one that all share; methods with neither are left out."""
    own = {method: by.get(partition, by.get(ALL)) for method, by in encoders.items()}
    return {method: checkpoint for method, checkpoint in own.items() if checkpoint is not None}


def start_method(embeddings: Mapping[str, np.ndarray]) -> str:
    """Name of the method that stands for what training started from."""
    return next(name for name in STARTS if name in methods(embeddings))


def block(embeddings: Mapping[str, np.ndarray], method: str, partition: str, name: str) -> np.ndarray | None:
    """Look up a block of a method for a partition; None where there is none."""
    if name == "image" and method not in methods(embeddings):
        method = method.removesuffix(ADAPTED)  # a start with the target's fields: its images are the start's
    for key in (f"{method}.{partition}.{name}", f"{method}.{ALL}.{name}"):
        if key in embeddings:
            return embeddings[key]
    return None


def methods(embeddings: Mapping[str, np.ndarray], *, fused: bool = False) -> list[str]:
    """Methods that embed images, in order; `fused`: also those that differ from one of them in metadata alone."""
    own = [key for key in embeddings if fused or key.endswith(".image")]
    return list(dict.fromkeys(key.split(".")[0] for key in own))


def embed_images(
    encoders: Mapping[str, PretrainedSLIMP], rows: pd.DataFrame, store: ImageStore, settings: EvaluationParams, of: str
) -> dict[str, np.ndarray]:
    """Embed the images of rows by their store_index with each of several encoders: float32 (N, D) by its name.

    Each picture is decoded, resized and normalised once for all encoders that take it alike.
    """
    index = rows["store_index"].to_numpy(dtype=np.int64)
    batches = [index[i : i + settings.batch_size].tolist() for i in range(0, len(index), settings.batch_size)]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in encoders}
    with tqdm(total=len(index) * len(encoders), desc=f"Embedding {of}", unit="img", leave=False, disable=None) as bar:
        for names in _seeing_alike(encoders):
            first = encoders[names[0]]
            image_size = first.checkpoint.model.image_encoder.image_size
            for canvas, side in decoded_batches(store, image_size, batches, settings.num_workers):
                views = first.views(canvas, side)
                for name in names:
                    parts[name].append(encoders[name].encode_views(views))
                    bar.update(len(side))
    return {name: np.concatenate(embedded) for name, embedded in parts.items()}


def _seeing_alike(encoders: Mapping[str, PretrainedSLIMP]) -> list[list[str]]:
    names: dict[tuple[float, ...], list[str]] = {}
    for name, encoder in encoders.items():
        names.setdefault(encoder.normalised_size, []).append(name)
    return list(names.values())


def _embed_metadata(encoder: PretrainedSLIMP, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    encoding, blocks = encoder.checkpoint.encoding, {}
    if _has_field(encoding.of_rows, rows):
        blocks["lesion"] = encoder.encode_metadata(rows)
    if _has_field(encoding.patient, rows):
        blocks["patient"] = encoder.encode_patients(rows)
    return blocks


def _has_field(level: LevelEncoding, rows: pd.DataFrame) -> bool:
    """Whether a column of the level is there."""
    return any(column in rows for name in level.fields for column in level.columns(name))
