"""llama.cpp: GGUF models, by its `llama-server`.

The flags are those of the version that `runtime-image/llamacpp/source.txt` pins (its `common/arg.cpp`).
"""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from berth_formats.describe import describe
from berth_formats.errors import FormatError
from berth_formats.gguf_model import GgufOpening, opening_of
from berth_formats.memory import LEAST_AUTO_CONTEXT, context_sizes, llamacpp_bytes
from berth_formats.pooling import Pooling, needs_whole_inputs
from berth_runtime.container import every_address, has_ipv6, machine_memory, usable_memory, usable_processors
from berth_runtime.engines.engine import EngineProgram, at_least
from berth_runtime.gguf import GgufFiles, find_gguf

PROGRAM = "llama-server"

# Each open connection occupies a thread. The server adds threads when none is idle, but a burst can queue two requests
# on one idle thread. With this many threads a health check does not wait behind a stream.
HTTP_THREADS = 64

_SHARE_WITHOUT_LIMIT = 0.5
"""The share of the machine's memory that counts for a container without a limit: others have none either."""

_STRETCHING = ("--rope-", "--yarn-", "--override-kv")
"""The server's arguments that make a model's context longer than it was made for, or say that it was made for more."""

_GPU_LIBRARIES = {"libggml-cuda.so": "CUDA", "libggml-hip.so": "ROCm", "libggml-vulkan.so": "Vulkan"}
"""Libraries beside the server, and the name that it then gives its GPUs, before a number."""


class LlamaCppLaunchSettings(NamedTuple):
    """All that the command line depends on: what was asked for, and what the machine has."""

    files: GgufFiles
    port: int
    alias: str
    context_size: int
    """Tokens that one request may use, prompt and answer together."""
    parallel: int
    """Requests that are answered at once; each has a context of its own."""
    gpu_layers: int | None
    """Layers on the GPU: -1 all, 0 none, None the engine's choice."""
    threads: int | None
    """None: the engine's choice (one for each core)."""
    ipv6: bool
    host: str | None = None
    """The address to serve on. None: every one."""
    gpus: Sequence[str] = ()
    """The server's names of the GPUs that it must use. Empty: those that it finds."""
    pooling: Pooling | None = None
    """How the model makes one vector of a text. None: it does not say."""


def add_options(parser: ArgumentParser) -> None:
    """Declares llama.cpp's own options."""
    parser.add_argument(
        "--context-size",
        type=_context_size,
        default=2048,
        metavar="TOKENS",
        help="what one request may use, or auto: what fits into the memory (%(default)s)",
    )
    parser.add_argument(
        "--parallel", type=at_least(1), default=4, metavar="N", help="requests answered at once (%(default)s)"
    )
    parser.add_argument("--gpu-layers", type=at_least(-1), metavar="N", help="layers on the GPU: -1 all, 0 none")
    parser.add_argument(
        "--devices",
        type=at_least(1),
        metavar="N",
        help="GPUs that have to be there (none; all that are there are used)",
    )
    parser.add_argument("--quantization", metavar="NAME", help="which of the model's quantizations, such as Q4_K_M")


def _context_size(text: str) -> int | None:
    """None: auto."""
    return None if text == "auto" else at_least(1)(text)


_context_size.__name__ = "whole number or auto"  # argparse names the type in its message


def command(options: Namespace, extra: Sequence[str]) -> list[str]:
    """The call of `llama-server` for a parsed command line; looks at the model's files and at the machine."""
    files = find_gguf(options.model, options.quantization)
    opening = opening_of(files.model)
    return server_command(
        LlamaCppLaunchSettings(
            files=files,
            port=options.port,
            alias=options.alias,
            context_size=_usable_context(files.model, opening, options, extra),
            parallel=options.parallel,
            gpu_layers=options.gpu_layers,
            threads=usable_processors(),
            ipv6=has_ipv6(),
            host=options.host,
            gpus=gpu_names(options.devices, _on_path(PROGRAM)) if options.devices else (),
            pooling=opening.pooling,
        ),
        extra,
    )


