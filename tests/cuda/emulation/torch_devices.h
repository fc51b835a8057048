// The emulated devices of torch: their number, the current one, their generators of random numbers,
// and a list of the copies to the host.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <mutex>
#include <utility>
#include <vector>

namespace {

using at::Generator;
using at::Tensor;
using c10::Device;
using c10::DeviceIndex;
using c10::IValue;
using c10::Storage;
using c10::StorageImpl;
using c10::Stream;
using c10::TensorImpl;

constexpr DeviceIndex kDevices = 2;
constexpr auto kType = c10::DeviceType::CUDA;
thread_local DeviceIndex current_device_index = 0;

Device device_at(DeviceIndex index) { return {kType, index < 0 ? current_device_index : index}; }

struct DeviceGenerator final : c10::GeneratorImpl {
  DeviceGenerator(Device device, Generator host)
      : GeneratorImpl(device, c10::DispatchKeySet(c10::DispatchKey::CUDA)), host(std::move(host)) {}
  void set_current_seed(uint64_t seed) override { host.set_current_seed(seed); }
  void set_offset(uint64_t offset) override { host.set_offset(offset); }
  uint64_t get_offset() const override { return host.get_offset(); }
  uint64_t current_seed() const override { return host.current_seed(); }
  uint64_t seed() override { return host.seed(); }
  void set_state(const TensorImpl& state) override {
    host.unsafeGetGeneratorImpl()->set_state(state);
  }
  c10::intrusive_ptr<TensorImpl> get_state() const override {
    return host.unsafeGetGeneratorImpl()->get_state();
  }
  DeviceGenerator* clone_impl() const override {
    return new DeviceGenerator(device_, host.clone());
  }

  Generator host;
};

const Generator& default_generator(DeviceIndex index) {
  static const std::vector<Generator> device_generators = [] {
    std::vector<Generator> generators;
    for (DeviceIndex i = 0; i < kDevices; ++i)
      generators.push_back(
          at::make_generator<DeviceGenerator>(device_at(i), at::detail::createCPUGenerator(i + 1)));
    return generators;
  }();
  return device_generators.at(size_t(device_at(index).index()));
}

std::mutex mutex;
std::vector<int64_t> copy_sizes;  // bytes of each copy to the host

void count_copy_to_host(size_t bytes) {
  const std::lock_guard lock(mutex);
  copy_sizes.push_back(int64_t(bytes));
}

std::vector<int64_t> copies_to_host() {
  const std::lock_guard lock(mutex);
  return std::exchange(copy_sizes, {});
}

}  // namespace
