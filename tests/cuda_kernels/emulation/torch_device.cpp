// Two CUDA devices for a torch without CUDA, whose memory is the host's: for tests of what passes
// tensors around. torch.ops.load_library registers them for the whole process.
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
#include <string_view>
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

void count_copy_to_host(const Tensor& tensor) {
  const std::lock_guard lock(mutex);
  to_host.push_back(int64_t(tensor.nbytes()));
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

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  for (const std::string_view one : names)
    if (name == one) return true;
  return false;
}

// One call of an operator, over the host's view of its arguments.
class Call {
 public:
  explicit Call(const c10::OperatorHandle& op) : op_(op), name_(op.operator_name().name) {
    name_.remove_prefix(std::min(name_.size(), name_.find("::") + 2));
  }

  void run(torch::jit::Stack* stack) {
    const auto& schema = op_.schema();
    const size_t first = stack->size() - schema.arguments().size();
    for (size_t i = 0; i < schema.arguments().size(); ++i)
      look(schema.arguments()[i], (*stack)[first + i]);
    TORCH_INTERNAL_ASSERT(device_, "no argument of ", name_, " is on a device");
    check_devices();
    for (size_t i = 0; i < schema.arguments().size(); ++i)
      (*stack)[first + i] = to_host_view(schema.arguments()[i], (*stack)[first + i]);
    {
      const at::AutoDispatchBelowADInplaceOrView below;
      op_.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
    }
    write_back();
    for (size_t i = stack->size() - schema.returns().size(); i < stack->size(); ++i)
      (*stack)[i] = to_device((*stack)[i]);
  }

 private:
  struct View {
    Tensor original, host;
  };

  template <typename F>
  static void for_each_tensor(const IValue& value, const F& f) {
    if (value.isTensor()) {
      if (value.toTensor().defined()) f(value.toTensor());
    } else if (value.isList()) {
      for (const IValue& element : value.toListRef()) for_each_tensor(element, f);
    }
  }

  void look(const c10::Argument& argument, const IValue& value) {
    const bool written = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
    for_each_tensor(value, [&](const Tensor& tensor) {
      seen_.push_back({tensor, written, argument.name()});
      if (tensor.device().type() == kType && !device_) device_ = tensor.device();
    });
    if (value.isDevice() && value.toDevice().type() == kType)
      device_ = on(value.toDevice().index());
  }

  // As torch has it: a CPU scalar may go along, unless it is written to; copies go anywhere.
  void check_devices() const {
    if (is_one_of(name_, {"copy_", "_copy_from", "_copy_from_and_resize"})) {
      if (seen_[0].tensor.is_cpu() != seen_[1].tensor.is_cpu()) {
        const Tensor& source = seen_[name_ == "copy_" ? 1 : 0].tensor;
        if (!source.is_cpu()) count_copy_to_host(source);
      }
      return;
    }
    if (name_ == "_local_scalar_dense") count_copy_to_host(seen_[0].tensor);
    const bool indexes =
        name_.find("index") == 0 || name_.find("_index") == 0 || name_.find("_unsafe_index") == 0;
    int scalars = 0;
    for (const Seen& seen : seen_) {
      const Tensor& tensor = seen.tensor;
      if (tensor.device() == *device_) continue;
      if (tensor.is_cpu() && !seen.written) {
        if (indexes && seen.name == "indices") continue;
        if (tensor.dim() == 0 && (++scalars == 1 || name_ == "where")) continue;
      }
      TORCH_CHECK(false,
                  "Expected all tensors to be on the same device, but found at least two "
                  "devices, ",
                  *device_, " and ", tensor.device(), "! (", seen.name, " of ", name_, ")");
    }
  }

  IValue to_host_view(const c10::Argument& argument, const IValue& value) {
    if (value.isTensor()) return value.toTensor().defined() ? view(value.toTensor()) : value;
    if (value.isStorage()) return host_storage(value.toStorage());
    if (value.isDevice()) return Device(c10::kCPU);
    if (value.isGenerator()) {
      const Generator generator = value.toGenerator();
      TORCH_CHECK(generator.device().type() == kType,
                  "Expected a 'cuda' device type for generator "
                  "but found '",
                  generator.device().type(), "'");
      return static_cast<DeviceGenerator*>(generator.unsafeGetGeneratorImpl())->host;
    }
    if (value.isNone() &&
        argument.type()->isSubtypeOf(*c10::OptionalType::create(c10::GeneratorType::get())) &&
        argument.name() == "generator")
      return static_cast<DeviceGenerator*>(
                 default_generator(device_->index()).unsafeGetGeneratorImpl())
          ->host;
    if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& tensor : value.toTensorVector())
        list.push_back(tensor.defined() ? view(tensor) : tensor);
      return list;
    }
    if (value.isOptionalTensorList()) {
      c10::List<std::optional<Tensor>> list;
      for (const std::optional<Tensor>& tensor : value.toOptionalTensorVector())
        list.push_back(tensor && tensor->defined() ? std::optional(view(*tensor)) : tensor);
      return list;
    }
    return value;
  }

  Tensor view(const Tensor& original) {
    if (original.device().type() != kType) return original;
    Tensor host = tensor_over(host_storage(original.storage()), c10::DispatchKey::CPU, original);
    views_.push_back({original, host});
    return host;
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
    for (const View& view : views_) {
      TensorImpl* const original = view.original.unsafeGetTensorImpl();
      const Storage& storage = device_storage(view.host.storage());
      if (!storage.is_alias_of(view.original.storage())) original->set_storage_keep_dtype(storage);
      if (original->sizes() != view.host.sizes() || original->strides() != view.host.strides() ||
          original->storage_offset() != view.host.storage_offset())
        original->set_sizes_and_strides(view.host.sizes(), view.host.strides(),
                                        view.host.storage_offset());
    }
  }

  const Storage& device_storage(const Storage& host) {
    StorageImpl* const key = host.unsafeGetStorageImpl();
    auto found = originals_.find(key);
    if (found == originals_.end()) {
      const size_t size = host.nbytes();
      if (name_.find("empty") == 0 && size > 0) std::memset(key->mutable_data(), 0xFF, size);
      found = originals_
                  .emplace(key, Storage(c10::make_intrusive<StorageImpl>(
                                    StorageImpl::use_byte_size_t(), size,
                                    on_device(key->set_data_ptr({}), *device_), nullptr, false)))
                  .first;
      kept_.push_back(host);
    }
    return found->second;
  }

  IValue to_device(const IValue& value) {
    if (value.isTensor()) return value.toTensor().defined() ? to_device(value.toTensor()) : value;
    if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& tensor : value.toTensorVector())
        list.push_back(tensor.defined() ? to_device(tensor) : tensor);
      return list;
    }
    return value;
  }

  Tensor to_device(const Tensor& host) {
    for (const View& view : views_)
      if (view.host.is_same(host)) return view.original;
    for (const Seen& seen : seen_)
      if (seen.tensor.is_same(host)) return host;
    return tensor_over(device_storage(host.storage()), c10::DispatchKey::CUDA, host);
  }

  struct Seen {
    Tensor tensor;
    bool written;
    std::string name;
  };

  const c10::OperatorHandle& op_;
  std::string_view name_;
  std::optional<Device> device_;
  std::vector<Seen> seen_;
  std::vector<View> views_;
  std::vector<Storage> kept_;
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
