// Calls of operators on emulated devices. After a check that all arguments are on one device, the
// kernel of the CPU runs on their memory; its results are relabelled as tensors of that device.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/stack.h>
#include <c10/core/CPUAllocator.h>

#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "torch_devices.h"

namespace {

// Relabels memory of the host as memory of a device; the result owns it.
c10::DataPtr on_device(c10::DataPtr host, Device device) {
  void* data = host.get();
  auto* owner = new c10::DataPtr(std::move(host));
  return {data, owner, [](void* owner) { delete static_cast<c10::DataPtr*>(owner); }, device};
}

Tensor tensor_over(const Storage& storage, c10::DispatchKey key, const Tensor& like) {
  const TensorImpl* const from = like.unsafeGetTensorImpl();
  c10::DispatchKeySet keys(key);
  if (from->_is_zerotensor()) keys = keys.add(c10::DispatchKey::ZeroTensor);
  Tensor result = at::detail::make_tensor<TensorImpl>(Storage(storage), keys, like.dtype());
  TensorImpl* const impl = result.unsafeGetTensorImpl();
  impl->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  impl->_set_conj(from->is_conj());
  impl->_set_neg(from->is_neg());
  if (from->is_wrapped_number()) impl->set_wrapped_number(true);
  return result;
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

// A call of an operator on a device: runs the kernel of the CPU on the same memory.
class Call {
 public:
  explicit Call(const c10::OperatorHandle& op)
      : op_(op), name_(op.operator_name().name.substr(strlen("aten::"))) {}

  void run(torch::jit::Stack* stack) {
    const auto& arguments = op_.schema().arguments();
    const size_t first = stack->size() - arguments.size();
    for (size_t i = 0; i < arguments.size(); ++i) add_argument(arguments[i], (*stack)[first + i]);
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

  void add_argument(const c10::Argument& argument, const IValue& value) {
    const bool written = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
    map_tensors(value, [&](const Tensor& tensor) {
      arguments_.push_back({tensor, argument.name(), written});
      if (!tensor.is_cpu() && !device_) device_ = tensor.device();
      return tensor;
    });
    if (value.isDevice()) device_ = device_at(value.toDevice().index());
  }

  // As torch does, accepts one scalar of the CPU that is not written, any number of scalars for
  // `where`, and indices on the CPU.
  void check_devices() const {
    const bool indexes = name_.find("index") != std::string::npos;
    int scalars = 0;
    for (const auto& [tensor, name, written] : arguments_) {
      if (tensor.device() == *device_) continue;
      if (tensor.is_cpu() && !written) {
        if (indexes && name == "indices") continue;
        if (tensor.dim() == 0 && (++scalars == 1 || name_ == "where")) continue;
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
    auto entry = host_storages_.find(key);
    if (entry == host_storages_.end()) {
      const Storage host(c10::make_intrusive<StorageImpl>(
          StorageImpl::use_byte_size_t(), original.nbytes(),
          c10::DataPtr(original.mutable_data(), Device(c10::kCPU)), c10::GetCPUAllocator(), true));
      entry = host_storages_.emplace(key, host).first;
      originals_.emplace(host.unsafeGetStorageImpl(), original);
    }
    return entry->second;
  }

  // Gives the tensors of the device the memory, sizes and strides that the operator has changed.
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
    auto entry = originals_.find(key);
    if (entry == originals_.end()) {
      const size_t size = host.nbytes();
      if (name_.find("empty") == 0 && size > 0) memset(key->mutable_data(), 0xFF, size);  // NaN
      const Storage storage(c10::make_intrusive<StorageImpl>(
          StorageImpl::use_byte_size_t(), size, on_device(key->set_data_ptr({}), *device_), nullptr,
          false));
      entry = originals_.emplace(key, storage).first;
    }
    return entry->second;
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

}  // namespace
