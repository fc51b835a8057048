// The caller's stream, scratch memory from the caller's allocator, and launches whose errors are
// values.
#pragma once

#include <cuda_runtime.h>

#include <vector>

#include "cuda_operations.h"

namespace layerbits::cuda {

Status status_of(cudaError_t error);

inline cudaStream_t handle(const Stream& stream) {
  return static_cast<cudaStream_t>(stream.handle);
}

// Makes the stream's device the current one, and the former one again at the end.
class CurrentDevice {
 public:
  explicit CurrentDevice(const Stream& stream);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
  Status status;
  int multiprocessors = 1;

 private:
  int former_ = -1;  // none where nothing was changed: to name a device may start CUDA on it
};

// Arrays of one allocation.
class Scratch {
 public:
  template <typename T>
  void want(T*& pointer, int64_t count) {
    const size_t end = size_ + size_t(count) * sizeof(T);
    places_.push_back({reinterpret_cast<void**>(&pointer), size_, end});
    size_ = (end + kGap + kAlignment - 1) / kAlignment * kAlignment;
  }
  Status allocate(const Stream& stream);

 private:
  struct Place {
    void** pointer;
    size_t begin, end;
  };
#ifdef __CUDACC__
  static constexpr size_t kGap = 0;
#else
  static constexpr size_t kGap = 64;
#endif
  static constexpr size_t kAlignment = 256;
  std::vector<Place> places_;
  size_t size_ = 0;
};

// Waits for what was put on the stream; answers Ctrl-C. The work then goes on by itself: its memory
// is the caller's, whose allocator knows the stream.
Status finish(const Stream& stream);

// `from` must outlive finish(): whether the copy is made at once is the driver's affair.
template <typename T>
Status upload(T* to, const std::vector<T>& from, const Stream& stream) {
  return status_of(cudaMemcpyAsync(to, from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice,
                                   handle(stream)));
}

// To be called after finish().
template <typename T>
Status download(T* to, const T* from, int64_t count, const Stream& stream) {
  const cudaError_t error =
      cudaMemcpyAsync(to, from, size_t(count) * sizeof(T), cudaMemcpyDeviceToHost, handle(stream));
  return status_of(error != cudaSuccess ? error : cudaStreamSynchronize(handle(stream)));
}

// A grid of one dimension has no limit that matters: kernels stride over what exceeds it.
inline constexpr int64_t kMostBlocks = int64_t(1) << 30;

// `shared` bytes of dynamic shared memory, which shared_memory() returns in the kernel.
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
  const unsigned grid = unsigned(blocks < kMostBlocks ? blocks : kMostBlocks);
#ifdef __CUDACC__
  kernel<<<grid, threads, shared, handle(stream)>>>(arguments...);
#else
  emulation::run(grid, threads, shared, [&] { kernel(arguments...); });
#endif
  return status_of(cudaGetLastError());
}

// A thread for each of `count` elements.
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
