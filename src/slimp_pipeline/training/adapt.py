"""Continual pre-training on a target cohort: which parts train, and the training of each partition."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.image import stages
from slimp_pipeline.models.lora import add_lora, merge_lora
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.models.weights import load_weights
from slimp_pipeline.parameters import AdaptationParams, Objective, TrainingParams
from slimp_pipeline.tables.encoding import Encoding
from slimp_pipeline.tables.levels import LEVELS
from slimp_pipeline.training.pretrain import Cohort, contrasted_levels, train_partition

logger = logging.getLogger(__name__)
_ENCODERS = ("picture_encoder", "lesion_encoder", "patient_encoder")
_TOKENIZERS = tuple(f"{encoder}.tokenizer." for encoder in _ENCODERS)
_OF_THE_FIELDS = (*_TOKENIZERS, "reconstructions.")  # shaped by the source's fields: new for the target
_OF_THE_LEVELS = ("picture_encoder.", "pooling.", "objective.")  # another number of levels asks for others
_EMBEDDINGS = (*_OF_THE_FIELDS, *(f"{encoder}.nothing_known" for encoder in _ENCODERS), "objective.")


def adapt_partitions(
    cohort: Cohort,
    store: ImageStore,
    adaptation_rows: pd.DataFrame,
    source: Checkpoint,
    adaptation: AdaptationParams,
    training: TrainingParams,
    running_root: str | Path | None,
    report: Callable[[str, int, dict[str, float]], None],
) -> tuple[dict[str, Checkpoint], pd.DataFrame]:
    """Go on with pre-training on the target's training patients, once per partition.

    Args:
        cohort: The target cohort, with an encoding per partition.
        store: Its image store.
        adaptation_rows: partition, image_id, patient_id of the target's training rows.
        source: The pre-trained encoder that every partition starts from.
        adaptation: What trains, and for how long.
        training: The pre-training's settings, for all that `adaptation` doesn't name; the loss is the source's.
        running_root: Folder or address of running checkpoints; None keeps none.
        report: Called with (partition, step, values) as the runs go.

    Returns:
        Checkpoints by partition; and the history: partition, step, epoch, name, value.

    Source:
        SLIMP, arXiv:2505.23709: embedding layers train, attention layers are frozen.
    """
    chosen = adaptation.model_dump(include={"num_epochs", "learning_rate", "image_learning_rate"})
    chosen |= {"num_steps": None, "loss": source.loss}  # the heads are the source's
    chosen["sampler"] = training.sampler.of_one_cohort  # the source may be several, the target is one
    settings = training.model_copy(update=chosen)
    facts = {"adapted_to": cohort.name, "adaptation": adaptation.model_dump(mode="json"), "source": source.facts}
    checkpoints, histories = {}, []
    for position, (name, rows) in enumerate(adaptation_rows.groupby("partition", sort=False)):
        torch.manual_seed(settings.seed)
        model = start_from(source, cohort.encodings[str(name)])
        select_trained(model, adaptation, begins_anew(source, cohort.encodings[str(name)]))
        if position == 0:
            _say_what_differs(source, cohort, cohort.encodings[str(name)])
            logger.info(describe_trained(model))
        checkpoint, history = train_partition(
            cohort,
            store,
            str(name),
            rows,
            model,
            source.model,
            settings,
            running_root,
            partial(report, f"adapted_{name}"),
            label="Adapting to",
        )
        checkpoints[str(name)] = Checkpoint(
            merge_lora(model, checkpoint.state),
            checkpoint.model,
            checkpoint.loss,
            checkpoint.encoding,
            checkpoint.facts | facts,
        )
        histories.append(history)
    return checkpoints, pd.concat(histories, ignore_index=True)


def why_not_adapted(
    adaptation: AdaptationParams, objective: Objective, *, same_cohort: bool, levels: set[str]
) -> str | None:
    """Say why a target isn't adapted to; None where it is.

    Args:
        adaptation: What would train.
        objective: That the encoder was pre-trained with.
        same_cohort: Whether the target is the source, or among its cohorts.
        levels: Levels that the target has fields of.
    """
    if adaptation.trained == "none":
        return "adaptation.trained is none"
    if same_cohort:
        return "pre-training saw its training patients"
    needed = contrasted_levels(objective, LEVELS if "image" in levels else LEVELS[1:])
    if needed and not levels & set(needed):
        return f"it has no fields of the level {' or '.join(needed)}, with which '{objective}' contrasts images"
    return None


def start_from(source: Checkpoint, encoding: Encoding) -> SLIMP:
    """Build the pre-trained model with new tokenizers for the target's fields, all else as it was trained.

    Where the target has another number of levels, what `begins_anew` is new as well.
    """
    model = SLIMP(source.model, source.loss, encoding, load_weights=False)
    new = (*_OF_THE_FIELDS, *begins_anew(source, encoding))
    kept = {name: value for name, value in source.state.items() if not name.startswith(new)}
    load_weights(model, model.state_dict() | kept)
    return model


def begins_anew(source: Checkpoint, encoding: Encoding) -> tuple[str, ...]:
    """How the names of weights begin that the source can't give, since it has another number of levels."""
    return _OF_THE_LEVELS if source.encoding.has_three_levels != encoding.has_three_levels else ()


