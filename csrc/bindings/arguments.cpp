#include "arguments.h"

namespace py = pybind11;

namespace layerbits {
namespace {

struct DlManagedTensor {
  DlTensor tensor;
};

struct DlManagedTensorVersioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(DlManagedTensorVersioned*);
  uint64_t flags;
  DlTensor tensor;
};

constexpr uint64_t kReadOnly = 1;
constexpr uint8_t kSigned = 0, kFloat = 2;

std::string shape_text(const DlTensor& tensor) {
  std::string text = "(";
  for (int i = 0; i < tensor.ndim; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(tensor.shape[i]);
  }
  return text.append(tensor.ndim == 1 ? ",)" : ")");
}

std::string dtype_text(const DlTensor& tensor) {
  static const char* const kNames[] = {"int",    "uint",    "float", "opaque",
                                       "bfloat", "complex", "bool"};
  return (tensor.type_code < 7 ? kNames[tensor.type_code] : "type ") +
         std::to_string(tensor.type_bits);
}

std::string type_name(py::handle value) {
  return py::str(py::type::handle_of(value).attr("__name__"));
}

[[noreturn]] void wrong_type(const Spec& spec, const std::string& got, const std::string& wanted) {
  throw py::type_error(std::string(spec.name) + ": got " + got + ", wanted " + wanted);
}

[[noreturn]] void wrong_value(const Spec& spec, const std::string& got, const std::string& wanted) {
  throw py::value_error(std::string(spec.name) + ": got " + got + ", wanted " + wanted);
}

std::pair<int, int> device_of(const Spec& spec, py::handle value) {
  const py::object device = value.attr("__dlpack_device__")();
  try {
    return device.cast<std::pair<int, int>>();
  } catch (const py::cast_error&) {
    wrong_type(spec, "an unknown result of __dlpack_device__", "a pair of integers");
  }
}

// The fake tensors of torch.compile have a shape and no memory.
void check_memory(const Spec& spec, const DlTensor& tensor) {
  bool empty = false;
  for (int i = 0; i < tensor.ndim; ++i) empty |= tensor.shape[i] == 0;
  if (tensor.data == nullptr && !empty)
    wrong_value(spec, "an array without memory", "one with memory");
}

// Newer producers export read-only arrays only to consumers that pass `max_version`; older
// producers do not accept this keyword. An operation runs on the stream that its caller passes;
// stream = -1 keeps the producer from synchronizing with another stream.
py::object export_capsule(const Spec& spec, py::handle value, int device_type) {
  py::dict options;
  if (device_type == kCuda) options["stream"] = -1;
  try {
    try {
      return value.attr("__dlpack__")(py::arg("max_version") = py::make_tuple(1, 0), **options);
    } catch (py::error_already_set& error) {
      if (!error.matches(PyExc_TypeError)) throw;
    }
    return value.attr("__dlpack__")(**options);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_BufferError)) throw;
    wrong_type(spec, "an array that cannot be shared (" + std::string(py::str(error.value())) + ")",
               "one in plain memory of native float32, float64 or int64");
  }
}

const DlTensor& open_capsule(const Spec& spec, const py::object& capsule) {
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned")) {
    const auto* managed = static_cast<DlManagedTensorVersioned*>(
        PyCapsule_GetPointer(capsule.ptr(), "dltensor_versioned"));
    if (spec.writable && (managed->flags & kReadOnly))
      wrong_value(spec, "a read-only array", "a writable one");
    return managed->tensor;
  }
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor"))
    return static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"))->tensor;
  wrong_type(spec, "an unknown result of __dlpack__", "a DLPack capsule");
}

}  // namespace

Array Arguments::take(const Spec& spec, py::handle value) {
  if (!py::hasattr(value, "__dlpack__") || !py::hasattr(value, "__dlpack_device__"))
    wrong_type(spec, type_name(value), "a torch.Tensor or numpy.ndarray");
  const auto [device_type, device_id] = device_of(spec, value);
  check_device(spec, device_type, device_id);
  Array array;
  array.capsule_ = export_capsule(spec, value, device_type);
  const DlTensor& tensor = open_capsule(spec, array.capsule_);
  check_device(spec, tensor.device_type, tensor.device_id);
  check_memory(spec, tensor);
  check_dtype(spec, tensor);
  check_sizes(spec, tensor);
  array.data_ = static_cast<char*>(tensor.data) + tensor.byte_offset;
  if (reinterpret_cast<uintptr_t>(array.data_) % (tensor.type_bits / 8) != 0)
    wrong_value(spec, "memory that is not aligned to its dtype", "an aligned array: make a copy");
  array.sizes_.assign(tensor.shape, tensor.shape + tensor.ndim);
  array.strides_.assign(size_t(tensor.ndim), 1);
  for (int i = tensor.ndim - 2; i >= 0; --i)
    array.strides_[i] = array.strides_[i + 1] * tensor.shape[i + 1];
  if (tensor.strides != nullptr)
    array.strides_.assign(tensor.strides, tensor.strides + tensor.ndim);
  return array;
}

