"""Decoded images copied to the device while it computes the step before."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

Images = tuple[Tensor, Tensor]


def on_device(batches: Iterable[Images], device: torch.device) -> Iterator[Images]:
    """Yield canvases and sides on a device, in order.

    On CUDA the next batch is copied on a stream of its own while the last one is being computed with, which takes
    pinned memory and a second batch of uint8 canvases on the device. Elsewhere a batch is copied when it is asked for;
    on the CPU there is nothing to do.
    """
    if device.type != "cuda":
        return (_copied(batch, device) for batch in batches)
    return _ahead(batches, device)


def _ahead(batches: Iterable[Images], device: torch.device) -> Iterator[Images]:
    copying = torch.cuda.Stream(device)

    def start(batch: Images) -> tuple[Images, torch.cuda.Event]:
        with torch.cuda.stream(copying):
            return _copied(batch, device), copying.record_event()

    def finish(images: Images, copied: torch.cuda.Event) -> Images:
        computing = torch.cuda.current_stream(device)
        computing.wait_event(copied)  # the device waits, not this process
        for values in images:
            values.record_stream(computing)  # its memory isn't used anew, by a copy, before the step has read it
        return images

    under_way = None
    for batch in batches:
        before, under_way = under_way, start(batch)
        if before:
            yield finish(*before)
    if under_way:
        yield finish(*under_way)


def _copied(images: Images, device: torch.device) -> Images:
    canvas_B3SS, side_px_B = images
    return canvas_B3SS.to(device, non_blocking=True), side_px_B.to(device, non_blocking=True)