def _say_what_differs(source: Checkpoint, cohort: Cohort, encoding: Encoding) -> None:
    if begins_anew(source, encoding):
        pictures = "the encoder of pictures' metadata, " if encoding.has_three_levels else ""
        logger.info(
            "The encoder was trained with %d levels, and %s has %d: %sprojections and a learnt pooling begin anew",
            len(source.encoding.levels),
            cohort.name,
            len(encoding.levels),
            pictures,
        )
    if source.loss.nuisance_weight and not encoding.nuisance.fields:
        logger.info("%s has no nuisance fields: none are suppressed", cohort.name)


def select_trained(model: SLIMP, adaptation: AdaptationParams, anew: tuple[str, ...] = ()) -> None:
    """Set which parameters train.

    The target's tokenizers, projections and temperatures always do. Beside them: with `embeddings` the image
    encoder's embedding (patches and positions, or the stem), with `last_blocks` its last N stages, with `lora` a
    low-rank update of each of its layers. Attention layers and a learnt pooling stay as they are. With `all`
    everything trains, stages that pre-training froze too.

    Args:
        model: As `start_from` builds it.
        adaptation: What trains.
        anew: As `begins_anew` gives it: these train, too.

    Raises:
        ValueError: If the image encoder has fewer stages than `num_blocks`.
    """
    if adaptation.trained == "all":
        model.requires_grad_(True)
        return
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith((*_EMBEDDINGS, *anew)))
    layers = stages(model.image_encoder)
    if adaptation.trained == "embeddings":
        _train(model.image_encoder, layers[0])
    elif adaptation.trained == "last_blocks":
        if adaptation.num_blocks > len(layers):
            raise ValueError(f"adaptation.num_blocks {adaptation.num_blocks}: the backbone has {len(layers)} stages")
        for layer in layers[-adaptation.num_blocks :]:
            _train(model.image_encoder, layer)
    elif adaptation.trained == "lora":
        add_lora(model.image_encoder, adaptation.lora_rank)


def describe_trained(model: SLIMP) -> str:
    """Say in one line per part how many of its parameters train."""
    lines = ["Adaptation trains:"]
    for part, module in model.named_children():
        total = sum(parameter.numel() for parameter in module.parameters())
        trained = [(name, p.numel()) for name, p in module.named_parameters() if p.requires_grad]
        if total:
            count = sum(size for _, size in trained)
            groups = list(dict.fromkeys(name.split(".")[0] for name, _ in trained))
            named = f" ({', '.join(groups[:6])}{', …' if len(groups) > 6 else ''})" if 0 < count < total else ""
            lines.append(f"  {part:<16} {count:>10,} of {total:>10,} parameters{named}")
    return "\n".join(lines)


def _train(encoder: nn.Module, names: list[str]) -> None:
    parameters = dict(encoder.named_parameters())
    for name in names:
        if name in parameters:
            parameters[name].requires_grad_(True)
