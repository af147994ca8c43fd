"""Images on their device, in order."""

import pytest
import torch

from slimp_pipeline.training.prefetch import on_device


def batches(count: int, asked: list[int]):
    for number in range(count):
        asked.append(number)
        yield torch.full((2, 3, 4, 4), number, dtype=torch.uint8), torch.tensor([4, 3])


def test_on_the_cpu_batches_are_those_given_and_none_is_taken_ahead():
    asked: list[int] = []
    given = list(batches(3, []))
    images = on_device(given, torch.device("cpu"))
    assert all(one is other for batch, (one, _) in zip(given, images, strict=True) for other in batch[:1])
    for number, _ in enumerate(on_device(batches(3, asked), torch.device("cpu"))):
        assert asked == list(range(number + 1))


def test_elsewhere_they_are_copied():
    assert [canvas.device.type for canvas, _ in on_device(batches(2, []), torch.device("meta"))] == ["meta"] * 2


class Stream:
    """A CUDA stream that notes what it is told."""

    def __init__(self, log: list, name: str) -> None:
        self.log, self.name = log, name

    def record_event(self):
        self.log.append(f"{self.name}: copied")
        return "event"

    def wait_event(self, event):
        self.log.append(f"{self.name}: waits")


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_on_cuda_the_next_batch_is_copied_before_the_last_is_computed_with(monkeypatch, count):
    """The order of what streams are told; that a device does it so is for a GPU to show."""
    log: list[str] = []
    computing = Stream(log, "computing")
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(log, "copying"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: torch.no_grad())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: None)
    monkeypatch.setattr("slimp_pipeline.training.prefetch._copied", lambda images, device: images)
    found = []
    for canvas, _ in on_device(batches(count, []), torch.device("cuda")):
        found.append(int(canvas[0, 0, 0, 0]))
        log.append(f"step {found[-1]}")
    assert found == list(range(count))
    expected = ["copying: copied"] if count else []
    for number in range(count):
        expected += ["copying: copied"] * (number + 1 < count) + ["computing: waits", f"step {number}"]
    assert log == expected
