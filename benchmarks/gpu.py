"""One GPU: our step, loop, embedding and probes, each beside the bare backbone on the same card. Run by `gpu.sh`."""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

from stand_ins import stand_in

ABSENT = stand_in()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
from torchvision.io import encode_jpeg  # noqa: E402

from cohort import cohort  # noqa: E402
from slimp_pipeline.evaluation.protocols.knn import knn_votes  # noqa: E402
from slimp_pipeline.evaluation.protocols.probe import fit_probe  # noqa: E402
from slimp_pipeline.images.decode import DecodedImages, decoded_batches, keep_freed_memory  # noqa: E402
from slimp_pipeline.images.store import SCHEMA, ImageStore  # noqa: E402
from slimp_pipeline.models.checkpoint import Checkpoint  # noqa: E402
from slimp_pipeline.models.image import build_image_encoder  # noqa: E402
from slimp_pipeline.models.pretrained import PretrainedSLIMP  # noqa: E402
from slimp_pipeline.models.slimp import SLIMP  # noqa: E402
from slimp_pipeline.parameters import (  # noqa: E402
    ImageEncoderParams,
    LossParams,
    ModelParams,
    ProbeParams,
    SamplerParams,
    TrainingParams,
)
from slimp_pipeline.training.prefetch import on_device  # noqa: E402
from slimp_pipeline.training.step import TrainingStep, build_optimizer  # noqa: E402


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        backbone: The large one.
        lesions: Of its step.
        small_backbone: A convolutional one.
        small_lesions: Of its step.
        crop_px: Side of the stored crops.
        num_images: In the store.
        workers: Numbers of input workers.
        seconds: That a row is measured for, at least.
        steps: Between two looks at the clock.
        rows, features: Of the probe.
    """

    backbone: ImageEncoderParams
    lesions: int
    small_backbone: ImageEncoderParams
    small_lesions: int
    crop_px: int
    num_images: int
    workers: tuple[int, ...]
    seconds: float
    steps: int
    rows: int
    features: int


FULL = Size(
    ImageEncoderParams(name="vit_small_patch16_224", image_size=224), 512,
    ImageEncoderParams(name="tf_efficientnet_lite0", image_size=160), 64,
    crop_px=127, num_images=8192, workers=(1, 4, 12), seconds=5, steps=5, rows=40_000, features=384,
)  # fmt: skip
TINY = {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}
SMALL = Size(
    ImageEncoderParams(name="vit_tiny_patch16_224", image_size=16, arguments=TINY), 16,
    ImageEncoderParams(name="test_efficientnet", image_size=32), 16,
    crop_px=24, num_images=64, workers=(0,), seconds=0, steps=1, rows=200, features=8,
)  # fmt: skip
BUDGET_S = 330


class Bench:
    """Measures rows on a device, prints them, and ends in time."""

    def __init__(self, device: torch.device, size: Size, store: ImageStore) -> None:
        self.device, self.size, self.store = device, size, store
        self.data, self.encoding = cohort(len(store))
        self.started = time.perf_counter()
        self.on_cuda = device.type == "cuda"

    def rate(self, step: Callable[[], int]) -> float:
        """Images a second of a step that returns how many it took; what it needs once isn't counted."""
        for _ in range(self.size.steps):
            step()
        self.wait()
        started, count = time.perf_counter(), 0
        while not count or time.perf_counter() - started < self.size.seconds:
            for _ in range(self.size.steps):  # that this process is ahead of the device
                count += step()
            self.wait()
        return count / (time.perf_counter() - started)

    def wait(self) -> None:
        if self.on_cuda:
            torch.cuda.synchronize()

    def row(self, name: str, measure: Callable[[], float], against: float | None = None) -> float | None:
        """Print a row: what it gives, its share of what it is measured against, peak memory."""
        if time.perf_counter() - self.started > BUDGET_S:
            print(f"{name:<62}not measured: out of time", flush=True)
            return None
        if self.on_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            value = measure()
        except Exception as error:  # one row less; the others are measured
            print(f"{name:<62}failed: {type(error).__name__}: {str(error).partition(chr(10))[0][:120]}", flush=True)
            return None
        share = f"{value / against:8.2f}" if against else " " * 8
        memory = f"{torch.cuda.max_memory_allocated() / 1e9:9.1f}" if self.on_cuda else " " * 9
        print(f"{name:<62}{value:10,.1f}{share}{memory}", flush=True)
        return value

    def bare(self, backbone: ImageEncoderParams, lesions: int, *, compiled: bool) -> float:
        """The backbone alone: forward, backward and fused AdamW on ready tensors."""
        encoder = self.encoder(backbone).train()
        optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-4, fused=self.on_cuda, foreach=not self.on_cuda)
        views = self.ready_views(backbone, lesions)
        if compiled:
            encoder.compile()

        def step() -> int:
            optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                loss = encoder(views).float().square().mean()
            loss.backward()
            optimizer.step()
            return lesions

        try:
            return self.rate(step)
        finally:
            torch._dynamo.reset()  # ours is compiled for any number of images: it may not take this over

    def ours(self, backbone: ImageEncoderParams, lesions: int, *, compiled: bool) -> float:
        """Our step on canvases that lie on the device."""
        step, rows = self.training_step(backbone, lesions, compiled=compiled), np.arange(lesions)
        images = DecodedImages(self.store, backbone.image_size).__getitems__(rows.tolist())
        canvas, side = (values.to(self.device) for values in images)
        numbers = iter(range(1_000_000))

        def take() -> int:
            step(next(numbers), rows, canvas, side)
            return lesions

        return self.rate(take)

    def loop(self, backbone: ImageEncoderParams, lesions: int, workers: int, *, compiled: bool) -> float:
        """Our step from stored bytes, decoded by input workers and copied ahead."""
        step = self.training_step(backbone, lesions, compiled=compiled)
        rows = [np.arange(at, at + lesions) for at in range(0, len(self.store) - lesions + 1, lesions)]
        drawn, read = (chain.from_iterable(repeat(rows)) for _ in range(2))
        batches = (batch.tolist() for batch in read)
        images = decoded_batches(self.store, backbone.image_size, batches, workers, pin_memory=self.on_cuda)
        steps = zip(range(1_000_000), drawn, on_device(images, self.device), strict=False)

        def take() -> int:
            number, batch, (canvas, side) = next(steps)
            step(number, batch, canvas, side)
            return lesions

        return self.rate(take)

    def host_waits(self, backbone: ImageEncoderParams, lesions: int) -> float:
        """How many operations of a step wait for the device."""
        step, rows = self.training_step(backbone, lesions, compiled=False), np.arange(lesions)
        images = DecodedImages(self.store, backbone.image_size).__getitems__(rows.tolist())
        canvas, side = (values.to(self.device) for values in images)
        step(0, rows, canvas, side)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                step(1, rows, canvas, side)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits = [warning for warning in caught if "synchroniz" in str(warning.message)]
        for warning in waits:
            print(f"  waits: {warning.filename}:{warning.lineno}", flush=True)
        return float(len(waits))

    def embedding(self, backbone: ImageEncoderParams, lesions: int, workers: int | None) -> float:
        """Our embedding, from canvases on the host or from stored bytes."""
        settings = ModelParams(image_encoder=backbone)
        state = SLIMP(settings, LossParams(), self.encoding).state_dict()
        encoder = PretrainedSLIMP(Checkpoint(state, settings, LossParams(), self.encoding), self.device, lesions)
        rows = [list(range(at, at + lesions)) for at in range(0, len(self.store) - lesions + 1, lesions)]
        ready = repeat(DecodedImages(self.store, backbone.image_size).__getitems__(rows[0]))
        batches = chain.from_iterable(repeat(rows))
        images = iter(ready if workers is None else decoded_batches(self.store, backbone.image_size, batches, workers))

        def embed() -> int:
            return len(encoder.encode_canvases(*next(images)))

        return self.rate(embed)

    def bare_forward(self, backbone: ImageEncoderParams, lesions: int) -> float:
        encoder, views = self.encoder(backbone).eval(), self.ready_views(backbone, lesions)

        @torch.inference_mode()
        def embed() -> int:
            with self.autocast():
                return len(encoder(views).float().cpu())

        return self.rate(embed)

    def probe(self, device: torch.device) -> float:
        """Rows a second of a linear probe with its inner folds and strengths."""
        features, labels, patients = self.rows()
        return self.rows_a_second(lambda: fit_probe(features, labels, patients, 4, ProbeParams(), 0, device))

    def knn(self, device: torch.device) -> float:
        features, labels, _ = self.rows()
        train = np.arange(len(labels)) % 2 == 0
        return self.rows_a_second(
            lambda: knn_votes(features[train], labels[train], features[~train], 4, 11, device=device)
        )

    def rows_a_second(self, work: Callable[[], object]) -> float:
        work()
        started = time.perf_counter()
        work()
        return self.size.rows / (time.perf_counter() - started)

    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng, count = np.random.default_rng(0), self.size.rows
        labels = rng.integers(0, 4, count)
        features = rng.normal(size=(count, self.size.features)) + labels[:, None] * 0.1
        return features.astype(np.float32), labels, np.arange(count) // 4

    def training_step(self, backbone: ImageEncoderParams, lesions: int, *, compiled: bool) -> TrainingStep:
        sampler = SamplerParams(patients_per_batch=lesions // 8, lesions_per_patient=8)
        settings = TrainingParams(device=self.device.type, compile=compiled, sampler=sampler)
        torch.manual_seed(0)
        model = SLIMP(ModelParams(image_encoder=backbone), LossParams(), self.encoding).to(self.device)
        optimizer = build_optimizer(model, settings)
        data = self.data.to(self.device)
        return TrainingStep(model, optimizer, data, settings, backbone.image_size, self.device, 1_000_000)

    def encoder(self, backbone: ImageEncoderParams) -> torch.nn.Module:
        return build_image_encoder(backbone).to(self.device)

    def ready_views(self, backbone: ImageEncoderParams, lesions: int) -> torch.Tensor:
        dtype = torch.bfloat16 if self.on_cuda else torch.float32
        views = torch.randn(lesions, 3, backbone.image_size, backbone.image_size, device=self.device, dtype=dtype)
        convolutional = not backbone.name.startswith("vit")
        return views.contiguous(memory_format=torch.channels_last) if convolutional else views

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.on_cuda)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--small", action="store_true", help="tiny networks: to see that every row runs")
    arguments = parser.parse_args()
    device, size = torch.device(arguments.device), SMALL if arguments.small else FULL
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; try --device cpu --small")
    keep_freed_memory()
    named = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{named}, torch {torch.__version__}, timm {timm.__version__}")
    print(f"not installed, and done without: {', '.join(ABSENT) or 'nothing'}")
    print(f"{'':<62}{'per s':>10}{'share':>8}{'peak GB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        measure(Bench(device, size, crops(Path(folder), size)))


def measure(bench: Bench) -> None:
    size, compiles = bench.size, (False, True) if bench.on_cuda else (False,)
    large, lesions = size.backbone, size.lesions
    best = None
    for compiled in compiles:
        how = "compiled" if compiled else "eager"
        name = f"{large.name} at {large.image_size} px, {lesions} lesions, {how}"
        bare = bench.row(f"{name}: bare", lambda c=compiled: bench.bare(large, lesions, compiled=c))
        bench.row(f"{name}: step", lambda c=compiled: bench.ours(large, lesions, compiled=c), bare)
        best = bare or best
    for workers in size.workers:
        name = f"  whole loop, {workers} input workers"
        bench.row(name, lambda w=workers: bench.loop(large, lesions, w, compiled=compiles[-1]), best)
    small, few, workers = size.small_backbone, size.small_lesions, size.workers[-1]
    name = f"{small.name} at {small.image_size} px, {few} lesions, eager"
    bare = bench.row(f"{name}: bare", lambda: bench.bare(small, few, compiled=False))
    bench.row(f"{name}: step", lambda: bench.ours(small, few, compiled=False), bare)
    name = f"  whole loop, {workers} input workers"
    bench.row(name, lambda: bench.loop(small, few, workers, compiled=False), bare)
    name = f"embedding, {large.name} at {large.image_size} px"
    forward = bench.row(f"{name}: bare forward pass", lambda: bench.bare_forward(large, lesions))
    bench.row(f"{name}: from canvases", lambda: bench.embedding(large, lesions, None), forward)
    bench.row(f"  from bytes, {workers} input workers", lambda: bench.embedding(large, lesions, workers), forward)
    for name, work in (("linear probe", bench.probe), ("k-NN", bench.knn)):
        title = f"{name}, {size.rows:,} rows of {size.features} numbers"
        there = bench.row(f"{title}: on the CPU", lambda w=work: w(torch.device("cpu")))
        if bench.on_cuda:
            bench.row(f"{title}: on the GPU", lambda w=work: w(bench.device), there)
    if bench.on_cuda:
        bench.row("operations of a step that wait for the GPU", lambda: bench.host_waits(large, lesions))
    print(f"{time.perf_counter() - bench.started:.0f} s in all")


def crops(folder: Path, size: Size) -> ImageStore:
    """A store of smooth random crops as JPEG, each of a few kilobytes as SLICE-3D's."""
    generator, path = torch.Generator().manual_seed(0), folder / "crops.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for start in range(0, size.num_images, 512):
            coarse = torch.rand(min(512, size.num_images - start), 3, 12, 12, generator=generator) * 255
            smooth = torch.nn.functional.interpolate(coarse, size=size.crop_px, mode="bicubic").clamp(0, 255)
            encoded = [encode_jpeg(image, quality=90).numpy().tobytes() for image in smooth.to(torch.uint8)]
            rows = [{"image_id": f"i{start + at}", "encoded": image} for at, image in enumerate(encoded)]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    return ImageStore(path)


if __name__ == "__main__":
    main()