void Arguments::check_device(const Spec& spec, int type, int id) {
  if (spec.on_host || device_type_ == kCpu) {
    if (type != kCpu && type != kPinned)
      wrong_value(spec, "an array that is not in the memory of the CPU",
                  "one that is: move it there, for instance with .cpu()");
    return;
  }
  if (type != device_type_)
    wrong_value(spec, "an array that is not in the memory of a CUDA device",
                "one that is: move it there, for instance with .cuda()");
  if (device_owner_.empty()) device_ = id, device_owner_ = spec.name;
  if (device_ != id)
    wrong_value(spec, "an array on device " + std::to_string(id),
                "one on device " + std::to_string(device_) + " like " + device_owner_);
}

void Arguments::check_dtype(const Spec& spec, const DlTensor& tensor) {
  const bool is_float = tensor.type_lanes == 1 && tensor.type_code == kFloat &&
                        (tensor.type_bits == 32 || tensor.type_bits == 64);
  const bool is_int64 =
      tensor.type_lanes == 1 && tensor.type_code == kSigned && tensor.type_bits == 64;
  const std::string got = "dtype " + dtype_text(tensor);
  switch (spec.dtype) {
    case Dtype::kInt64:
      if (!is_int64) wrong_type(spec, got, "int64");
      return;
    case Dtype::kFloat64:
      if (!is_float || tensor.type_bits != 64) wrong_type(spec, got, "float64");
      return;
    case Dtype::kFloating:
      if (!is_float) wrong_type(spec, got, "float32 or float64");
      if (floating_bits_ == 0) floating_bits_ = tensor.type_bits, floating_owner_ = spec.name;
      if (floating_bits_ != tensor.type_bits)
        wrong_type(spec, got,
                   "float" + std::to_string(floating_bits_) + " like " + floating_owner_ +
                       ": convert one of them");
  }
}

void Arguments::check_sizes(const Spec& spec, const DlTensor& tensor) {
  std::string wanted = "(", reasons;
  bool fits = tensor.ndim == int(spec.sizes.size());
  for (size_t i = 0; i < spec.sizes.size(); ++i) {
    const std::string symbol = spec.sizes[i];
    const auto entry = sizes_.find(symbol);
    if (i > 0) wanted += ", ";
    if (entry == sizes_.end()) {
      wanted += symbol;
      continue;
    }
    const auto& [size, owner] = entry->second;
    wanted += std::to_string(size);
    reasons.append(reasons.empty() ? " to match " : " and ").append(owner);
    fits = fits && tensor.shape[i] == size;
  }
  wanted.append(spec.sizes.size() == 1 ? ",)" : ")");
  if (!fits) wrong_value(spec, "shape " + shape_text(tensor), "shape " + wanted + reasons);
  for (size_t i = 0; i < spec.sizes.size(); ++i)
    sizes_.try_emplace(spec.sizes[i], tensor.shape[i], spec.name);
  if (spec.sizes.size() == 2 && tensor.shape[1] == 0)
    wrong_value(spec, "shape " + shape_text(tensor), "at least one coordinate");
}

Groups groups(const char* name, const Array& offsets, int64_t rows) {
  const Groups result{offsets.vector<const int64_t>(), rows};
  if (!offsets) return result;
  const auto refuse = [&](const std::string& got) {
    throw py::value_error(std::string(name) + ": got " + got +
                          ", wanted nondecreasing offsets from 0 to " + std::to_string(rows));
  };
  const Vector<const int64_t>& values = result.offsets;
  if (values.size == 0) refuse("no offsets");
  if (values[0] != 0) refuse(std::to_string(values[0]) + " first");
  for (int64_t g = 1; g < values.size; ++g)
    if (values[g] < values[g - 1])
      refuse(std::to_string(values[g]) + " at index " + std::to_string(g));
  if (values[values.size - 1] != rows) refuse(std::to_string(values[values.size - 1]) + " last");
  return result;
}

}  // namespace layerbits
