. /probe/common.sh

shows "who" 1 id
shows "imports" 9 python -c '
import torch, vllm
import flashinfer, triton, torchvision
print("torch", torch.__version__, "CUDA", torch.version.cuda, *torch.cuda.get_arch_list())
print("vllm", vllm.__version__, "flashinfer", flashinfer.__version__, "triton", triton.__version__)'
shows "the launcher's help" 4 berth-launch vllm --help
fails "the server's help without a driver" "Failed to infer device type" vllm serve --help
echo "== from here on beside stand-ins of libnvidia-ml.so.1 and libcuda.so.1, which name an A100 and compute nothing"
shows "the platform" 9 pretending python -c '
from vllm.platforms import current_platform as platform
print("PLATFORM", type(platform).__name__, platform.get_device_name(), platform.get_device_capability())'
shows "vLLM's compiled modules" 20 pretending python -c '
import importlib, pathlib, sys, torch, vllm
root = pathlib.Path(vllm.__file__).parent
missing = 0
for library in sorted(root.rglob("*.so")):
    name = ".".join(("vllm", *library.relative_to(root).parts[:-1], library.name.split(".")[0]))
    try:
        importlib.import_module(name)
        print("loaded", name)
    except ImportError as error:
        print("NOT LOADED", name, error)
        missing += 1
sys.exit(missing)'
shows "the server's help" 40 pretending vllm serve --help
finish
