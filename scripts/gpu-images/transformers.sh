. /probe/common.sh

shows "who" 1 id
shows "imports" 9 python -c '
import torch, transformers, accelerate
print("torch", torch.__version__, "CUDA", torch.version.cuda, *torch.cuda.get_arch_list())
print("transformers", transformers.__version__, "accelerate", accelerate.__version__)
print("a GPU is available:", torch.cuda.is_available())'
fails "a tensor on the GPU" "NVIDIA driver" python -c 'import torch; torch.zeros(1, device="cuda")'
shows "the launcher's help" 4 berth-launch transformers --help
shows "the server's help" 6 transformers serve --help
finish
