/* A stand-in for NVIDIA's driver, libcuda.so.1: it has what vLLM and llama.cpp want of it when they are loaded, and
   answers all of it with "there is no GPU". Nothing can be computed. */

enum { NO_DEVICE = 100 };

#define ANSWERED(name) \
  int name(void) { return NO_DEVICE; }

ANSWERED(cuInit)
ANSWERED(cuDriverGetVersion)
ANSWERED(cuGetErrorString)
ANSWERED(cuGetProcAddress_v2)
ANSWERED(cuCtxGetCurrent)
ANSWERED(cuCtxSetCurrent)
ANSWERED(cuDeviceGet)
ANSWERED(cuDeviceGetAttribute)
ANSWERED(cuDevicePrimaryCtxRetain)
ANSWERED(cuMemAddressFree)
ANSWERED(cuMemAddressReserve)
ANSWERED(cuMemCreate)
ANSWERED(cuMemGetAllocationGranularity)
ANSWERED(cuMemMap)
ANSWERED(cuMemRelease)
ANSWERED(cuMemSetAccess)
ANSWERED(cuMemUnmap)
ANSWERED(cuPointerGetAttribute)
ANSWERED(cuTensorMapEncodeTiled)
