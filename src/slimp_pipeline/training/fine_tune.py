"""Supervised fine-tuning of the image encoder: what labels alone reach, from any first weights."""

import copy
import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn
from tqdm import tqdm

from slimp_pipeline.images.augment import draw_maps, plain_views, sample_views
from slimp_pipeline.images.decode import decoded_batches, keep_freed_memory
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.image import hold_statistics
from slimp_pipeline.models.pretrained import build_model
from slimp_pipeline.parameters import AugmentationParams, FineTuningParams
from slimp_pipeline.training.step import learning_rate_factor


@dataclass(frozen=True)
class LabelledImages:
    """N labelled images: rows of the image store, class numbers, patients."""

    store_index_N: np.ndarray
    label_N: np.ndarray
    patient_N: np.ndarray

    def rows(self, chosen_N: np.ndarray) -> "LabelledImages":
        """Some of them."""
        return LabelledImages(self.store_index_N[chosen_N], self.label_N[chosen_N], self.patient_N[chosen_N])


def fine_tune(
    start: Checkpoint,
    store: ImageStore,
    training: LabelledImages,
    tested: np.ndarray,
    num_classes: int,
    settings: FineTuningParams,
    augmentation: AugmentationParams,
    device: torch.device,
    seed: int,
    label: str,
) -> np.ndarray:
    """Train the image encoder with a linear classifier on labels, then score images.

    The stages that train, and batch norm, are as the encoder's own settings have them. Training stops where the
    class-weighted log loss of held-out training patients no longer falls, and the best epoch's weights are taken.

    Args:
        start: The encoder to start from.
        store: The image store.
        training: Images of training patients, of at least two classes.
        tested: Rows of the image store to score.
        num_classes: K.
        settings: Optimiser, epochs, early stop.
        augmentation: Of the training views.
        device: Where it computes.
        seed: Of the held-out patients, the classifier's first weights, batches and views.
        label: On the progress bar.

    Returns:
        Probabilities, float64 (len(tested), K); 0 for classes without a training row.

    Raises:
        ValueError: If there are fewer than two training patients, or no class has two rows.
        FloatingPointError: If the loss isn't finite.
    """
    keep_freed_memory()
    classifier = _Classifier(start, num_classes, seed, device)
    held_out_N = _held_out(training, settings, seed)
    fitted, validation = training.rows(~held_out_N), training.rows(held_out_N)
    weight_K = _class_weights(training.label_N, num_classes, device)
    optimizer = classifier.optimizer(settings)
    steps_per_epoch = max(1, len(fitted.label_N) // settings.batch_size)
    best_loss, best_epoch, best = math.inf, 0, copy.deepcopy(classifier.state_dict())
    for epoch in tqdm(range(settings.num_epochs), desc=label, unit="epoch", leave=False, disable=None):
        _train_epoch(
            classifier, optimizer, store, fitted, weight_K, settings, augmentation, (epoch, steps_per_epoch, seed)
        )
        loss = _log_loss(classifier.score(store, validation.store_index_N), validation.label_N, weight_K)
        if loss < best_loss:
            best_loss, best_epoch, best = loss, epoch, copy.deepcopy(classifier.state_dict())
        if epoch - best_epoch >= settings.patience_epochs:
            break
    classifier.load_state_dict(best)
    score_NK = classifier.score(store, tested) * (np.bincount(training.label_N, minlength=num_classes) > 0)
    return score_NK / score_NK.sum(axis=1, keepdims=True)


class _Classifier(nn.Module):
    """An image encoder with a linear classifier."""

    def __init__(self, start: Checkpoint, num_classes: int, seed: int, device: torch.device) -> None:
        super().__init__()
        whole = build_model(start)
        self.encoder, self.image_size = whole.image_encoder, start.model.image_encoder.image_size
        self.keep_batch_norm = start.model.image_encoder.keep_batch_norm
        torch.manual_seed(seed)  # after the model is built: what it was pre-trained with must not change the draws
        self.head = nn.Linear(int(whole.image_encoder.num_features), num_classes)  # type: ignore[arg-type]
        nn.init.zeros_(self.head.bias)
        self.view_format = whole.to(device).view_format(self.image_size)
        self.device = device
        self.to(device)

    def forward(self, views: Tensor) -> Tensor:
        """Class logits (B, K)."""
        return self.head(self.encoder(views))

    def train(self, mode: bool = True) -> "_Classifier":
        """Frozen layers keep their statistics."""
        super().train(mode)
        if mode:
            hold_statistics(self.encoder, keep_batch_norm=self.keep_batch_norm)
        return self

    def optimizer(self, settings: FineTuningParams) -> torch.optim.AdamW:
        """AdamW; the encoder has its own rate."""
        parts = ((self.encoder, settings.image_learning_rate), (self.head, settings.learning_rate))
        groups = [
            {"params": [p for p in part.parameters() if p.requires_grad], "peak_lr": rate} for part, rate in parts
        ]
        groups = [group for group in groups if group["params"]]
        return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)

    @torch.inference_mode()
    def score(self, store: ImageStore, store_index: np.ndarray) -> np.ndarray:
        """Class probabilities of images seen in one plain view."""
        self.eval()
        batches = [store_index[i : i + 64].tolist() for i in range(0, len(store_index), 64)]
        parts = []
        for canvas, side in decoded_batches(store, self.image_size, batches, num_workers=0):
            views = plain_views(canvas.to(self.device), side.to(self.device), self.view_format)
            parts.append(self(views).double().softmax(dim=1).cpu().numpy())
        return np.concatenate(parts)


