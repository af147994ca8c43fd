"""The encoders as ONNX models, each checked against the original."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.tables.encoding import LevelEncoding

IMAGE, PICTURE = "image_encoder.onnx", "picture_encoder.onnx"  # of pixels, and of fields of pictures
LESION, PATIENT = "lesion_encoder.onnx", "patient_encoder.onnx"
ONNX_FILES = {IMAGE, PICTURE, LESION, PATIENT}
TOLERANCE = 1e-4  # of the largest number of an embedding
# Rows of the example that a model is exported with, then of others that it is checked with. The exporter takes a number
# of rows that a level has fields, too, for that: no level has 251.
_PICTURES, _ROWS = (2, 1, 3), (251, 1, 3)
_FIELDS = ("numeric", "categorical", "checkbox", "checkbox_known")


class _Normalised(nn.Module):
    """RGB in [0, 1] -> embedding."""

    def __init__(self, encoder: PretrainedSLIMP) -> None:
        super().__init__()
        self.encoder = encoder.model.image_encoder
        self.register_buffer("mean_311", encoder.model.image_mean.view(3, 1, 1).clone())
        self.register_buffer("std_311", encoder.model.image_std.view(3, 1, 1).clone())

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder((image - self.mean_311) / self.std_311)  # type: ignore[operator]


class _OfFields(nn.Module):
    """Encoded fields, those of them that the level has -> embedding."""

    def __init__(self, encoder: nn.Module, template: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.encoder, self.template = encoder, dict(template)
        self.given = [name for name in _FIELDS if template[name].shape[1]]

    def forward(self, *values: Tensor) -> Tensor:
        fields = dict(zip(self.given, values, strict=True))
        absent = {
            name: empty[:1].new_zeros(0).expand(values[0].shape[0], 0)
            for name, empty in self.template.items()
            if name not in fields
        }
        embedding: Tensor = self.encoder({**fields, **absent})
        return embedding


def export_onnx(encoder: PretrainedSLIMP, opset: int) -> dict[str, bytes]:
    """Export the image encoder, and the metadata encoders of levels that have fields; any number of rows goes in.

    Args:
        encoder: On the CPU.
        opset: Version of ONNX's operators.

    Returns:
        Name of the file -> its bytes. The image encoder takes `image`, float32 (N, 3, H, H), RGB in [0, 1], of the
        size of `config.json`, and normalises it itself; the others what `tables.encoding.encode` gives: `numeric`,
        `categorical`, `checkbox`, `checkbox_known`, as far as the level has such fields. All give `embeddings`, (N, D).

    Raises:
        ModuleNotFoundError: If the extra `onnx` isn't installed.
        ValueError: If a model can't be exported, or gives other embeddings than the original.
    """
    side, generator = encoder.checkpoint.model.image_encoder.image_size, torch.Generator().manual_seed(0)
    pictures = {n: (torch.rand(n, 3, side, side, generator=generator),) for n in _PICTURES}
    made = {IMAGE: _export(IMAGE, _Normalised(encoder), ["image"], pictures, opset)}
    encoding = encoder.checkpoint.encoding
    levels = {
        PICTURE: (encoder.model.picture_encoder, encoding.image),
        LESION: (encoder.model.lesion_encoder, encoding.lesion),
        PATIENT: (encoder.model.patient_encoder, encoding.patient),
    }
    for name, (network, level) in levels.items():
        if network is not None and level.fields:
            rows = {n: _some_fields(level, n, generator) for n in _ROWS}
            module = _OfFields(network, rows[1])
            given = {n: tuple(fields[name] for name in module.given) for n, fields in rows.items()}
            made[name] = _export(name, module, module.given, given, opset)
    return made


def _export(
    name: str, module: nn.Module, inputs: list[str], examples: Mapping[int, tuple[Tensor, ...]], opset: int
) -> bytes:
    module = module.eval().to(memory_format=torch.contiguous_format)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.inference_mode(mode=False), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                next(iter(examples.values())),
                dynamo=True,
                opset_version=opset,
                input_names=inputs,
                output_names=["embeddings"],
                dynamic_shapes=_dynamic(module, inputs),
                verbose=False,
            )
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"ONNX models need {error.name}: install the extra (`pip install 'slimp-pipeline[onnx]'`), or set "
            "export.onnx to false."
        ) from error
    except Exception as error:  # whatever torch's exporter raises for an operator that it doesn't know
        raise ValueError(
            f"{name} can't be exported: {str(error).splitlines()[0]}. Set export.onnx to false."
        ) from error
    finally:
        logger.setLevel(level)
    exported: bytes = _without_origin(program.model_proto).SerializeToString()  # type: ignore[union-attr]
    _check_equal(name, module, exported, inputs, examples)
    return exported


def _without_origin(part: Any) -> Any:
    """A message of ONNX without what the exporter noted of where it came from: lines of code, paths of this machine."""
    for field in part.DESCRIPTOR.fields:
        if field.name in ("metadata_props", "doc_string"):
            part.ClearField(field.name)
        elif field.message_type:
            value = getattr(part, field.name)
            for inner in value if field.is_repeated else [value] if part.HasField(field.name) else []:
                _without_origin(inner)
    return part


def _dynamic(module: nn.Module, inputs: list[str]) -> Any:
    rows = torch.export.Dim("rows", min=1)
    shapes = tuple({0: rows} for _ in inputs)
    return (shapes,) if isinstance(module, _OfFields) else shapes


def _check_equal(
    name: str, module: nn.Module, exported: bytes, inputs: list[str], examples: Mapping[int, tuple[Tensor, ...]]
) -> None:
    import onnxruntime  # an extra

    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    for values in examples.values():
        with torch.no_grad():
            expected = module(*values).numpy()
        given = {input_: value.numpy() for input_, value in zip(inputs, values, strict=True)}
        (found,) = session.run(["embeddings"], given)
        apart = np.abs(found - expected).max()
        if not apart <= TOLERANCE * max(np.abs(expected).max(), 1e-12):
            raise ValueError(
                f"{name} gives other embeddings than the encoder itself, apart by up to {apart:.2g}: it isn't written. "
                "Try another export.opset, or set export.onnx to false."
            )


def _some_fields(level: LevelEncoding, num_rows: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Encoded fields as they may come: some known, some not, the first row all known."""
    numeric = torch.randn(num_rows, len(level.names("numeric")), generator=generator)
    numeric[1:][torch.rand(numeric[1:].shape, generator=generator) < 0.3] = float("nan")
    sizes = [len(level.fields[name].categories) + 2 for name in level.names("categorical")]  # type: ignore[union-attr]
    categorical = [torch.randint(0, size, (num_rows,), generator=generator) for size in sizes]
    boxes = [len(level.fields[name].options) for name in level.names("checkbox")]  # type: ignore[union-attr]
    known = torch.rand(num_rows, len(boxes), generator=generator) < 0.7
    return {
        "numeric": numeric,
        "categorical": torch.stack(categorical, dim=1) if sizes else torch.empty(num_rows, 0, dtype=torch.long),
        "checkbox": (torch.rand(num_rows, sum(boxes), generator=generator) < 0.5).float(),
        "checkbox_known": known,
    }


def write_onnx(models: Mapping[str, bytes], folder: Path) -> None:
    """Write them into a folder."""
    for name, model in models.items():
        (folder / name).write_bytes(model)
