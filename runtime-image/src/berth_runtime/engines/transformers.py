"""Transformers: safetensors models of every architecture it knows, by `transformers serve`.

The flags are those of the version that `runtime-image/python/transformers.txt` pins.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from berth_formats.memory import BATCHING_CPU_CACHE_BYTES
from berth_runtime.checkpoint import find_checkpoint
from berth_runtime.container import usable_memory, usable_processors
from berth_runtime.engines.engine import EngineProgram
from berth_runtime.errors import InvalidArgumentsError

PROGRAM = "transformers"

LARGEST_CPU_CACHE_SHARE = 0.6
"""The share that the server itself takes on a GPU if it does more than generate."""


class TransformersLaunchSettings(NamedTuple):
    """What was asked for; all that the command line depends on."""

    model: Path
    """Also the only name that the server answers to."""
    port: int
    device: str
    continuous_batching: bool
    cpu_cache_share: float | None
    """Share of the memory for continuous batching's contexts, on a CPU. None: on GPUs, where the server decides."""
    host: str = ""
    """The address to serve on. Empty: every address of both families; "::" would mean IPv6 alone to its server."""


def add_options(parser: ArgumentParser) -> None:
    """Declares Transformers' own options."""
    parser.add_argument(
        "--device", choices=("cuda", "cpu", "auto"), default="cuda", help="auto: all GPUs (%(default)s)"
    )
    parser.add_argument(
        "--continuous-batching", action="store_true", help="compute requests together (one after the other)"
    )


def command(options: Namespace, extra: Sequence[str]) -> list[str]:
    """The call of `transformers serve` for a parsed command line; looks at the model's files."""
    if options.alias != str(options.model):
        raise InvalidArgumentsError(
            f"--alias {options.alias}: Transformers knows a model only by its path, {options.model}"
        )
    return server_command(
        TransformersLaunchSettings(
            model=find_checkpoint(options.model, "transformers").directory,
            port=options.port,
            device=options.device,
            continuous_batching=options.continuous_batching,
            cpu_cache_share=cpu_cache_share(usable_memory()) if options.device == "cpu" else None,
            host=options.host or "",
        ),
        extra,
    )


def environment(_options: Namespace) -> dict[str, str]:
    """As many threads as a limit leaves processors. Torch would count those of the machine."""
    threads = usable_processors()
    return {} if threads is None else {"OMP_NUM_THREADS": str(threads)}


def cpu_cache_share(memory_bytes: int) -> float:
    """`BATCHING_CPU_CACHE_BYTES` as a share of the memory, within bounds."""
    return round(min(LARGEST_CPU_CACHE_SHARE, BATCHING_CPU_CACHE_BYTES / memory_bytes), 4)


def server_command(settings: TransformersLaunchSettings, extra: Sequence[str] = ()) -> list[str]:
    """The whole command line of `transformers serve`; `extra` comes last, where it overrides the rest."""
    call = [PROGRAM, "serve", str(settings.model)]
    call += ["--host", settings.host, "--port", str(settings.port), "--device", settings.device]
    if settings.continuous_batching:
        call.append("--continuous-batching")
        if settings.cpu_cache_share is not None:
            call += ["--cb-max-memory-percent", str(settings.cpu_cache_share)]  # a share, whatever it is called
    return [*call, *extra]


ENGINE = EngineProgram(
    summary="safetensors models with Transformers", add_options=add_options, command=command, environment=environment
)
