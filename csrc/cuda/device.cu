#include <algorithm>
#include <chrono>
#include <thread>

#include "launch.h"

namespace layerbits::cuda {
namespace {

// Ascending, of the form 900.
constexpr int kArchitectures[] = {__CUDA_ARCH_LIST__};

// By what it says of itself: to ask whether it has a kernel would start CUDA on each device, which
// takes some hundred megabytes of every one for as long as the process lives.
std::string why_not(const cudaDeviceProp& device) {
  if (100 * device.major + 10 * device.minor >= kArchitectures[0]) return {};
  return "it is older than the architectures of this build; build for it with "
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
              "no NVIDIA driver, or one that is older than this build (" + text + ")"};
    case cudaErrorNoDevice:
      return {Status::kUnavailable, "there is a driver, but no CUDA device (" + text + ")"};
    case cudaErrorInitializationError:
      return {Status::kUnavailable,
              "CUDA cannot be started (" + text +
                  "); after a fork it never can: start processes by spawn, for instance with "
                  "multiprocessing.get_context('spawn')"};
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
  const auto got = reinterpret_cast<uintptr_t>(stream.allocate(size_ + kAlignment));
  if (got == 0) return {Status::kOutOfMemory, "the allocator has no memory on the device"};
  char* const base = reinterpret_cast<char*>((got + kAlignment - 1) / kAlignment * kAlignment);
  for (const Place& place : places_) {
    *place.pointer = base + place.begin;
#ifndef __CUDACC__
    emulation::watch(base + place.begin, place.end - place.begin, false);
    emulation::forbid(base + place.end, kGap);
#endif
  }
  return {};
}

Status finish(const Stream& stream) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kPatience{2}, kLongestSleep{10};
  const Clock::time_point start = Clock::now();
  while (true) {
    const cudaError_t error = cudaStreamQuery(handle(stream));
    if (error != cudaErrorNotReady) return status_of(error);
    cudaGetLastError();  // which it is not, but may be taken for by the next launch
    // Most calls take less than this, and a sleep takes longer than it says; later it may cost a
    // share of what has passed.
    const Clock::duration passed = Clock::now() - start;
    if (passed < kPatience) continue;
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
    devices.push_back({properties.name, properties.major, properties.minor, why_not(properties)});
  }
  return {};
}

}  // namespace layerbits::cuda
