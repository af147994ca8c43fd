"""What is asked for, and looked through before hours of work: pictures, encoder, metadata, challenge."""

import logging
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from slimp_pipeline.embedding.challenge import CHALLENGES, Challenge, check_ids, read_sample, require_sample
from slimp_pipeline.embedding.listing import EMBEDDED, list_pictures
from slimp_pipeline.embedding.metadata import PictureRows, read_rows
from slimp_pipeline.handover.classifier import Classifier
from slimp_pipeline.models.checkpoint import CONFIG, read_checkpoint
from slimp_pipeline.parameters import EmbeddingParams

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What is to be embedded, by what.

    Attributes:
        encoder: Folder of an exported model.
        files: All files, as `list_pictures` gives them.
        rows: Their metadata, in the order of `pictures`; None without a table.
        challenge: Whose submission file is written, if any.
        sample: Ids that it has to hold, in order; None where no sample file says so.
    """

    encoder: Path
    files: pd.DataFrame
    rows: PictureRows | None
    challenge: Challenge | None
    sample: list[str] | None

    @property
    def pictures(self) -> pd.DataFrame:
        """The files that are to be embedded."""
        return self.files[self.files["outcome"] == EMBEDDED]


def look_through(settings: EmbeddingParams, exported: Path | None) -> Request:
    """Look through all that is asked for.

    Args:
        settings: Paths of pictures, metadata, encoder, sample.
        exported: The newest export, where there is one; `settings.encoder` goes before.

    Raises:
        FileNotFoundError: If there are no pictures, or there is no exported model; says which command makes one.
        ValueError: If the metadata table or the sample can't be used, or the model's classes aren't the challenge's.
    """
    if settings.images is None:
        raise ValueError("which pictures? kedro run --pipeline=embed --params=images=<folder>")
    encoder = _encoder(settings.encoder or exported)
    challenge = CHALLENGES[settings.challenge] if settings.challenge else None
    if challenge:
        challenge.require_classes(Classifier.read(encoder), encoder)
        if challenge.by_lesion and not settings.metadata:
            raise ValueError(f"{challenge.name} asks for lesions: set metadata= to a table that names them")
    sample = read_sample(settings.sample, challenge) if settings.sample and challenge else None
    files = list_pictures(settings.images)
    rows = _rows(settings.metadata, settings, encoder, files) if settings.metadata else None
    if challenge:
        _require_ids(challenge, sample, files, rows, settings)
    return Request(encoder, files, rows, challenge, sample)


def _rows(table: Path, settings: EmbeddingParams, encoder: Path, files: pd.DataFrame) -> PictureRows:
    pictures = files[files["outcome"] == EMBEDDED].reset_index(drop=True)
    encoding = read_checkpoint(encoder).encoding
    rows = read_rows(table, pictures, encoding, settings)
    for note in rows.notes:
        logger.warning("%s: %s", table.name, note)
    return rows


def _require_ids(
    challenge: Challenge,
    sample: list[str] | None,
    files: pd.DataFrame,
    rows: PictureRows | None,
    settings: EmbeddingParams,
) -> None:
    """Refuse a table without lesions where these are asked for, other ids than the challenge's, and a sample whose
    pictures aren't there."""
    ids, where = files.loc[files["outcome"] == EMBEDDED, "image_id"], "the pictures"
    if challenge.by_lesion and rows is not None:
        if rows.lesion_id_N is None:
            raise ValueError(
                f"{settings.metadata}: no column `{settings.lesion_column}`, and {challenge.name} asks for lesions. "
                "Name the right one: --params=embedding.lesion_column=..."
            )
        ids, where = pd.Series(rows.lesion_id_N).dropna().drop_duplicates(), str(settings.metadata)
    check_ids(ids, challenge, where)
    remedy = "Are images= and metadata= those of the challenge's test set?"
    require_sample(ids, challenge, sample, "have no picture", remedy)


def _encoder(folder: Path | None) -> Path:
    if folder is None:
        raise FileNotFoundError(
            "there is no exported model yet. Run `kedro run --pipeline=export` first (after pretrain, and evaluate for "
            "known lesions and a classifier), or name an exported folder: --params=encoder=<folder>"
        )
    if not folder.is_dir():
        raise FileNotFoundError(f"encoder: there is no folder {folder}. `kedro run --pipeline=export` makes one")
    if not (folder / CONFIG).is_file():
        below = sorted(str(path.parent) for path in folder.glob(f"*/*/{CONFIG}"))
        hint = f"Below it are: {', '.join(below)}" if below else "`kedro run --pipeline=export` makes one"
        raise FileNotFoundError(f"encoder: {folder} is no exported model, it has no {CONFIG}. {hint}")
    return folder
