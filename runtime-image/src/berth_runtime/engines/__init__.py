"""The engines that `berth-launch` knows, each in one file.

A new engine is one file that defines an `EngineProgram`, and a line in `ENGINES`.
"""

from berth_runtime.engines import llamacpp, transformers, vllm
from berth_runtime.engines.engine import EngineProgram

ENGINES: dict[str, EngineProgram] = {
    "llamacpp": llamacpp.ENGINE,
    "transformers": transformers.ENGINE,
    "vllm": vllm.ENGINE,
}
