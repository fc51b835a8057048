// Two CUDA devices for a torch without CUDA, whose memory is the host's: for tests of what passes
// tensors around. Loaded before torch asks whether there is CUDA, it is there for all the process.
//
// An operator that torch makes of others stays as it is. One with a kernel for the CPU runs that,
// over the same memory, once its arguments were seen to be on one device, and what it returns is
// said to be on that device. It tests devices, copies and errors; it knows nothing of time, of
// streams, nor of CUDA's own arithmetic.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/stack.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstring>
#include <mutex>
#include <string>
#include <unordered_map>
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
thread_local DeviceIndex current = 0;

Device on(DeviceIndex index) { return {kType, index < 0 ? current : index}; }

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kType; }
  Device exchangeDevice(Device device) const override {
    const Device former = getDevice();
    setDevice(device);
    return former;
  }
  Device getDevice() const override { return on(current); }
  void setDevice(Device device) const override {
    TORCH_CHECK(device.index() < kDevices, "CUDA error: invalid device ordinal");
    uncheckedSetDevice(device);
  }
  void uncheckedSetDevice(Device device) const noexcept override {
    if (device.index() >= 0) current = device.index();
  }
  Stream getStream(Device device) const override {
    return Stream(Stream::DEFAULT, on(device.index()));
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
  static const std::vector<Generator> generators = [] {
    std::vector<Generator> made;
    for (DeviceIndex i = 0; i < kDevices; ++i)
      made.push_back(
          at::make_generator<DeviceGenerator>(on(i), at::detail::createCPUGenerator(i + 1)));
    return made;
  }();
  return generators.at(size_t(on(index).index()));
}

struct CUDAHooks final : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  int getNumGPUs() const override { return kDevices; }
  DeviceIndex deviceCount() const override { return kDevices; }
  DeviceIndex current_device() const override { return current; }
  DeviceIndex getCurrentDevice() const override { return current; }
  void setCurrentDevice(DeviceIndex index) const override { Guard().setDevice(on(index)); }
  DeviceIndex exchangeDevice(DeviceIndex index) const override {
    return Guard().exchangeDevice(on(index)).index();
  }
  DeviceIndex maybeExchangeDevice(DeviceIndex index) const override {
    return exchangeDevice(index);
  }
  const Generator& getDefaultGenerator(DeviceIndex index) const override {
    return default_generator(index);
  }
  Generator getNewGenerator(DeviceIndex index) const override {
    return at::make_generator<DeviceGenerator>(on(index), at::detail::createCPUGenerator());
  }
  at::Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
  void deviceSynchronize(DeviceIndex) const override {}
};

// Takes what owns memory of the host for that of a device.
c10::DataPtr on_device(c10::DataPtr host, Device device) {
  void* data = host.get();
  auto* owner = new c10::DataPtr(std::move(host));
  return {data, owner, [](void* owner) { delete static_cast<c10::DataPtr*>(owner); }, device};
}

std::mutex mutex;
std::vector<int64_t> to_host;  // bytes of each copy

void count_copy_to_host(size_t bytes) {
  const std::lock_guard lock(mutex);
  to_host.push_back(int64_t(bytes));
}

std::vector<int64_t> copies_to_host() {
  const std::lock_guard lock(mutex);
  return std::exchange(to_host, {});
}

Tensor tensor_over(const Storage& storage, c10::DispatchKey key, const Tensor& like) {
  const TensorImpl* const from = like.unsafeGetTensorImpl();
  c10::DispatchKeySet keys(key);
  if (from->_is_zerotensor()) keys = keys.add(c10::DispatchKey::ZeroTensor);
  Tensor made = at::detail::make_tensor<TensorImpl>(Storage(storage), keys, like.dtype());
  TensorImpl* const to = made.unsafeGetTensorImpl();
  to->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  to->_set_conj(from->is_conj());
  to->_set_neg(from->is_neg());
  if (from->is_wrapped_number()) to->set_wrapped_number(true);
  return made;
}

template <typename F>
IValue map_tensors(const IValue& value, const F& f) {
  if (value.isTensor()) return value.toTensor().defined() ? f(value.toTensor()) : value;
  if (value.isTensorList()) {
    c10::List<Tensor> list;
    for (const Tensor& tensor : value.toTensorVector())
      list.push_back(tensor.defined() ? f(tensor) : tensor);
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<Tensor>> list;
    for (const std::optional<Tensor>& tensor : value.toOptionalTensorVector())
      list.push_back(tensor && tensor->defined() ? f(*tensor) : tensor);
    return list;
  }
  return value;
}

// One call of an operator, over the host's view of its arguments.
class Call {
 public:
  explicit Call(const c10::OperatorHandle& op)
      : op_(op), name_(op.operator_name().name.substr(strlen("aten::"))) {}

  void run(torch::jit::Stack* stack) {
    const auto& arguments = op_.schema().arguments();
    const size_t first = stack->size() - arguments.size();
    for (size_t i = 0; i < arguments.size(); ++i) look(arguments[i], (*stack)[first + i]);
    TORCH_INTERNAL_ASSERT(device_, "no argument of ", name_, " is on a device");
    if (name_ == "copy_") {
      if (arguments_[0].tensor.is_cpu()) count_copy_to_host(arguments_[1].tensor.nbytes());
    } else {
      check_devices();
    }
    for (size_t i = 0; i < arguments.size(); ++i)
      (*stack)[first + i] = to_host(arguments[i], (*stack)[first + i]);
    {
      const at::AutoDispatchBelowADInplaceOrView below;
      op_.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
    }
    write_back();
    for (size_t i = stack->size() - op_.schema().returns().size(); i < stack->size(); ++i) {
      IValue& value = (*stack)[i];
      if (value.isScalar()) count_copy_to_host(arguments_[0].tensor.element_size());
      value = map_tensors(value, [this](const Tensor& host) { return to_device(host); });
    }
  }

