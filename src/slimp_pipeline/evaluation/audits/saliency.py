"""Saliency: which pixels a probe's prediction rests on, and whether the map depends on what was learnt."""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn

from slimp_pipeline.evaluation.features.blocks import Scaling
from slimp_pipeline.evaluation.features.embed import block, encoders_of, methods
from slimp_pipeline.evaluation.measures.records import pretrained_method
from slimp_pipeline.evaluation.protocols.probe import FittedProbe, fit_task_probe
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Split, Task, in_turn, make_task, task_splits
from slimp_pipeline.images.decode import fit_canvas
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.image import build_image_encoder
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.training.device import pick_device

SALIENCY_COLUMNS = [
    "method", "image_id", "label", "predicted", "probability", "explained_share", "rank_correlation",
]  # fmt: skip
_CELLS = 14  # to a side: single pixels are noise


class PixelsToScores(nn.Module):
    """An image encoder with a linear probe: how far each class's score is above the mean of all.

    Args:
        encoder: Images to embeddings.
        probe: Of embeddings as they are.
    """

    weight_DK: Tensor
    intercept_K: Tensor

    def __init__(self, encoder: nn.Module, probe: FittedProbe) -> None:
        super().__init__()
        self.encoder = encoder
        weight_DK, intercept_K = probe.model.weight_BDK[0], probe.model.intercept_BK[0]
        self.register_buffer("weight_DK", weight_DK - weight_DK.mean(dim=1, keepdim=True))
        self.register_buffer("intercept_K", intercept_K - intercept_K.mean())

    def forward(self, views_B3HH: Tensor) -> Tensor:
        """Scores of each class, (B, K)."""
        return self.encoder(views_B3HH) @ self.weight_DK + self.intercept_K


