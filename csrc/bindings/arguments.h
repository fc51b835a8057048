// Checks arrays from Python. An operation has a Spec for each array; take() reads an array by the
// standard __dlpack__ protocol and checks type, device, memory, dtype, number of dimensions, sizes,
// alignment and, for outputs, that the array is writable. A violation raises a TypeError or
// ValueError that names the argument, and says what was got and wanted. Contains no algorithm.
#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <string>
#include <vector>

#include "../api/views.h"

namespace layerbits {

// The part of the DLPack ABI (v1) that the check reads.
struct DlTensor {
  void* data;
  int32_t device_type, device_id;
  int32_t ndim;
  uint8_t type_code, type_bits;
  uint16_t type_lanes;
  int64_t* shape;
  int64_t* strides;  // null: contiguous
  uint64_t byte_offset;
};

// kFloating: float32 or float64, the same for all kFloating arrays of a call.
enum class Dtype { kFloating, kFloat64, kInt64 };

struct Spec {
  const char* name;
  Dtype dtype;
  std::vector<const char*> sizes;  // equal symbols stand for equal sizes
  bool writable = false;
  bool on_host = false;  // in the memory of the CPU, even if other arguments are on a device
};

// The kinds of memory, by their numbers in DLPack. Pinned memory belongs to the CPU.
inline constexpr int kCpu = 1, kCuda = 2, kPinned = 3;

// An array of the caller, which stays alive, and views of the array.
class Array {
 public:
  explicit operator bool() const { return data_ != nullptr || sizes_.size() != 0; }
  int64_t size(int axis) const { return sizes_[axis]; }

  template <typename T>
  Vector<T> vector() const {
    if (sizes_.empty()) return {};
    return {static_cast<T*>(data_), sizes_[0], strides_[0]};
  }
  template <typename T>
  Matrix<T> matrix() const {
    if (sizes_.empty()) return {};
    return {static_cast<T*>(data_), sizes_[0], sizes_[1], strides_[0], strides_[1]};
  }
  template <typename T>
  Matrices<T> matrices() const {
    return {static_cast<T*>(data_), strides_[0], strides_[1], strides_[2]};
  }

 private:
  friend class Arguments;
  pybind11::object capsule_;
  void* data_ = nullptr;
  std::vector<int64_t> sizes_, strides_;
};

// The arguments of one call. The first array with a symbol, a floating dtype or a device determines
// the size, dtype or device of the other arrays.
class Arguments {
 public:
  explicit Arguments(int device_type = kCpu) : device_type_(device_type) {}
  Array take(const Spec& spec, pybind11::handle value);
  Array take_optional(const Spec& spec, pybind11::handle value) {
    return value.is_none() ? Array{} : take(spec, value);
  }
  bool is_float32() const { return floating_bits_ == 32; }
  int device() const { return device_; }

 private:
  void check_device(const Spec& spec, int type, int id);
  void check_dtype(const Spec& spec, const DlTensor& tensor);
  void check_sizes(const Spec& spec, const DlTensor& tensor);

  const int device_type_;
  int device_ = 0, floating_bits_ = 0;
  std::string device_owner_, floating_owner_;
  std::map<std::string, std::pair<int64_t, std::string>> sizes_;  // by symbol: size, argument
};

// Returns the groups of nondecreasing offsets from 0 to `rows`. Throws a ValueError for other
// offsets.
Groups groups(const char* name, const Array& offsets, int64_t rows);

}  // namespace layerbits