def _usable_context(model: Path, opening: GgufOpening, options: Namespace, extra: Sequence[str]) -> int:
    """The tokens of context that one request gets: no more than the model was made for.

    A model that reads whole inputs has a place for so many, and llama.cpp fails beyond them.
    """
    stated: int | None = options.context_size
    if stated is None:
        return _auto_context(model, options)
    stretched = any(argument.startswith(_STRETCHING) for argument in extra)
    if stretched and not needs_whole_inputs(opening.pooling):
        return stated
    return min(stated, opening.context_length or stated)


def _auto_context(model: Path, options: Namespace) -> int:
    try:
        described = describe(model)
    except FormatError:  # the engine says what is wrong with it
        return LEAST_AUTO_CONTEXT
    sizes = context_sizes(described)
    if options.devices:  # how much memory a GPU has, only its driver could tell
        return sizes[0]
    memory = usable_memory()
    usable = memory if memory < machine_memory() else int(memory * _SHARE_WITHOUT_LIMIT)
    fits = (size for size in sizes if llamacpp_bytes(described, size, options.parallel) <= usable)
    return next(fits, sizes[-1])


def _on_path(program: str) -> Path | None:
    """Where the program is. The image's small Python has no shutil."""
    candidates = (Path(directory, program) for directory in os.get_exec_path())
    return next((candidate for candidate in candidates if os.access(candidate, os.X_OK)), None)


def gpu_names(count: int, server: Path | None) -> list[str]:
    """The names of the first GPUs of this `llama-server`. Empty: its libraries do not tell.

    Without names the server computes on the processor if it finds no GPU or no driver, and says so in its log alone.
    With names it ends then.
    """
    beside = server.resolve().parent if server else None
    kind = next((name for library, name in _GPU_LIBRARIES.items() if beside and (beside / library).exists()), None)
    return [f"{kind}{number}" for number in range(count)] if kind else []


def server_command(settings: LlamaCppLaunchSettings, extra: Sequence[str] = ()) -> list[str]:
    """The whole command line of `llama-server`; `extra` comes last, where the server lets it override the rest."""
    call = [PROGRAM, "--model", str(settings.files.model)]
    if settings.files.projector:
        call += ["--mmproj", str(settings.files.projector)]
    call += ["--alias", settings.alias]
    call += ["--host", settings.host or every_address(ipv6=settings.ipv6), "--port", str(settings.port)]
    # The server divides its context among its slots: what was asked for is what each request gets.
    call += ["--ctx-size", str(settings.context_size * settings.parallel), "--parallel", str(settings.parallel)]
    if settings.gpu_layers is not None:
        call += ["--n-gpu-layers", "all" if settings.gpu_layers < 0 else str(settings.gpu_layers)]
    if settings.gpus:
        call += ["--device", ",".join(settings.gpus)]
    if settings.threads is not None:
        call += ["--threads", str(settings.threads)]
    call += [
        *("--threads-http", str(HTTP_THREADS)),
        *("--fit", "off"),  # settings are stated here; trying out what fits takes half of a small model's start
        "--no-warmup",  # the first request warms up just as well, and somebody is waiting for it
        *("--cache-ram", "0"),  # up to 8 GiB outside of the pod's requests otherwise; each slot keeps its own prefix
        "--no-slots",  # shows what others ask
        "--no-ui",
        "--offline",
        "--metrics",
        "--embeddings",  # allows them, where the model says how its tokens become one vector; costs others nothing
    ]
    if needs_whole_inputs(settings.pooling):
        # By default 512 tokens are computed at once, and longer inputs are refused.
        whole = str(settings.context_size)
        call += ["--batch-size", whole, "--ubatch-size", whole]
    if settings.pooling is Pooling.RANK:
        call.append("--reranking")  # the server has the path only with this
    return [*call, *extra]


ENGINE = EngineProgram(
    summary="GGUF models with llama.cpp", add_options=add_options, command=command, key_variable="LLAMA_API_KEY"
)