def explain_predictions(
    target: TargetCohort, store: ImageStore, settings: EvaluationParams
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Explain predictions of some test pictures of the first partition, one class after the other.

    Explained is the score of the predicted class, by the linear probe on the pre-trained encoder's image features.
    Beside each map stands that of the same probe on an encoder of random weights: a map that looks the same there shows
    the picture, not what was learnt.

    Args:
        target: Rows, splits, embeddings, encoders.
        store: Its pictures.
        settings: How many pictures and steps; 0 pictures: none.

    Returns:
        `SALIENCY_COLUMNS`, a row per picture: explained_share, what the map adds up to of the score's rise over the
        baseline's (1: all of it); rank_correlation, Spearman's of the trained and the random map's absolute cells. And
        by `view`, `trained`, `random`, each with `.<number of the row>`: what the encoder saw, uint8 (H, H, 3), and
        the maps, float32 (cells, cells), above 0 where a cell speaks for the class.

    Source:
        Sundararajan et al. 2017, arXiv:1703.01365 (integrated gradients); Adebayo et al. 2018, arXiv:1810.03292 (sanity
        check by random weights).
    """
    method = pretrained_method(methods(target.embeddings))
    table = pd.DataFrame(columns=SALIENCY_COLUMNS)
    if not settings.saliency.num_pictures or method not in target.encoders:
        return table, {}
    task = make_task(target.rows, target.splits, settings)
    split = next(task_splits(task, target.name))
    checkpoint = encoders_of(target.encoders, split.name)[method]
    image_ND = block(target.embeddings, method, split.name, "image")
    assert image_ND is not None  # every method embeds images
    image_ND = image_ND[task.labelled_M]
    tested = np.flatnonzero(split.test_N)
    asked = tested[in_turn(task.label_N[tested], settings.saliency.num_pictures)]
    probe, probability_NK = _probe(task, split, image_ND, asked, settings)
    encoder = PretrainedSLIMP(checkpoint, pick_device(settings.device))
    views_B3HH = _views(encoder, store, task.rows["store_index"].to_numpy()[asked])
    predicted_N = probability_NK.argmax(axis=1)
    trained, explained_N = _maps(PixelsToScores(encoder.model.image_encoder, probe), views_B3HH, predicted_N, settings)
    random_encoder = _random_encoder(checkpoint, settings.seed).to(encoder.device)
    random, _ = _maps(PixelsToScores(random_encoder, probe), views_B3HH, predicted_N, settings)
    seen = zip(_pixels(encoder, views_B3HH), trained, random, strict=True)
    arrays = {
        f"{name}.{number}": values
        for number, maps in enumerate(seen)
        for name, values in zip(("view", "trained", "random"), maps, strict=True)
    }
    asked_rows, classes = task.rows.iloc[asked], np.array(task.classes)
    table = pd.DataFrame(
        {
            "method": method,
            "image_id": asked_rows["image_id"].to_numpy(),
            "label": classes[task.label_N[asked]],
            "predicted": classes[predicted_N],
            "probability": probability_NK.max(axis=1),
            "explained_share": explained_N,
            "rank_correlation": [_alike(one, other) for one, other in zip(trained, random, strict=True)],
        }
    )
    return table[SALIENCY_COLUMNS], arrays


def _alike(map_CC: np.ndarray, other_CC: np.ndarray) -> float:
    return float(spearmanr(np.abs(map_CC).ravel(), np.abs(other_CC).ravel()).statistic)


def integrated_gradients(
    model: nn.Module, views_B3HH: Tensor, class_B: Tensor, num_steps: int
) -> tuple[Tensor, Tensor]:
    """Attribute the score of a class to pixels, from the picture's own mean colour (our choice) to the picture.

    Args:
        model: Views to scores, (B, K).
        views_B3HH: Float.
        class_B: Class numbers, int64.
        num_steps: Of the integral.

    Returns:
        Attributions summed over colours, (B, H, H); and of each picture the share of the score's rise that they add up
        to, (B,): 1 with steps enough.
    """
    from captum.attr import IntegratedGradients  # brings Matplotlib along: every other command does without

    baseline = views_B3HH.mean(dim=(2, 3), keepdim=True).expand_as(views_B3HH)
    found = IntegratedGradients(model).attribute(
        views_B3HH, baseline, target=class_B, n_steps=num_steps, internal_batch_size=64
    )
    with torch.no_grad():
        rise_B = (model(views_B3HH) - model(baseline)).gather(1, class_B[:, None])[:, 0]
    return found.sum(dim=1).detach(), (found.sum(dim=(1, 2, 3)) / rise_B).detach()


def _probe(
    task: Task, split: Split, image_ND: np.ndarray, asked: np.ndarray, settings: EvaluationParams
) -> tuple[FittedProbe, np.ndarray]:
    scaling = Scaling.fit([image_ND], split.train_N)
    probe = fit_task_probe(task, scaling([image_ND], split.train_N), split.train_N, settings).of_unscaled(scaling)
    return probe, probe.scores(image_ND[asked])


def _views(encoder: PretrainedSLIMP, store: ImageStore, store_index: np.ndarray) -> Tensor:
    encoded = [store.encoded(int(index)) for index in store_index]
    views = encoder.views(*fit_canvas(encoded, encoder.checkpoint.model.image_encoder.image_size))
    return views.float().clone()  # one that gradients can be taken by


def _maps(
    model: PixelsToScores, views_B3HH: Tensor, predicted_N: np.ndarray, settings: EvaluationParams
) -> tuple[list[np.ndarray], np.ndarray]:
    model = model.to(views_B3HH.device).float().eval()
    class_B = torch.from_numpy(predicted_N).to(views_B3HH.device)
    map_BHH, share_B = integrated_gradients(model, views_B3HH, class_B, settings.saliency.num_steps)
    cells = min(_CELLS, map_BHH.shape[-1])
    pooled_BCC = F.adaptive_avg_pool2d(map_BHH[:, None], cells)[:, 0]
    return list(pooled_BCC.float().cpu().numpy()), share_B.cpu().numpy()


def _random_encoder(checkpoint: Checkpoint, seed: int) -> nn.Module:
    """The same architecture with weights that no training started from."""
    settings = checkpoint.model.image_encoder.model_copy(update={"weights": "random"})
    with torch.random.fork_rng():
        torch.manual_seed(checkpoint.facts["training"]["seed"] + seed + 1)
        return build_image_encoder(settings)


def _pixels(encoder: PretrainedSLIMP, views_B3HH: Tensor) -> list[np.ndarray]:
    mean, std = encoder.model.image_mean[:, None, None], encoder.model.image_std[:, None, None]
    shades = ((views_B3HH * std + mean).clamp(0, 1) * 255).round().byte()
    return list(shades.permute(0, 2, 3, 1).cpu().numpy())