def _train_epoch(
    classifier: _Classifier,
    optimizer: torch.optim.Optimizer,
    store: ImageStore,
    data: LabelledImages,
    weight_K: Tensor,
    settings: FineTuningParams,
    augmentation: AugmentationParams,
    place: tuple[int, int, int],
) -> None:
    epoch, steps_per_epoch, seed = place
    classifier.train()
    order = np.random.default_rng([seed, epoch]).permutation(len(data.label_N))
    batches = np.array_split(order, steps_per_epoch)
    images = decoded_batches(store, classifier.image_size, (data.store_index_N[b].tolist() for b in batches), 0)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    for number, (batch, (canvas, side)) in enumerate(zip(batches, images, strict=True)):
        factor = learning_rate_factor(epoch * steps_per_epoch + number, settings.num_epochs * steps_per_epoch, 0.1)
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        canvas, side = canvas.to(classifier.device), side.to(classifier.device)
        maps = draw_maps(len(canvas), augmentation, generator).to(classifier.device)
        views = sample_views(canvas, side, maps, classifier.view_format)
        label_B = torch.from_numpy(data.label_N[batch]).to(classifier.device)
        loss = nn.functional.cross_entropy(classifier(views), label_B, weight=weight_K)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss of fine-tuning isn't finite in epoch {epoch + 1}. Lower "
                "evaluation.fine_tuning.learning_rate or image_learning_rate."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


def _held_out(training: LabelledImages, settings: FineTuningParams, seed: int) -> np.ndarray:
    """Validation patients, stratified by class."""
    num_patients, largest_class = len(np.unique(training.patient_N)), int(np.bincount(training.label_N).max())
    if num_patients < 2 or largest_class < 2:
        raise ValueError(
            "fine-tuning needs two training patients at least, since one is held out to stop by, and a class of two "
            f"rows: {num_patients} patients, {largest_class} rows of the largest class"
        )
    num_folds = min(max(2, round(1 / settings.validation_share)), num_patients, largest_class)
    splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rare classes are spread as they can be
        _, held_out = next(splitter.split(training.label_N, training.label_N, training.patient_N))
    return np.isin(np.arange(len(training.label_N)), held_out)


def _class_weights(label_N: np.ndarray, num_classes: int, device: torch.device) -> Tensor:
    """Inverse frequency, mean 1 over rows; 0 for classes without a row."""
    counts_K = np.bincount(label_N, minlength=num_classes)
    weight_K = np.where(counts_K > 0, len(label_N) / np.maximum(counts_K, 1) / (counts_K > 0).sum(), 0)
    return torch.tensor(weight_K, dtype=torch.float32, device=device)


def _log_loss(score_NK: np.ndarray, label_N: np.ndarray, weight_K: Tensor) -> float:
    of_label = np.clip(score_NK[np.arange(len(label_N)), label_N], 1e-6, 1)
    return float(-(weight_K.cpu().numpy()[label_N] * np.log(of_label)).mean())
