"""A pre-trained encoder: the object that encodes with a checkpoint."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from slimp_pipeline.cohorts.text import as_meant
from slimp_pipeline.images.augment import plain_views
from slimp_pipeline.images.check import ImageRefused, check_image
from slimp_pipeline.images.decode import fit_canvas
from slimp_pipeline.images.limits import memory_limit
from slimp_pipeline.images.raw_images import RawImages, memory_per_image
from slimp_pipeline.losses.objective import Representations
from slimp_pipeline.models.batch import Batch, PictureFields
from slimp_pipeline.models.checkpoint import IMAGE_ENCODER, Checkpoint, checkpoint_folder, read_checkpoint
from slimp_pipeline.models.fingerprint import FINGERPRINT, check_fingerprint
from slimp_pipeline.models.pictures import read_alike
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.models.weights import load_weights
from slimp_pipeline.parameters import IngestParams
from slimp_pipeline.tables.encoding import LevelEncoding, encode, row_groups

_ROWS_AT_ONCE = {"cpu": 128, "cuda": 4096}  # of metadata: their tokens stay in a core's cache


def build_model(checkpoint: Checkpoint) -> SLIMP:
    """Build a checkpoint's network with its weights.

    Raises:
        ValueError: If timm can't build the image encoder, or the weights don't fit the network; says which.
    """
    model = SLIMP(checkpoint.model, checkpoint.loss, checkpoint.encoding, load_weights=False)
    load_weights(model, checkpoint.state)
    return model


class PretrainedSLIMP:
    """A pre-trained encoder in evaluation mode; it reads pictures as those were read that trained it.

    Args:
        checkpoint: Weights and settings.
        device: Where it computes.
        batch_size: Images per forward pass.

    Raises:
        ValueError: If timm can't build the image encoder, or the weights don't fit the network; says which.
    """

    def __init__(self, checkpoint: Checkpoint, device: str | torch.device = "cpu", batch_size: int = 64) -> None:
        self.checkpoint, self.device, self.batch_size = checkpoint, torch.device(device), batch_size
        self.ingest = read_alike(checkpoint.facts, IngestParams())
        self.model = build_model(checkpoint).eval().to(self.device)
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self._view_format = self.model.view_format(checkpoint.model.image_encoder.image_size, dtype)

    def encode_images(self, paths: Sequence[str | Path]) -> np.ndarray:
        """Embed image files: float32 (N, D), the backbone's pooled features.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If an image can't be read; names the file and the reason.
        """

        def read(path: str | Path) -> bytes:
            return _checked_file(Path(path), self.ingest)

        return self._encode_encoded(read, paths)

    def encode_pictures(self, pictures: Sequence[bytes]) -> np.ndarray:
        """Embed pictures by their bytes, as image files hold them: float32 (N, D).

        Raises:
            ValueError: If one can't be read; says which, counted from 0, and why.
        """

        def read(numbered: tuple[int, bytes]) -> bytes:
            return _checked_bytes(*numbered, self.ingest)

        return self._encode_encoded(read, list(enumerate(pictures)))

    def _encode_encoded(self, read: Callable[[Any], bytes], sources: Sequence[Any]) -> np.ndarray:
        batches, image_size = [], self.checkpoint.model.image_encoder.image_size
        for start in range(0, len(sources), self.batch_size):
            encoded = [read(source) for source in sources[start : start + self.batch_size]]
            batches.append(self.encode_canvases(*fit_canvas(encoded, image_size)))
        num_features = int(self.model.image_encoder.num_features)  # type: ignore[arg-type]
        return np.concatenate(batches) if batches else np.empty((0, num_features), dtype=np.float32)

    def encode_canvases(self, canvas_B3SS: Tensor, side_px_B: Tensor) -> np.ndarray:
        """Embed decoded images as `images.decode` gives them: float32 (B, D); on CUDA computed in bfloat16."""
        return self.encode_views(self.views(canvas_B3SS, side_px_B))

    @property
    def normalised_size(self) -> tuple[float, ...]:
        """What a view depends on beside the image: encoders that agree in it share their views."""
        views = self._view_format
        return (views.image_size, *views.mean_3.tolist(), *views.std_3.tolist())

    @torch.inference_mode()
    def views(self, canvas_B3SS: Tensor, side_px_B: Tensor) -> Tensor:
        """Resize and normalise decoded images: (B, 3, H, H) on the device, in the type that the backbone takes."""
        canvas_B3SS, side_px_B = (values.to(self.device, non_blocking=True) for values in (canvas_B3SS, side_px_B))
        return plain_views(canvas_B3SS, side_px_B, self._view_format)

    @torch.inference_mode()
    def encode_views(self, views_B3HH: Tensor) -> np.ndarray:
        """Embed what `views` gives, of this encoder or of one with the same `normalised_size`: float32 (B, D)."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model.image_encoder(views_B3HH).float().cpu().numpy()

    def encode_metadata(self, frame: pd.DataFrame) -> np.ndarray:
        """Embed the metadata of pictures' lesions: float32 (N, M).

        With three levels also the pictures' own: (N, 2M), picture before lesion.

        Args:
            frame: One row per picture; columns are the lesion (and image) fields of `encoding.json`, in the units of
                their names. Absent columns and empty cells count as not known.
        """
        lesion_NM = self._encode_lesions(frame)
        return (
            np.concatenate([self._encode_pictures(frame), lesion_NM], axis=1) if self._has_three_levels else lesion_NM
        )

    def encode_patients(self, frame: pd.DataFrame) -> np.ndarray:
        """Embed patient-level metadata: float32 (N, M); one row per patient, columns as in `encode_metadata`."""
        return self._encode_fields(self.model.patient_encoder, self.checkpoint.encoding.patient, frame)

    @torch.inference_mode()
    def encode_phenotypes(self, image_ND: np.ndarray, frame: pd.DataFrame) -> np.ndarray:
        """Pool image and lesion-metadata embeddings of each patient: float32 (P, X), patients as they first appear.

        Args:
            image_ND: Image embeddings of N lesions, as `encode_images` gives them.
            frame: Their rows: patient_id and the lesion fields; with three levels lesion_id and the image fields, too.
        """
        if frame.empty:
            return np.empty((0, int(self.model.pooling.out_dim)), dtype=np.float32)  # type: ignore[arg-type]
        return self._represented(image_ND, frame).phenotype_PX.float().cpu().numpy()

    @torch.inference_mode()
    def contrast(self, image_ND: np.ndarray, frame: pd.DataFrame) -> dict[str, tuple[np.ndarray, ...]]:
        """Project rows as the objective does that trained this encoder.

        Args:
            image_ND: Image embeddings of N lesions.
            frame: Their rows: patient_id, and the fields of both levels; with three levels lesion_id and the image
                fields, too. A lesion's fields, and a patient's, are those of its first row.

        Returns:
            Contrast (`image`, `lesion`, `patient`, `flat`, `views`) -> left side, right side, both float32 (rows, D),
            and groups, int64 (rows,): rows of one group have equal metadata. Rows are pictures; for `patient` patients
            as they first appear, and with three levels for `lesion` lesions.
        """
        contrasts = self.model.objective.contrasts(self._represented(image_ND, frame))
        return {
            name: tuple(side.cpu().numpy() for side in (value.left_ND.float(), value.right_ND.float(), value.groups_N))
            for name, value in contrasts.items()
        }

    @property
    def _has_three_levels(self) -> bool:
        return self.checkpoint.encoding.has_three_levels

    def _encode_lesions(self, frame: pd.DataFrame) -> np.ndarray:
        return self._encode_fields(self.model.lesion_encoder, self.checkpoint.encoding.lesion, frame)

    def _encode_pictures(self, frame: pd.DataFrame) -> np.ndarray:
        assert self.model.picture_encoder is not None  # there are three levels
        return self._encode_fields(self.model.picture_encoder, self.checkpoint.encoding.image, frame)

    def _represented(self, image_ND: np.ndarray, frame: pd.DataFrame) -> Representations:
        """What the model makes of image embeddings and their rows, taken as one batch."""
        encoding = self.checkpoint.encoding
        lesion_N = encoding.lesion_numbers(frame)
        each = frame.iloc[np.unique(lesion_N, return_index=True)[1]]
        own = frame.drop_duplicates("patient_id")

        def on_device(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values).to(self.device)

        def groups(level: LevelEncoding, rows: pd.DataFrame) -> Tensor:
            return on_device(row_groups(encode(level, rows)))

        pictures = PictureFields({}, groups(encoding.image, frame), on_device(lesion_N))
        image, lesion, patient = map(on_device, (image_ND, self._encode_lesions(each), self.encode_patients(own)))
        batch = Batch(
            image,
            {},
            {},
            on_device(pd.factorize(each["patient_id"])[0]),
            groups(encoding.lesion, each),
            groups(encoding.patient, own),
            pictures=pictures if self._has_three_levels else None,
        )
        picture = on_device(self._encode_pictures(frame)) if self._has_three_levels else None
        return self.model.represent(image, lesion, patient, batch, picture)

    @torch.inference_mode()
    def _encode_fields(self, encoder: torch.nn.Module, level: LevelEncoding, frame: pd.DataFrame) -> np.ndarray:
        """Rows with equal fields, such as a patient's, are embedded once."""
        fields = encode(level, _as_meant(level, frame))
        chosen, group_N = np.unique(row_groups(fields), return_index=True, return_inverse=True)[1:]
        fields = {name: values[chosen] for name, values in fields.items()}
        chunks = []
        rows_at_once = _ROWS_AT_ONCE["cpu" if self.device.type == "cpu" else "cuda"]
        for start in range(0, len(chosen), rows_at_once):
            part = {
                name: torch.from_numpy(values[start : start + rows_at_once]).to(self.device)
                for name, values in fields.items()
            }
            chunks.append(encoder(part).float().cpu().numpy())
        dim = self.checkpoint.model.metadata_encoder.dim
        return np.concatenate(chunks)[group_N] if chunks else np.empty((0, dim), dtype=np.float32)


