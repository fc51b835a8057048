// Implements on the host the part of the CUDA runtime that csrc/cuda uses: with this folder first
// in the include path, a .cu file is plain C++. The threads of a thread block are fibers that
// switch at barriers; thread blocks run one after the other. LAYERBITS_EMULATED_ORDER = forward,
// backward or shuffled sets the order of the threads between two barriers: a result that depends on
// this order shows a race.
//
// The emulation has indices, barriers and arithmetic, but no time, no registers and no separate
// memory. The special-function unit's power of two has errors up to CUDA's bound. hazards.cpp runs
// the kernels under a checker of memory accesses: AddressSanitizer for bounds, races.cpp for races
// and uninitialised values.
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
#define __CUDA_ARCH_LIST__ 800  // the compute capability of cudaDeviceProp, times 100

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};
extern Index3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

inline constexpr size_t kStack = 1 << 16;  // bytes of the stack of a fiber

// Calls `kernel` once for every thread of the grid.
void run(unsigned blocks, unsigned threads, size_t shared, const std::function<void()>& kernel);
void* shared_memory();
void barrier();
int barrier_or(int predicate);
void exchange(const void* value, size_t size, unsigned thread, void* result);
float approximate_exp2(float x);

// The present position of the emulation: kernel launch, interval between two barriers, and stack.
struct Position {
  bool in_kernel = false;
  const char* stack = nullptr;
  unsigned kernel = 0, interval = 0;
};
extern Position position;

#ifdef LAYERBITS_EMULATED_RACES
// Checks accesses to this memory until forget(); the memory is uninitialised unless `written`.
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

// Makes every access to the memory between arrays an error.
inline void forbid([[maybe_unused]] const char* memory, [[maybe_unused]] size_t size) {
#ifdef __SANITIZE_ADDRESS__
  __asan_poison_memory_region(memory, size);
#endif
}

}  // namespace emulation

inline void __syncthreads() { emulation::barrier(); }
inline int __syncthreads_or(int predicate) { return emulation::barrier_or(predicate); }

// All threads of a thread block must call this function.
template <typename T>
T __shfl_xor_sync(unsigned, T value, int lanes) {
  T result;
  emulation::exchange(&value, sizeof value, threadIdx.x ^ unsigned(lanes), &result);
  return result;
}

// The functions below are atomic, because fibers switch only at barriers.
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

// Reduces x to an eighth of a turn, without rounding, and computes sine and cosine in long double.
inline void sincospi(double x, double* sine, double* cosine) {
  const double quarter = rint(2 * x);
  const long double angle = (x - quarter / 2) * 3.14159265358979323846L;
  const double s = double(sinl(angle)), c = double(cosl(angle));
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

// Environment variables whose names begin with LAYERBITS_EMULATED_ set properties of the device:
// DEVICES the number of devices, ERROR the error of cudaGetDeviceCount, MULTIPROCESSORS the number
// of multiprocessors, and MAJOR the major compute capability, 8 by default.
inline int emulated_number(const char* variable, int default_value) {
  const char* value = getenv(variable);
  return value ? atoi(value) : default_value;
}
inline int emulated_devices() { return emulated_number("LAYERBITS_EMULATED_DEVICES", 1); }
inline thread_local int emulated_device = 0;
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = emulated_devices();
  return cudaError_t(emulated_number("LAYERBITS_EMULATED_ERROR", 0));
}
inline const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) { return *device = emulated_device, cudaSuccess; }
inline cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= emulated_devices()) return cudaErrorInvalidDevice;
  return emulated_device = device, cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  return *value = emulated_number("LAYERBITS_EMULATED_MULTIPROCESSORS", 2), cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  properties->major = emulated_number("LAYERBITS_EMULATED_MAJOR", properties->major);
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
