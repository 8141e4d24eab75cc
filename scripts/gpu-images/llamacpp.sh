. /probe/common.sh

shows "who" 1 id
shows "the launcher's help" 4 berth-launch llamacpp --help
shows "without a driver: version" 9 llama-server --version
shows "without a driver: devices" 9 llama-server --list-devices
echo "== from here on beside a stand-in of libcuda.so.1, which says that there is no GPU"
shows "version" 9 pretending llama-server --version
shows "devices" 9 pretending llama-server --list-devices
shows "help" 3 pretending llama-server --help
finish
