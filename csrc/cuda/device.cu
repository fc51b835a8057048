#include <algorithm>
#include <chrono>
#include <thread>

#include "device.h"

namespace layerbits::cuda {
namespace {

// The architectures of this build in ascending order, for example 900.
constexpr int kArchitectures[] = {__CUDA_ARCH_LIST__};

// Compares compute capabilities instead of launching a kernel: a launch would start CUDA on every
// device, which takes some hundred megabytes of its memory for the life of the process.
std::string reason_not_usable(const cudaDeviceProp& device) {
  if (100 * device.major + 10 * device.minor >= kArchitectures[0]) return {};
  return "it is older than the architectures of this build; add its architecture to "
         "CMAKE_CUDA_ARCHITECTURES";
}

}  // namespace

Status status_of(cudaError_t error) {
  if (error == cudaSuccess) return {};
  cudaGetLastError();
  const std::string text = cudaGetErrorString(error);
  switch (error) {
    case cudaErrorInsufficientDriver:
      return {Status::kUnavailable,
              "no NVIDIA driver, or a driver older than this build (" + text + ")"};
    case cudaErrorNoDevice:
      return {Status::kUnavailable, "there is a driver, but no CUDA device (" + text + ")"};
    case cudaErrorInitializationError:
      return {Status::kUnavailable,
              "CUDA cannot be started (" + text +
                  "), as in a process that was forked after CUDA was used: start processes by "
                  "spawn, for instance with multiprocessing.get_context('spawn')"};
    case cudaErrorNoKernelImageForDevice:
      return {Status::kUnavailable, "this build has no code for the device (" + text + ")"};
    case cudaErrorMemoryAllocation:
      return {Status::kOutOfMemory, text};
    default:
      return {Status::kInternal, "CUDA: " + text};
  }
}

CurrentDevice::CurrentDevice(const Stream& stream) {
  int former = 0;
  status = status_of(cudaGetDevice(&former));
  if (status.ok() && former != stream.device) {
    status = status_of(cudaSetDevice(stream.device));
    former_ = former;
  }
  if (status.ok())
    status = status_of(
        cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, stream.device));
}

CurrentDevice::~CurrentDevice() {
  if (former_ >= 0) cudaSetDevice(former_);
}

Status Scratch::allocate(const Stream& stream) {
  const auto address = reinterpret_cast<uintptr_t>(stream.allocate(size_ + kAlignment));
  if (address == 0) return {Status::kOutOfMemory, "the allocator has no memory on the device"};
  char* const base = reinterpret_cast<char*>((address + kAlignment - 1) / kAlignment * kAlignment);
  for (const Array& array : arrays_) {
    *array.pointer = base + array.begin;
#ifndef __CUDACC__
    emulation::watch(base + array.begin, array.end - array.begin, false);
    emulation::forbid(base + array.end, kGap);
#endif
  }
  return {};
}

Status finish(const Stream& stream) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kBusyWait{2}, kLongestSleep{10};
  const Clock::time_point start = Clock::now();
  while (true) {
    const cudaError_t error = cudaStreamQuery(handle(stream));
    if (error != cudaErrorNotReady) return status_of(error);
    cudaGetLastError();  // clears cudaErrorNotReady, which the next launch would report as its own
    // A sleep lasts longer than its argument, so a call of up to kBusyWait does not sleep. After
    // kBusyWait a sleep is at most a 64th of the time that has passed.
    const Clock::duration passed = Clock::now() - start;
    if (passed < kBusyWait) continue;
    if (stream.interrupted()) return {Status::kInterrupted, {}};
    std::this_thread::sleep_for(std::min<Clock::duration>(passed / 64, kLongestSleep));
  }
}

Status find_devices(std::vector<Device>& devices) {
  int count = 0;
  if (Status status = status_of(cudaGetDeviceCount(&count)); !status.ok()) return status;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    if (Status status = status_of(cudaGetDeviceProperties(&properties, i)); !status.ok())
      return status;
    devices.push_back(
        {properties.name, properties.major, properties.minor, reason_not_usable(properties)});
  }
  return {};
}

}  // namespace layerbits::cuda
