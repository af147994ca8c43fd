"""A batch that is too large for a GPU's memory: what fits is found, and told."""

import weakref

import pytest
import torch

from slimp_pipeline.parameters import LossParams
from slimp_pipeline.training.loop import Task, train


@pytest.fixture
def train_with(tiny, make_model, make_settings):
    """Train where only so many pictures at once fit into the memory; returns how many at once were tried."""

    def start(room, **changes):
        settings, tried, held = make_settings(num_epochs=1, **changes), [], []
        model = make_model(settings)

        def encode(_, arguments, embedded):
            assert all(part() is None for part in held)  # what the last try left is gone
            tried.append(len(arguments[0]))
            if len(arguments[0]) > room:
                filling = torch.ones(3)
                held[:] = [weakref.ref(filling), weakref.ref(embedded)]
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        model.image_encoder.register_forward_hook(encode)
        train(Task(model, tiny.store, tiny.data(), None, settings, 16, None, "train"), lambda *_: None)
        return tried

    return start


@pytest.mark.parametrize(("objective", "num_views"), [("slimp", 1), ("simclr", 2)])
def test_the_error_says_which_pass_fits_and_that_pass_fits(train_with, objective, num_views):
    loss = LossParams(objective=objective)
    with pytest.raises(
        ValueError, match=r"pictures of 16 px at once don't fit .* (\d) do\. Set training\.images_per_p"
    ) as caught:
        train_with(3, loss=loss)
    tried = int(str(caught.value).split(" pictures")[0])
    fits = int(str(caught.value).split("images_per_pass=")[1].split(":")[0])
    assert tried > 3 and tried % num_views == 0 and fits in (2, 3)
    assert caught.value.__context__ is None
    assert max(train_with(3, loss=loss, images_per_pass=fits)) <= 3


def test_a_smaller_batch_is_named_where_it_would_be_of_patients_enough(train_with):
    with pytest.raises(ValueError, match=r"or a batch of 2 patients \(training\.sampler\.patients_per_batch\)"):
        train_with(6)


def test_where_not_even_one_picture_fits_a_smaller_model_is_asked_for(train_with):
    with pytest.raises(ValueError, match=r"nor does one\. Take a smaller model\.image_encoder"):
        train_with(0)