 private:
  struct Argument {
    Tensor tensor;
    std::string name;
    bool written;
  };
  struct View {
    Tensor original, host;
  };

  void look(const c10::Argument& argument, const IValue& value) {
    const bool written = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
    map_tensors(value, [&](const Tensor& tensor) {
      arguments_.push_back({tensor, argument.name(), written});
      if (!tensor.is_cpu() && !device_) device_ = tensor.device();
      return tensor;
    });
    if (value.isDevice()) device_ = on(value.toDevice().index());
  }

  // As torch has it: one number of the CPU may go along, unless it is written to.
  void check_devices() const {
    const bool indexes = name_.find("index") != std::string::npos;
    int numbers = 0;
    for (const auto& [tensor, name, written] : arguments_) {
      if (tensor.device() == *device_) continue;
      if (tensor.is_cpu() && !written) {
        if (indexes && name == "indices") continue;
        if (tensor.dim() == 0 && (++numbers == 1 || name_ == "where")) continue;
      }
      TORCH_CHECK(false, "Expected all tensors to be on the same device, but found at least two ",
                  "devices, ", *device_, " and ", tensor.device(), "! (", name, " of ", name_, ")");
    }
  }

  IValue to_host(const c10::Argument& argument, const IValue& value) {
    if (value.isStorage()) return host_storage(value.toStorage());
    if (value.isDevice()) return Device(c10::kCPU);
    if (argument.name() == "generator") {
      const Generator generator =
          value.isNone() ? default_generator(device_->index()) : value.toGenerator();
      TORCH_CHECK(generator.device().type() == kType,
                  "Expected a 'cuda' device type for generator but found '",
                  generator.device().type(), "'");
      return static_cast<DeviceGenerator*>(generator.unsafeGetGeneratorImpl())->host;
    }
    return map_tensors(value, [this](const Tensor& original) {
      if (original.is_cpu()) return original;
      const Storage& storage = host_storage(original.storage());
      views_.push_back({original, tensor_over(storage, c10::DispatchKey::CPU, original)});
      return views_.back().host;
    });
  }

  const Storage& host_storage(const Storage& original) {
    StorageImpl* const key = original.unsafeGetStorageImpl();
    auto found = host_storages_.find(key);
    if (found == host_storages_.end()) {
      const Storage host(c10::make_intrusive<StorageImpl>(
          StorageImpl::use_byte_size_t(), original.nbytes(),
          c10::DataPtr(original.mutable_data(), Device(c10::kCPU)), c10::GetCPUAllocator(), true));
      found = host_storages_.emplace(key, host).first;
      originals_.emplace(host.unsafeGetStorageImpl(), original);
    }
    return found->second;
  }

  // What the operator has resized has other memory, sizes or strides than before.
  void write_back() {
    for (const auto& [storage, host] : host_storages_) {
      if (host.data() == storage->data() && host.nbytes() == storage->nbytes()) continue;
      storage->set_data_ptr_noswap(
          on_device(host.unsafeGetStorageImpl()->set_data_ptr({}), *device_));
      storage->set_nbytes(host.nbytes());
    }
    for (const auto& [original, host] : views_) {
      TensorImpl* const impl = original.unsafeGetTensorImpl();
      const Storage& storage = device_storage(host.storage());
      if (!storage.is_alias_of(original.storage())) impl->set_storage_keep_dtype(storage);
      if (original.sizes() != host.sizes() || original.strides() != host.strides() ||
          original.storage_offset() != host.storage_offset())
        impl->set_sizes_and_strides(host.sizes(), host.strides(), host.storage_offset());
    }
  }

  const Storage& device_storage(const Storage& host) {
    StorageImpl* const key = host.unsafeGetStorageImpl();
    auto found = originals_.find(key);
    if (found == originals_.end()) {
      const size_t size = host.nbytes();
      if (name_.find("empty") == 0 && size > 0) memset(key->mutable_data(), 0xFF, size);  // NaN
      const Storage made(c10::make_intrusive<StorageImpl>(
          StorageImpl::use_byte_size_t(), size, on_device(key->set_data_ptr({}), *device_), nullptr,
          false));
      found = originals_.emplace(key, made).first;
    }
    return found->second;
  }

  Tensor to_device(const Tensor& host) {
    for (const View& view : views_)
      if (view.host.is_same(host)) return view.original;
    for (const Argument& argument : arguments_)
      if (argument.tensor.is_same(host)) return host;
    return tensor_over(device_storage(host.storage()), c10::DispatchKey::CUDA, host);
  }

  const c10::OperatorHandle& op_;
  const std::string name_;
  std::optional<Device> device_;
  std::vector<Argument> arguments_;
  std::vector<View> views_;
  std::unordered_map<StorageImpl*, Storage> host_storages_, originals_;
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
  add("aten::copy_");  // torch's is the same for all devices, but ends in what only CUDA's part
                       // brings
}

TORCH_LIBRARY(layerbits_stand_in, m) {
  m.def("copies_to_host", &copies_to_host);
  m.def("default_generator", [](int64_t index) { return default_generator(DeviceIndex(index)); });
  m.def("exchange_device", [](int64_t index) {
    return int64_t(Guard().exchangeDevice({kType, DeviceIndex(index)}).index());
  });
}
