"""The image encoder compiled in place: the same model, and none the worse where it can't be compiled."""

import shutil
from functools import partialmethod

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.testing import CompileCounterWithBackend

from slimp_pipeline.models.ranks import ALONE, Ranks
from slimp_pipeline.parameters import AdaptationParams
from slimp_pipeline.training.adapt import select_trained
from slimp_pipeline.training.compilation import compile_encoder, is_compiled
from slimp_pipeline.training.loop import Task, train

NOT_COMPILED = "The image encoder isn't compiled, and trains as it is, more slowly: "


@pytest.fixture
def use_backend(monkeypatch):
    """Let modules be compiled by a given backend."""
    plain = nn.Module.compile
    torch._dynamo.reset()
    yield lambda backend: monkeypatch.setattr(nn.Module, "compile", partialmethod(plain, backend=backend))
    torch._dynamo.reset()


def trained(tiny, model, settings, size=16):
    task = Task(model, tiny.store, tiny.data(0, 7), tiny.data(8, 11), settings, size, None, "tiny")
    return train(task, lambda *_: None)


def assert_same_run(one, other) -> None:
    (weights, course), (other_weights, other_course) = one, other
    assert weights.keys() == other_weights.keys()
    assert all(torch.equal(value, other_weights[name]) for name, value in weights.items())
    assert course.history.values == other_course.history.values


@pytest.mark.parametrize("on", [True, False])
def test_auto_compiles_on_cuda_alone_and_the_setting_decides(make_settings, on):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [is_compiled(make_settings(), device) for device in (cpu, cuda)] == [False, True]
    assert [is_compiled(make_settings(compile=on), device) for device in (cpu, cuda)] == [on, on]


@pytest.mark.parametrize("changes", [{}, {"images_per_pass": 4}])
def test_a_compiled_run_is_the_same_and_batches_of_all_sizes_are_compiled_once(
    tiny, make_model, make_settings, use_backend, changes, caplog
):
    settings = make_settings(num_epochs=4, **changes)
    plain = trained(tiny, make_model(settings), settings)
    counter = CompileCounterWithBackend("aot_eager")  # traces and derives; computes what the plain encoder computes
    use_backend(counter)
    settings = settings.model_copy(update={"compile": True})
    assert_same_run(plain, trained(tiny, make_model(settings), settings))
    sizes = {entry.value for entry in plain[1].history.values if entry.name == "loss"}
    assert len(sizes) > 3 and counter.frame_count == 1
    assert NOT_COMPILED not in caplog.text


@pytest.mark.parametrize("trains", ["last_blocks", "lora"])
def test_what_adaptation_trains_can_be_compiled(tiny, make_model, make_settings, use_backend, trains, caplog):
    settings = make_settings(num_epochs=1)

    def model():
        made = make_model(settings)
        select_trained(made, AdaptationParams(trained=trains, lora_rank=2))
        return made

    plain = trained(tiny, model(), settings)
    use_backend("aot_eager")
    compiled = trained(tiny, model(), settings.model_copy(update={"compile": True}))
    for name, value in plain[0].items():
        torch.testing.assert_close(compiled[0][name], value, rtol=1e-4, atol=1e-6)
    assert NOT_COMPILED not in caplog.text


def no_compiler(graph, inputs):
    raise RuntimeError("no compiler is installed\nand more")


BACKENDS = {
    "forward": no_compiler,
    "backward": aot_autograd(fw_compiler=lambda graph, _: make_boxed_func(graph.forward), bw_compiler=no_compiler),
}


@pytest.mark.parametrize("fails", list(BACKENDS))
def test_what_cannot_be_compiled_trains_as_it_is_from_the_first_step_on(
    tiny, make_model, make_settings, use_backend, fails, caplog
):
    backbone = {"name": "test_efficientnet", "arguments": {"drop_rate": 0.2}}  # statistics and dropout
    settings = make_settings(num_epochs=1)

    def model():
        return make_model(settings, image_size=32, **backbone)

    plain = trained(tiny, model(), settings, 32)
    use_backend(BACKENDS[fails])
    assert_same_run(plain, trained(tiny, model(), settings.model_copy(update={"compile": True}), 32))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    (warning,) = [text for text in warnings if text.startswith(NOT_COMPILED)]
    assert "no compiler is installed" in warning and "\n" not in warning
    assert "Set training.compile to false" in warning


class Several(Ranks):
    """Two processes, of which the other couldn't compile."""

    def sum(self, values):
        return values + 1


def test_where_another_process_cannot_compile_this_one_does_not(make_settings, use_backend, caplog):
    use_backend("aot_eager")
    encoder, views = nn.Linear(3, 2), torch.ones(4, 3)
    compile_encoder(encoder, views, make_settings(), Several(0, 2))
    assert encoder._compiled_call_impl is None
    assert NOT_COMPILED + "another of the processes can't" in caplog.text
    compile_encoder(encoder, views, make_settings(), ALONE)
    assert encoder._compiled_call_impl is not None


def test_memory_that_is_short_is_no_fault_of_the_compiler(make_settings, use_backend):
    class Large(nn.Module):
        def forward(self, views):
            raise torch.OutOfMemoryError("CUDA out of memory")

    use_backend("eager")
    with pytest.raises(torch.OutOfMemoryError):
        compile_encoder(Large(), torch.ones(2, 3), make_settings(), ALONE)


@pytest.fixture
def inductor(monkeypatch, tmp_path):
    """The real compiler, with nothing kept from before."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)
    monkeypatch.setattr("torch._inductor.config.cpp.simdlen", 1)  # compile one kernel, and nothing else beforehand
    monkeypatch.setattr("torch._inductor.config.cpp.vec_isa_ok", True)
    monkeypatch.setattr("torch._inductor.config.cpp_cache_precompile_headers", False)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_the_real_compiler_compiles(make_settings, inductor, caplog):
    if not shutil.which("g++"):
        pytest.skip("there is no g++, which compiles for the CPU")
    encoder, views = nn.GELU(), torch.randn(5, 3)
    plain = encoder(views)
    compile_encoder(encoder, views, make_settings(), ALONE)
    assert NOT_COMPILED not in caplog.text
    assert encoder._compiled_call_impl is not None
    torch.testing.assert_close(encoder(views), plain)


def test_the_real_compiler_without_one_for_cpp_is_done_without(make_settings, inductor, monkeypatch, caplog):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/nowhere/g++",))
    encoder, views = nn.Sequential(nn.Linear(3, 4), nn.GELU()), torch.randn(5, 3)
    plain = encoder(views)
    compile_encoder(encoder, views, make_settings(), ALONE)
    assert NOT_COMPILED in caplog.text and "Compiler" in caplog.text
    assert torch.equal(encoder(views), plain)
