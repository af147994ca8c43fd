"""What speaks for and against a predicted class, laid over the picture."""

from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from slimp_pipeline.reporting.pictures.gallery import as_data_uri

_SIDE_PX = 168
_FOR, _AGAINST = (213, 94, 0), (0, 114, 178)  # vermilion and blue of Okabe and Ito
_MAX_OPACITY = 0.75


def saliency_pictures(saliency: pd.DataFrame, maps: dict[str, np.ndarray], *, show_ids: bool) -> list[dict[str, Any]]:
    """Draw each picture as the encoder saw it, with its map, and with the map of random weights.

    Args:
        saliency: As `audits.saliency.explain_predictions` gives it.
        maps: As it gives them.
        show_ids: Whether image ids may be shown.

    Returns:
        Pictures: sources (data URIs of picture, map and random map), label, predicted, probability, correlation (text),
        image_id.
    """
    drawn = []
    for number, row in enumerate(saliency.itertuples()):
        seen = maps[f"view.{number}"]
        sources = [as_data_uri(_enlarged(seen))]
        sources += [as_data_uri(_overlaid(seen, maps[f"{name}.{number}"])) for name in ("trained", "random")]
        drawn.append(
            {
                "sources": sources,
                "label": row.label,
                "predicted": row.predicted,
                "probability": f"{row.probability:.2f}",
                "correlation": "not measurable" if pd.isna(row.rank_correlation) else f"{row.rank_correlation:.2f}",
                "image_id": row.image_id if show_ids else "",
            }
        )
    return drawn


def _enlarged(seen_HH3: np.ndarray) -> Image.Image:
    return Image.fromarray(seen_HH3).resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BICUBIC)


def _overlaid(seen_HH3: np.ndarray, map_CC: np.ndarray) -> Image.Image:
    """The picture in grey, cells coloured by sign, the more opaque the larger; the largest 1 % are as the next."""
    largest = max(float(np.quantile(np.abs(map_CC), 0.99)), 1e-12)
    weight = Image.fromarray((map_CC / largest).clip(-1, 1).astype(np.float32))
    weight_HH = np.asarray(weight.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BICUBIC)).clip(-1, 1)
    grey_HH3 = np.asarray(_enlarged(seen_HH3).convert("L").convert("RGB"), dtype=np.float32)
    colour_HH3 = np.where(weight_HH[:, :, None] > 0, _FOR, _AGAINST)
    opacity_HH1 = _MAX_OPACITY * np.abs(weight_HH)[:, :, None]
    return Image.fromarray((grey_HH3 * (1 - opacity_HH1) + colour_HH3 * opacity_HH1).astype(np.uint8))
