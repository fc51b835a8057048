// The part of CUDA's runtime that csrc/cuda uses, on the host: compiled with this folder in front,
// a .cu file is plain C++. A block of threads is a set of fibers that change at barriers; blocks
// run one after the other. LAYERBITS_EMULATED_ORDER = forward, backward or shuffled says which
// thread goes first between two barriers: results that depend on it show a race.
//
// It tests indices, barriers and arithmetic; it knows nothing of time, of registers, nor of memory
// that is not the host's. The special-function unit's power of two is off by as much as it may be.
// What the kernels do to memory is checked by hazards.cpp, which is built twice: by ASan for
// bounds, and for races and values that were never written by races.cpp.
#pragma once

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#define __global__ static
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __CUDA_ARCH_LIST__ 800  // of the device below

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};
extern Index3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

inline constexpr size_t kStack = 1 << 17;  // of a thread

// Calls `kernel` once for every thread of the grid.
void run(unsigned blocks, unsigned threads, size_t shared, const std::function<void()>& kernel);
void* shared_memory();
void barrier();
int barrier_or(int predicate);
void exchange(const void* mine, size_t size, unsigned thread, void* theirs);
float approximate_exp2(float x);

// Who is running: blocks are told apart, and what a block does between two barriers.
struct Now {
  bool in_kernel = false;
  unsigned kernel = 0, stretch = 0;
};
extern Now now;

#ifdef LAYERBITS_EMULATED_RACES
// Memory to be watched until it is forgotten; without a value unless `written`.
void watch(const void* memory, size_t size, bool written);
void forget(const void* memory, size_t size);
void touch_atomically(const void* place, size_t size);
void write_from_host(const void* memory, size_t size);
#else
inline void watch(const void*, size_t, bool) {}
inline void forget(const void*, size_t) {}
inline void touch_atomically(const void*, size_t) {}
inline void write_from_host(const void*, size_t) {}
#endif

// Memory between arrays, which nobody may touch.
inline void forbid([[maybe_unused]] const char* memory, [[maybe_unused]] size_t size) {
#ifdef __SANITIZE_ADDRESS__
  __asan_poison_memory_region(memory, size);
#endif
}

}  // namespace emulation

inline void __syncthreads() { emulation::barrier(); }
inline int __syncthreads_or(int predicate) { return emulation::barrier_or(predicate); }

// To be called by all threads of a block.
template <typename T>
T __shfl_xor_sync(unsigned, T value, int lanes) {
  T theirs;
  emulation::exchange(&value, sizeof value, threadIdx.x ^ unsigned(lanes), &theirs);
  return theirs;
}

// Fibers change at barriers alone.
#define LAYERBITS_ATOMIC \
  template <typename T>  \
  __attribute__((no_sanitize("thread")))
LAYERBITS_ATOMIC
T atomicAdd(T* place, T value) {
  emulation::touch_atomically(place, sizeof *place);
  const T before = *place;
  *place = before + value;
  return before;
}
LAYERBITS_ATOMIC
T atomicOr(T* place, T value) {
  emulation::touch_atomically(place, sizeof *place);
  const T before = *place;
  *place = before | value;
  return before;
}
LAYERBITS_ATOMIC
T atomicMin(T* place, T value) {
  emulation::touch_atomically(place, sizeof *place);
  const T before = *place;
  *place = value < before ? value : before;
  return before;
}
LAYERBITS_ATOMIC
T atomicMax(T* place, T value) {
  emulation::touch_atomically(place, sizeof *place);
  const T before = *place;
  *place = value > before ? value : before;
  return before;
}

template <typename To, typename From>
To emulated_bits(From from) {
  To to;
  static_assert(sizeof to == sizeof from);
  memcpy(&to, &from, sizeof to);
  return to;
}
inline float __int_as_float(int a) { return emulated_bits<float>(a); }
inline int __float_as_int(float a) { return emulated_bits<int>(a); }
inline double __longlong_as_double(long long a) { return emulated_bits<double>(a); }
inline long long __double_as_longlong(double a) { return emulated_bits<long long>(a); }
inline int __double2hiint(double a) { return int(emulated_bits<long long>(a) >> 32); }
inline int __double2loint(double a) { return int(emulated_bits<long long>(a)); }
inline double __hiloint2double(int high, int low) {
  return emulated_bits<double>(static_cast<unsigned long long>(unsigned(high)) << 32 |
                               unsigned(low));
}
inline int __popc(unsigned a) { return __builtin_popcount(a); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int __vimin3_s32(int a, int b, int c) { return a < b ? (a < c ? a : c) : (b < c ? b : c); }

// Reduced to an eighth of a turn, so that the product with pi is the only rounding that matters.
inline void sincospi(double x, double* sine, double* cosine) {
  const double quarter = rint(2 * x);
  const long double rest = (x - quarter / 2) * 3.14159265358979323846L;
  const double s = double(sinl(rest)), c = double(cosl(rest));
  switch (static_cast<long long>(quarter) & 3) {
    case 0:
      *sine = s, *cosine = c;
      break;
    case 1:
      *sine = c, *cosine = -s;
      break;
    case 2:
      *sine = -s, *cosine = -c;
      break;
    default:
      *sine = -c, *cosine = s;
  }
}
inline void sincospif(float x, float* sine, float* cosine) {
  double s, c;
  sincospi(x, &s, &c);
  *sine = float(s), *cosine = float(c);
}

using std::isfinite, std::isinf, std::isnan, std::fabs;

using cudaStream_t = void*;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorNotReady = 600,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
struct cudaDeviceProp {
  char name[16] = "emulated";
  int major = 8, minor = 0;
};

// LAYERBITS_EMULATED_ERROR holds the number of what cudaGetDeviceCount shall answer,
// LAYERBITS_EMULATED_DEVICES how many there are.
inline int emulated_devices() {
  const char* devices = getenv("LAYERBITS_EMULATED_DEVICES");
  return devices ? atoi(devices) : 1;
}
inline thread_local int emulated_device = 0;
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = emulated_devices();
  const char* error = getenv("LAYERBITS_EMULATED_ERROR");
  return cudaError_t(error ? atoi(error) : 0);
}
inline const char* cudaGetErrorString(cudaError_t) { return "as emulated"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) { return *device = emulated_device, cudaSuccess; }
inline cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= emulated_devices()) return cudaErrorInvalidDevice;
  return emulated_device = device, cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  return *value = 2, cudaSuccess;
}
// LAYERBITS_EMULATED_MAJOR is the major compute capability, that of the build by default.
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  if (const char* major = getenv("LAYERBITS_EMULATED_MAJOR")) properties->major = atoi(major);
  return cudaSuccess;
}
inline cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind,
                                   cudaStream_t) {
  emulation::write_from_host(to, size);
  return memcpy(to, from, size), cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t size, cudaStream_t) {
  emulation::write_from_host(to, size);
  return memset(to, value, size), cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
