"""What a picture's pixels tell without a network: how dark, bright, plain and sharp it is."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from slimp_pipeline.images.pixels import pixels
from slimp_pipeline.images.store import ImageStore

MEASURES = ["darkest_shade", "brightest_shade", "entropy_bits", "sharpness"]
_SHADES = 256


def appearance(grey_HW: np.ndarray) -> tuple[float, float, float, float]:
    """Measure one picture.

    Args:
        grey_HW: uint8, shape (H, W), both >= 1.

    Returns:
        `MEASURES`: the shade (0 to 255) below which 1 % of the pixels lie, and that below which 99 % do; entropy of
        the shades, in bits (0 to 8); sharpness: of the differences between neighbouring pixels, the share that a mean
        of 3 x 3 pixels takes away (0 where there is none).

    Source:
        Sharpness: the idea of Crete et al. 2007, doi:10.1117/12.702790; a picture that is blurred already loses little.
    """
    count_S = np.bincount(grey_HW.ravel(), minlength=_SHADES)
    below_S = np.cumsum(count_S) / grey_HW.size
    darkest, brightest = np.searchsorted(below_S, [0.01, 0.99])
    share_S = count_S[count_S > 0] / grey_HW.size
    entropy_bits = float(-(share_S * np.log2(share_S)).sum()) + 0.0
    grey = grey_HW.astype(np.float32)
    sharp, blurred = _unevenness(grey), _unevenness(uniform_filter(grey, 3, mode="nearest"))
    return float(darkest), float(brightest), entropy_bits, 1 - blurred / sharp if sharp else 0.0


def measure_pictures(store: ImageStore, rows: pd.DataFrame, batch_size: int, num_workers: int) -> pd.DataFrame:
    """Measure the pictures of rows, in worker processes, with progress and time left.

    Args:
        store: The image store.
        rows: image_id, store_index.
        batch_size: Pictures that a worker hands over at once.
        num_workers: Worker processes; 0: this one.

    Returns:
        image_id, width_px, height_px and `MEASURES`, one row per row.
    """
    index_N = rows["store_index"].to_numpy(dtype=np.int64)
    batches = [index_N[i : i + batch_size].tolist() for i in range(0, len(index_N), batch_size)]
    loader: DataLoader[np.ndarray] = DataLoader(
        _Measured(store),
        batch_sampler=batches,
        collate_fn=_as_is,  # type: ignore[arg-type]  # the dataset gives whole batches
        num_workers=num_workers,
    )
    parts = [np.empty((0, len(MEASURES)))]
    with tqdm(total=len(index_N), desc="Measuring pictures", unit="img", leave=False, disable=None) as bar:
        for measured_BM in loader:
            parts.append(measured_BM)
            bar.update(len(measured_BM))
    measured = pd.DataFrame(np.concatenate(parts), columns=MEASURES)
    sizes = store.table().loc[index_N, ["width_px", "height_px"]].astype("int64").reset_index(drop=True)
    return pd.concat([rows[["image_id"]].reset_index(drop=True), sizes, measured], axis=1)


class _Measured(Dataset[np.ndarray]):
    def __init__(self, store: ImageStore) -> None:
        self.store = store

    def __getitem__(self, index: int) -> np.ndarray:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> np.ndarray:
        return np.array([appearance(pixels(self.store.encoded(i), grey=True).numpy()[0]) for i in indices])


def _as_is(batch: np.ndarray) -> np.ndarray:
    return batch


def _unevenness(grey_HW: np.ndarray) -> float:
    """Sum of the differences between neighbouring pixels."""
    return float(sum(np.abs(np.diff(grey_HW, axis=axis)).sum(dtype=np.float64) for axis in (0, 1)))
