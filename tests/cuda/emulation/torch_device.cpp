// Two CUDA devices in host memory, for tests of code that passes tensors to devices in a torch
// without CUDA. The library must be loaded before torch checks for CUDA, and cannot be unloaded.
//
// An operator that consists of other operators is unchanged. An operator with a kernel for the CPU
// runs that kernel (device_call.h). The emulation has devices, copies and errors, but no time, no
// streams and no arithmetic of CUDA.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include "device_call.h"

namespace {

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kType; }
  Device exchangeDevice(Device device) const override {
    const Device former = getDevice();
    setDevice(device);
    return former;
  }
  Device getDevice() const override { return device_at(current_device_index); }
  void setDevice(Device device) const override {
    TORCH_CHECK(device.index() < kDevices, "CUDA error: invalid device ordinal");
    uncheckedSetDevice(device);
  }
  void uncheckedSetDevice(Device device) const noexcept override {
    if (device.index() >= 0) current_device_index = device.index();
  }
  Stream getStream(Device device) const override {
    return Stream(Stream::DEFAULT, device_at(device.index()));
  }
  Stream getDefaultStream(Device device) const override { return getStream(device); }
  Stream exchangeStream(Stream stream) const override { return getStream(stream.device()); }
  DeviceIndex deviceCount() const noexcept override { return kDevices; }
  void record(void**, const Stream&, DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeStream(const Stream&) const override {}
  void synchronizeDevice(DeviceIndex) const override {}
};

struct CUDAHooks final : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  int getNumGPUs() const override { return kDevices; }
  DeviceIndex deviceCount() const override { return kDevices; }
  DeviceIndex current_device() const override { return current_device_index; }
  DeviceIndex getCurrentDevice() const override { return current_device_index; }
  void setCurrentDevice(DeviceIndex index) const override { Guard().setDevice(device_at(index)); }
  DeviceIndex exchangeDevice(DeviceIndex index) const override {
    return Guard().exchangeDevice(device_at(index)).index();
  }
  DeviceIndex maybeExchangeDevice(DeviceIndex index) const override {
    return exchangeDevice(index);
  }
  const Generator& getDefaultGenerator(DeviceIndex index) const override {
    return default_generator(index);
  }
  Generator getNewGenerator(DeviceIndex index) const override {
    return at::make_generator<DeviceGenerator>(device_at(index), at::detail::createCPUGenerator());
  }
  at::Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
  void deviceSynchronize(DeviceIndex) const override {}
};

void call(const c10::OperatorHandle& op, torch::jit::Stack* stack) { Call(op).run(stack); }

}  // namespace

namespace at {
REGISTER_CUDA_HOOKS(CUDAHooks)
}
C10_REGISTER_GUARD_IMPL(CUDA, Guard)

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  const auto add = [&m](const std::string& name) {
    m.impl(name.c_str(), torch::CppFunction::makeFromBoxedFunction<&call>());
  };
  c10::Dispatcher& operators = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : operators.getAllOpNames())
    if (name.name.rfind("aten::", 0) == 0 &&
        operators.findOp(name)->hasKernelForDispatchKey(c10::DispatchKey::CPU))
      add(c10::toString(name));
  // torch's copy_ serves all devices, but calls functions that only a build with CUDA has.
  add("aten::copy_");
}

TORCH_LIBRARY(layerbits_stand_in, m) {
  m.def("copies_to_host", &copies_to_host);
  m.def("default_generator", [](int64_t index) { return default_generator(DeviceIndex(index)); });
  m.def("exchange_device", [](int64_t index) {
    return int64_t(Guard().exchangeDevice({kType, DeviceIndex(index)}).index());
  });
}
