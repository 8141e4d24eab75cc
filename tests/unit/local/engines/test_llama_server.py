"""The server of the wheel is called as the launcher calls `llama-server`."""

import os
from pathlib import Path

import pytest

from berth_formats.pooling import Pooling
from berth_local.engines import llama_server
from berth_runtime.engines.llamacpp import LlamaCppLaunchSettings, server_command
from berth_runtime.errors import InvalidArgumentsError, WrongFormatError
from berth_runtime.gguf import GgufFiles

ALL = LlamaCppLaunchSettings(
    files=GgufFiles(Path("/m/a.gguf"), Path("/m/mmproj.gguf")),
    port=41234,
    alias="/models/a",
    context_size=2048,
    parallel=4,
    gpu_layers=-1,
    threads=2,
    ipv6=True,
    host="127.0.0.1",
)


def test_whatever_the_launcher_says_reaches_the_engine() -> None:
    library = llama_server.load()
    params = llama_server.parameters(library, llama_server.parse(server_command(ALL)[1:]))
    assert params.model.path == "/m/a.gguf"
    assert params.mmproj.path == "/m/mmproj.gguf"
    assert params.model_alias == {"/models/a"}
    assert params.hostnames == ["127.0.0.1"]
    assert params.port == 41234
    assert (params.n_ctx, params.n_parallel) == (8192, 4)
    assert params.n_gpu_layers == llama_server.ALL_LAYERS
    assert params.cpuparams.n_threads == 2
    assert params.n_threads_http == 64
    assert (params.fit_params, params.warmup, params.cache_ram_mib) == (False, False, 0)
    assert (params.endpoint_slots, params.ui, params.offline, params.endpoint_metrics) == (False, False, True, True)
    assert params.embedding


def test_a_file_whose_name_the_engine_cannot_take_is_told() -> None:
    files = GgufFiles(Path(os.fsdecode(b"/m/caf\xe9.gguf")), None)
    call = server_command(ALL._replace(files=files))
    with pytest.raises(WrongFormatError, match=r"^/m/caf\?\.gguf has a name that is not text in UTF-8: rename it$"):
        llama_server.parameters(llama_server.load(), llama_server.parse(call[1:]))


def test_a_model_that_ranks_reads_whole_inputs() -> None:
    library = llama_server.load()
    call = server_command(ALL._replace(pooling=Pooling.RANK))
    params = llama_server.parameters(library, llama_server.parse(call[1:]))
    assert (params.n_batch, params.n_ubatch, params.pooling_type) == (2048, 2048, Pooling.RANK)
    plain = llama_server.parameters(library, llama_server.parse(server_command(ALL)[1:]))
    assert plain.n_ubatch == library.CommonParams().n_ubatch
    assert plain.pooling_type == library.CommonParams().pooling_type


def test_the_key_comes_by_the_environment_as_it_does_to_llama_server(monkeypatch: pytest.MonkeyPatch) -> None:
    library, options = llama_server.load(), llama_server.parse(["--model", "/m/a.gguf"])
    monkeypatch.delenv("LLAMA_API_KEY", raising=False)
    assert llama_server.parameters(library, options).api_keys == []
    monkeypatch.setenv("LLAMA_API_KEY", "k-123")
    assert llama_server.parameters(library, options).api_keys == ["k-123"]


def test_what_is_left_out_stays_the_engines_choice() -> None:
    library = llama_server.load()
    params = llama_server.parameters(library, llama_server.parse(["--model", "/m/a.gguf"]))
    assert params.n_gpu_layers == library.CommonParams().n_gpu_layers
    assert params.cpuparams.n_threads == library.CommonParams().cpuparams.n_threads
    assert params.fit_params
    assert params.warmup


@pytest.mark.parametrize("unknown", ["--api-key", "--temp", "--mod"])
def test_an_argument_that_it_does_not_know_is_refused_by_name(unknown: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=unknown):
        llama_server.parse(["--model", "/m/a.gguf", unknown, "1"])
