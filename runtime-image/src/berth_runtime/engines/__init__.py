"""The engines that `berth-launch` knows, each in one file.

A new engine is one file that defines an `Engine`, and one line in `ENGINES`.
"""

from berth_runtime.engines import llamacpp, transformers, vllm
from berth_runtime.engines.engine import Engine

ENGINES: dict[str, Engine] = {
    "llamacpp": llamacpp.ENGINE,
    "transformers": transformers.ENGINE,
    "vllm": vllm.ENGINE,
}