def load(folder: str | Path, device: str = "cpu") -> PretrainedSLIMP:
    """Load a pre-trained encoder from its checkpoint folder, or the only one below a folder.

    Nothing beyond the folder is read, and nothing fetched.

    Where the folder holds a fingerprint, as exported ones do, it must come out again.

    Raises:
        FileNotFoundError: If it is no checkpoint folder; names the checkpoints below it, if any.
        ValueError: If a file of it is absent or damaged, its weights don't fit its settings, or its fingerprint doesn't
            come out again; names what is wrong.
    """
    folder = checkpoint_folder(folder)
    checkpoint = read_checkpoint(folder)
    try:
        encoder = PretrainedSLIMP(checkpoint, device)
        if (folder / FINGERPRINT).is_file():
            check_fingerprint(encoder, folder)
    except ValueError as error:
        raise ValueError(f"checkpoint {folder}: {error}") from error
    return encoder


def _as_meant(level: LevelEncoding, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows whose categories are texts as `ingest` reads them; other values stay."""
    return frame.assign(
        **{
            name: pd.Series([as_meant(v) if isinstance(v, str) else v for v in frame[name]], frame.index, dtype=object)
            for name in level.names("categorical")
            if name in frame
        }
    )


def image_weights(folder: str | Path) -> dict[str, Tensor]:
    """Weights of the image encoder alone, in timm's own layout.

    `timm.create_model("local-dir:<folder>", pretrained=True)` is the image encoder with them.
    """
    state = read_checkpoint(Path(folder)).state
    return {name.removeprefix(IMAGE_ENCODER): v for name, v in state.items() if name.startswith(IMAGE_ENCODER)}


def _checked_file(path: Path, settings: IngestParams) -> bytes:
    if not path.exists():
        raise FileNotFoundError(f"no file {path}")
    try:
        with memory_limit(memory_per_image(settings)), RawImages(settings) as raw_images:
            return check_image(raw_images.read(str(path), ""), settings).encoded
    except ImageRefused as refusal:
        raise ValueError(f"{path}: {refusal}") from refusal


def _checked_bytes(number: int, raw: bytes, settings: IngestParams) -> bytes:
    try:
        with memory_limit(memory_per_image(settings)):
            return check_image(raw, settings).encoded
    except ImageRefused as refusal:
        raise ValueError(f"picture {number}: {refusal}") from refusal
