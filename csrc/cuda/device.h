// The device and the stream of a call: scratch memory, copies between host and device, and kernel
// launches. Errors of CUDA become Status values here. Contains no algorithm.
#pragma once

#include <cuda_runtime.h>

#include <vector>

#include "cuda_operations.h"

namespace layerbits::cuda {

Status status_of(cudaError_t error);

inline cudaStream_t handle(const Stream& stream) {
  return static_cast<cudaStream_t>(stream.handle);
}

// Makes the stream's device the current device; the destructor restores the former device.
class CurrentDevice {
 public:
  explicit CurrentDevice(const Stream& stream);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
  Status status;
  int multiprocessors = 1;

 private:
  // -1 if the stream's device was current already. cudaSetDevice may start CUDA on a device, so it
  // is called only for a change.
  int former_ = -1;
};

// Arrays in a single allocation of device memory. allocate() sets the pointers given to add().
class Scratch {
 public:
  template <typename T>
  void add(T*& pointer, int64_t count) {
    const size_t end = size_ + size_t(count) * sizeof(T);
    arrays_.push_back({reinterpret_cast<void**>(&pointer), size_, end});
    size_ = (end + kGap + kAlignment - 1) / kAlignment * kAlignment;
  }
  Status allocate(const Stream& stream);

 private:
  struct Array {
    void** pointer;
    size_t begin, end;
  };
  // Bytes between arrays, to which the emulation forbids access.
#ifdef __CUDACC__
  static constexpr size_t kGap = 0;
#else
  static constexpr size_t kGap = 64;
#endif
  static constexpr size_t kAlignment = 256;
  std::vector<Array> arrays_;
  size_t size_ = 0;
};

// Waits until the work on the stream ends, or until Ctrl-C. After Ctrl-C the device still completes
// the work, and scratch memory stays valid, because the caller's allocator reuses memory in the
// order of the stream.
Status finish(const Stream& stream);

// Copies to the device. The driver may delay the copy: `values` must exist until finish() returns.
template <typename T>
Status upload(T* target, const std::vector<T>& values, const Stream& stream) {
  return status_of(cudaMemcpyAsync(target, values.data(), values.size() * sizeof(T),
                                   cudaMemcpyHostToDevice, handle(stream)));
}

// Copies to the host; to be called after finish().
template <typename T>
Status download(T* target, const T* source, int64_t count, const Stream& stream) {
  const cudaError_t error = cudaMemcpyAsync(target, source, size_t(count) * sizeof(T),
                                            cudaMemcpyDeviceToHost, handle(stream));
  return status_of(error != cudaSuccess ? error : cudaStreamSynchronize(handle(stream)));
}

// The largest grid. Kernels that may need more thread blocks stride over their elements.
inline constexpr int64_t kMaxBlocks = int64_t(1) << 30;

// Launches with `shared` bytes of dynamic shared memory, which shared_memory() returns in the
// kernel.
template <typename... P, typename... A>
Status launch(void (*kernel)(P...), int64_t blocks, int threads, size_t shared,
              [[maybe_unused]] const Stream& stream, const A&... arguments) {
  if (blocks <= 0) return {};
  if (shared > 48 * 1024) {
    const cudaError_t error =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared));
    if (error != cudaSuccess) return status_of(error);
  }
  const unsigned grid = unsigned(blocks < kMaxBlocks ? blocks : kMaxBlocks);
#ifdef __CUDACC__
  kernel<<<grid, threads, shared, handle(stream)>>>(arguments...);
#else
  emulation::run(grid, threads, shared, [&] { kernel(arguments...); });
#endif
  return status_of(cudaGetLastError());
}

// Launches a thread for each of `count` elements.
inline constexpr int kThreads = 256;
template <typename... P, typename... A>
Status launch_each(void (*kernel)(P...), int64_t count, const Stream& stream,
                   const A&... arguments) {
  return launch(kernel, (count + kThreads - 1) / kThreads, kThreads, 0, stream, arguments...);
}

#if defined(__CUDACC__)
template <typename T>
__device__ __forceinline__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char layerbits_shared[];
  return reinterpret_cast<T*>(layerbits_shared);
}
#else
template <typename T>
T* shared_memory() {
  return static_cast<T*>(emulation::shared_memory());
}
#endif

__device__ __forceinline__ int64_t first_index() {
  return int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t index_stride() { return int64_t(gridDim.x) * blockDim.x; }

}  // namespace layerbits::cuda
