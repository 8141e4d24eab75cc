"""llama.cpp's server from the prebuilt wheel xllamacpp, called like `llama-server`.

It takes the arguments that `berth-launch` gives `llama-server`, with the same meaning. It refuses any other argument by
its name. The HTTP API is the same, because it is the same code.

    python -m berth_local.engines.llama_server --model FILE --port PORT ...
"""

import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from berth_runtime.errors import EngineNotInstalledError, InvalidArgumentsError, LaunchError, WrongFormatError

PROGRAM = "llama-server"

RANKING = 4
"""llama.cpp's number for the pooling that scores documents."""

API_KEY = "LLAMA_API_KEY"
"""The variable with the key that the server asks for, as llama-server reads it."""

ALL_LAYERS = -2
"""The number that means all layers on the GPU to llama.cpp. -1 leaves the choice to llama.cpp."""


class _LlamaServerParser(ArgumentParser):
    """Reports a wrong command line as `berth-launch` does."""

    def error(self, message: str) -> NoReturn:
        raise InvalidArgumentsError(f"{self.prog}: {message}")


def parse(arguments: Sequence[str]) -> Namespace:
    """The arguments of a `llama-server` call, without the program. Raises InvalidArgumentsError."""
    return _parser().parse_args(arguments)


def load() -> Any:
    """Loads the engine's library and finds its backends: all of a start that does not depend on the model.

    Raises EngineNotInstalledError.
    """
    try:
        library: Any = import_module("xllamacpp")
    except ModuleNotFoundError as error:
        missing = "llama.cpp is not installed: there is neither llama-server on PATH nor the Python package xllamacpp"
        raise EngineNotInstalledError(missing) from error
    except ImportError as error:
        raise EngineNotInstalledError(
            f"llama.cpp cannot be loaded, a library of this system is missing (libgomp1?): {error}"
        ) from error
    library.get_system_info()  # finds the backends, and what the processor can do
    return library


def parameters(library: Any, options: Namespace) -> Any:
    """The library's parameters for the options. Raises WrongFormatError for a file whose name it cannot take."""
    for file in filter(None, (options.model, options.mmproj)):
        _check_name(file)
    params = library.CommonParams()
    params.model.path = options.model
    if options.mmproj:
        params.mmproj.path = options.mmproj
    if options.alias:
        params.model_alias = {options.alias}
    params.hostnames = [options.host]
    params.port = options.port
    params.n_ctx = options.ctx_size
    params.n_parallel = options.parallel
    if options.n_gpu_layers is not None:
        params.n_gpu_layers = options.n_gpu_layers
    if options.threads is not None:
        params.cpuparams.n_threads = options.threads
    params.n_threads_http = options.threads_http
    params.fit_params = options.fit == "on"
    params.warmup = options.warmup
    params.cache_ram_mib = options.cache_ram
    params.endpoint_slots = options.slots
    params.endpoint_metrics = options.metrics
    params.ui = options.ui
    params.offline = options.offline
    params.embedding = options.embeddings
    if options.batch_size:
        params.n_batch = options.batch_size
    if options.ubatch_size:
        params.n_ubatch = options.ubatch_size
    if options.reranking:
        params.pooling_type = RANKING
    if key := os.environ.get(API_KEY):
        params.api_keys = [key]
    return params


def _check_name(file: str) -> None:
    try:
        file.encode()
    except UnicodeEncodeError:
        shown = file.encode(errors="replace").decode()
        raise WrongFormatError(f"{shown} has a name that is not text in UTF-8: rename it") from None


def serve(library: Any, options: Namespace) -> NoReturn:
    """Loads the model and serves it until a signal ends the process. Raises RuntimeError if it cannot be loaded.

    Raises WrongFormatError for a file whose name the library cannot take.
    """
    # Python runs signal handlers between its own instructions, and there is none while the engine loads. So the kernel
    # must end this process.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    server = library.Server(parameters(library, options))
    while server:
        signal.pause()
    raise AssertionError("a server is true")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program. Returns only if the engine cannot be started: the exit code."""
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        serve(load(), options)
    except LaunchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except RuntimeError as error:
        return failed(error)


def failed(error: RuntimeError) -> int:
    """Prints that the engine could not load the model; its log has the reason. Returns llama-server's exit code."""
    print(f"{PROGRAM}: {error}", file=sys.stderr, flush=True)
    return 1


def _layers(text: str) -> int:
    return {"all": ALL_LAYERS, "auto": -1}.get(text) or int(text)


_layers.__name__ = "number of layers"  # argparse names the type in its message


def _parser() -> ArgumentParser:
    parser = _LlamaServerParser(
        prog=PROGRAM, description="llama.cpp's server from the wheel xllamacpp.", allow_abbrev=False
    )
    parser.add_argument("--model", required=True, metavar="FILE", help="the model; its first file if it has several")
    parser.add_argument("--mmproj", metavar="FILE", help="the model's multimodal projector")
    parser.add_argument("--alias", metavar="NAME", help="the model's name in answers")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to serve on (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to serve on (%(default)s)")
    parser.add_argument(
        "--ctx-size", type=int, default=0, metavar="TOKENS", help="context of all slots together (the model's)"
    )
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="slots (%(default)s)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="tokens that wait to be computed (the engine's)")
    parser.add_argument("--ubatch-size", type=int, metavar="N", help="tokens that are computed at once (the engine's)")
    parser.add_argument("--n-gpu-layers", type=_layers, metavar="N", help="layers on the GPU: a number, all or auto")
    parser.add_argument("--threads", type=int, metavar="N", help="threads that compute (one for each core)")
    parser.add_argument("--threads-http", type=int, default=-1, metavar="N", help="threads that answer requests")
    parser.add_argument(
        "--fit", choices=("on", "off"), default="on", help="fit unset settings to the memory (%(default)s)"
    )
    parser.add_argument(
        "--cache-ram",
        type=int,
        default=8192,
        metavar="MIB",
        help="memory for prompts of earlier requests (%(default)s)",
    )
    for name, negated, default, meaning in (
        ("--warmup", "--no-warmup", True, "computes once before it serves"),
        ("--slots", "--no-slots", True, "shows its slots"),
        ("--ui", "--no-ui", True, "serves its pages"),
        ("--offline", None, False, "fetches nothing"),
        ("--metrics", None, False, "serves its metrics"),
        ("--embeddings", None, False, "also answers with embeddings"),
        ("--reranking", None, False, "also ranks documents"),
    ):
        destination = name.removeprefix("--")
        parser.add_argument(name, dest=destination, action="store_true", default=default, help=meaning)
        if negated:
            parser.add_argument(negated, dest=destination, action="store_false", help=f"not: {meaning}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
