/* A stand-in for NVIDIA's management library, libnvidia-ml.so.1: it says that the machine has one A100 of 80 GiB, so
   that an engine which asks it what to compute on takes the path for GPUs. There is no driver behind it, and nothing
   can be computed. Functions that are not here are missing as they are in an old driver, and who asks is told so. */

#include <string.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2 };

static const char NAME[] = "stand-in for NVIDIA A100-SXM4-80GB";
static const char UUID[] = "GPU-00000000-0000-0000-0000-000000000000";
static const unsigned long long MEMORY = 80ULL << 30; /* bytes */
static int device;

typedef struct {
  unsigned long long total, free, used;
} memory_t;

static int copy(const char *text, char *to, unsigned int length) {
  if (strlen(text) >= length) return INVALID_ARGUMENT;
  strcpy(to, text);
  return SUCCESS;
}

int nvmlInit(void) { return SUCCESS; }
int nvmlInit_v2(void) { return SUCCESS; }
int nvmlInitWithFlags(unsigned int flags) { return (void)flags, SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) { return code ? "error of a stand-in" : "success"; }

int nvmlSystemGetDriverVersion(char *to, unsigned int length) { return copy("580.0", to, length); }

int nvmlDeviceGetCount_v2(unsigned int *count) {
  *count = 1;
  return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) {
  *handle = &device;
  return index ? INVALID_ARGUMENT : SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
  *handle = &device;
  return strcmp(uuid, UUID) ? INVALID_ARGUMENT : SUCCESS;
}

int nvmlDeviceGetIndex(void *handle, unsigned int *index) {
  *index = 0;
  return handle == &device ? SUCCESS : INVALID_ARGUMENT;
}

int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
  *major = 8;
  *minor = 0;
  return handle == &device ? SUCCESS : INVALID_ARGUMENT;
}

int nvmlDeviceGetName(void *handle, char *to, unsigned int length) { return (void)handle, copy(NAME, to, length); }
int nvmlDeviceGetUUID(void *handle, char *to, unsigned int length) { return (void)handle, copy(UUID, to, length); }

int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
  *memory = (memory_t){MEMORY, MEMORY, 0};
  return handle == &device ? SUCCESS : INVALID_ARGUMENT;
}
