// The module layerbits.kernels._cuda: the operations of cuda/cuda_operations.h with checked
// arguments, run without the interpreter's lock. Private: Python calls it through
// kernels/cuda_operations.py. Includes no header of CUDA.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <optional>

#include "../cuda/cuda_operations.h"
#include "operation_arguments.h"

namespace py = pybind11;

namespace layerbits {
namespace {

// The kind of memory of the arguments. An emulated build runs on host memory; if the tests also
// emulate torch's devices, DLPack labels that memory as CUDA memory.
#ifdef LAYERBITS_EMULATED
const int kMemory = getenv("LAYERBITS_EMULATED_DEVICES") ? kCuda : kCpu;
#else
constexpr int kMemory = kCuda;
#endif

// A forked process cannot use CUDA if its parent used CUDA before the fork.
void check_process() {
  static std::atomic<pid_t> first_user{0};
  pid_t user = 0;
  if (!first_user.compare_exchange_strong(user, getpid()) && user != getpid())
    throw std::runtime_error(
        "CUDA was used before this process was forked and cannot be used in it: start processes "
        "by spawn, for instance with multiprocessing.get_context('spawn')");
}

// Device memory from the caller's `allocate(count)`, which returns a float64 array of that size.
class Memory {
 public:
  Memory(py::object allocate, int device) : allocate_(std::move(allocate)), device_(device) {}

  void* operator()(size_t bytes) {
    const py::gil_scoped_acquire acquire;
    try {
      const size_t count = bytes / sizeof(double) + 1;
      Arguments arguments(kMemory);
      array_ = arguments.take({.name = "allocate(count)",
                               .dtype = Dtype::kFloat64,
                               .sizes = {"count"},
                               .writable = true},
                              allocate_(count));
      const Vector<double> memory = array_.vector<double>();
      if (size_t(memory.size) < count || memory.stride != 1 || arguments.device() != device_)
        throw py::value_error(
            "allocate(count): got an array that is too short, has gaps or is on another "
            "device, wanted a new one on the device of the arguments");
      return memory.data;
    } catch (py::error_already_set& error) {
      error.restore();
    } catch (py::builtin_exception& error) {
      error.set_error();
    }
    return nullptr;
  }

 private:
  py::object allocate_;
  const int device_;
  Array array_;
};

// Runs operation(T{}, stream) for the dtype T of the floating arrays, without the interpreter's
// lock. Polls for Ctrl-C on the main thread, and converts the status to an exception.
template <typename Operation>
void run(const Arguments& arguments, uintptr_t stream, py::object allocate,
         const Operation& operation) {
  check_process();
  Memory memory(std::move(allocate), arguments.device());
  const bool is_main = is_main_thread();
  const cuda::Stream device_stream{arguments.device(), reinterpret_cast<void*>(stream),
                                   [&](size_t bytes) { return memory(bytes); },
                                   [is_main] { return is_main && is_interrupted(); }};
  Status status;
  {
    py::gil_scoped_release release;
    status = for_dtype(arguments, [&](auto zero) { return operation(zero, device_stream); });
  }
  raise(status);
}

// Computes all pairs, or prunes if both orders are given; returns the share of the pairs of tiles
// that is summed, 1 without pruning.
double log_sum_exp_isotropic_any(py::object points, py::object centers, double sigma,
                                 py::object log_sum, uintptr_t stream, py::object allocate,
                                 py::object weights, py::object point_offsets,
                                 py::object center_offsets, py::object point_order,
                                 py::object center_order, std::optional<double> tolerance) {
  const double error_tolerance = error_tolerance_of(tolerance);
  Arguments arguments(kMemory);
  const MixtureArrays mixture(arguments, {.points = points,
                                          .centers = centers,
                                          .sigma = sigma,
                                          .weights = weights,
                                          .point_offsets = point_offsets,
                                          .center_offsets = center_offsets});
  const Array out = take_log_sum(arguments, log_sum);
  const auto take_order = [&](const char* name, const char* size, py::handle order) {
    return arguments.take_optional({.name = name, .dtype = Dtype::kInt64, .sizes = {size}}, order);
  };
  const Array point_permutation = take_order("point_order", "m", point_order);
  const Array center_permutation = take_order("center_order", "n", center_order);
  double share = 1;
  run(arguments, stream, allocate, [&]<typename T>(T, const cuda::Stream& device_stream) {
    const auto point_indices = point_permutation.vector<const int64_t>();
    const auto center_indices = center_permutation.vector<const int64_t>();
    if (!point_indices || !center_indices)
      return cuda::log_sum_exp_isotropic(mixture.view<T>(), out.vector<double>(), device_stream);
    return cuda::pruned_log_sum_exp(mixture.view<T>(), point_indices, center_indices,
                                    error_tolerance, out.vector<double>(), share, device_stream);
  });
  return share;
}

void log_sum_exp_isotropic_gradient_any(py::object points, py::object centers, double sigma,
                                        py::object log_sum, py::object upstream, uintptr_t stream,
                                        py::object allocate, py::object weights,
                                        py::object point_offsets, py::object center_offsets,
                                        py::object d_points, py::object d_centers,
                                        py::object d_weights, py::object d_sigma) {
  Arguments arguments(kMemory);
  const MixtureArrays mixture(arguments, {.points = points,
                                          .centers = centers,
                                          .sigma = sigma,
                                          .weights = weights,
                                          .point_offsets = point_offsets,
                                          .center_offsets = center_offsets});
  const GradientArrays gradient(arguments, {.log_sum = log_sum,
                                            .upstream = upstream,
                                            .d_points = d_points,
                                            .d_centers = d_centers,
                                            .d_weights = d_weights,
                                            .d_sigma = d_sigma});
  run(arguments, stream, allocate, [&]<typename T>(T, const cuda::Stream& device_stream) {
    return cuda::log_sum_exp_isotropic_gradient(mixture.view<T>(), gradient.view<T>(),
                                                device_stream);
  });
}

void log_sum_exp_full_any(py::object points, py::object centers, py::object factors,
                          py::object offsets, py::object log_sum, uintptr_t stream,
                          py::object allocate) {
  Arguments arguments(kMemory);
  const ComponentArrays arrays(arguments, {.points = points,
                                           .centers = centers,
                                           .factors = factors,
                                           .offsets = offsets,
                                           .log_sum = log_sum});
  run(arguments, stream, allocate, [&]<typename T>(T, const cuda::Stream& device_stream) {
    return cuda::log_sum_exp_full(arrays.points.matrix<const T>(), arrays.view<T>(),
                                  arrays.log_sum.vector<double>(), device_stream);
  });
}

void log_sum_exp_diagonal_any(py::object points, py::object centers, py::object factors,
                              py::object offsets, py::object log_sum, uintptr_t stream,
                              py::object allocate) {
  Arguments arguments(kMemory);
  const DiagonalArrays arrays(arguments, {.points = points,
                                          .centers = centers,
                                          .factors = factors,
                                          .offsets = offsets,
                                          .log_sum = log_sum});
  run(arguments, stream, allocate, [&]<typename T>(T, const cuda::Stream& device_stream) {
    return cuda::log_sum_exp_diagonal(arrays.points.matrix<const T>(), arrays.view<T>(),
                                      arrays.log_sum.vector<double>(), device_stream);
  });
}

void distance_histogram_any(py::object points, py::object edges, py::object counts,
                            uintptr_t stream, py::object allocate, py::object labels,
                            const std::string& metric_name) {
  const Metric metric = metric_of(metric_name);
  Arguments arguments(kMemory);
  const HistogramArrays arrays(
      arguments, {.points = points, .edges = edges, .counts = counts, .labels = labels});
  run(arguments, stream, allocate, [&]<typename T>(T, const cuda::Stream& device_stream) {
    return cuda::distance_histogram(arrays.points.matrix<const T>(),
                                    arrays.labels.vector<const int64_t>(),
                                    arrays.edges.vector<const double>(), metric,
                                    arrays.counts.matrix<int64_t>(), device_stream);
  });
}

double largest_distance_any(py::object points, uintptr_t stream, py::object allocate,
                            const std::string& metric_name) {
  const Metric metric = metric_of(metric_name);
  Arguments arguments(kMemory);
  const Array rows =
      arguments.take({.name = "points", .dtype = Dtype::kFloating, .sizes = {"n", "d"}}, points);
  double largest = 0;
  run(arguments, stream, allocate, [&]<typename T>(T, const cuda::Stream& device_stream) {
    return cuda::largest_distance(rows.matrix<const T>(), metric, largest, device_stream);
  });
  return largest;
}

void standard_normal_any(py::object values, const std::vector<uint64_t>& keys, int64_t first,
                         uintptr_t stream, py::object allocate) {
  Arguments arguments(kMemory);
  const Array out = arguments.take(
      {.name = "values", .dtype = Dtype::kFloating, .sizes = {"streams", "n"}, .writable = true},
      values);
  if (int64_t(keys.size()) != out.size(0))
    throw py::value_error("keys: got " + std::to_string(keys.size()) + ", wanted " +
                          std::to_string(out.size(0)) + ", one for each row of `values`");
  if (first < 0)
    throw py::value_error("first: got " + std::to_string(first) + ", wanted a number >= 0");
  run(arguments, stream, allocate, [&]<typename T>(T, const cuda::Stream& device_stream) {
    return cuda::standard_normal(out.matrix<T>(), keys, first, device_stream);
  });
}

int64_t peak_any(py::object values, int64_t steps, bool powers, uintptr_t stream,
                 py::object allocate) {
  Arguments arguments(kMemory);
  const Array out = arguments.take(
      {.name = "values", .dtype = Dtype::kFloating, .sizes = {"n"}, .writable = true}, values);
  int64_t count = 0;
  run(arguments, stream, allocate, [&]<typename T>(T, const cuda::Stream& device_stream) {
    return cuda::peak(out.vector<T>(), steps, powers, count, device_stream);
  });
  return count;
}

// Returns (name, reason) for each device; the reason is empty if the device is usable.
std::vector<std::pair<std::string, std::string>> devices() {
  std::vector<cuda::Device> devices;
  raise(cuda::find_devices(devices));
  // After find_devices(): a process that finds no device does not count as a user of CUDA.
  check_process();
  std::vector<std::pair<std::string, std::string>> names_and_reasons;
  for (const cuda::Device& device : devices)
    names_and_reasons.emplace_back(device.name + " (compute capability " +
                                       std::to_string(device.major) + "." +
                                       std::to_string(device.minor) + ")",
                                   device.reason);
  return names_and_reasons;
}

}  // namespace

PYBIND11_MODULE(LAYERBITS_MODULE, module) {
  using py::arg;
  module.doc() = "Kernels for CUDA devices; use layerbits.kernels.";
  module.def("log_sum_exp_isotropic", &log_sum_exp_isotropic_any, arg("points"), arg("centers"),
             arg("sigma"), arg("log_sum"), py::kw_only(), arg("stream"), arg("allocate"),
             arg("weights") = py::none(), arg("point_offsets") = py::none(),
             arg("center_offsets") = py::none(), arg("point_order") = py::none(),
             arg("center_order") = py::none(), arg("tolerance") = py::none());
  module.def("log_sum_exp_isotropic_gradient", &log_sum_exp_isotropic_gradient_any, arg("points"),
             arg("centers"), arg("sigma"), arg("log_sum"), arg("upstream"), py::kw_only(),
             arg("stream"), arg("allocate"), arg("weights") = py::none(),
             arg("point_offsets") = py::none(), arg("center_offsets") = py::none(),
             arg("d_points") = py::none(), arg("d_centers") = py::none(),
             arg("d_weights") = py::none(), arg("d_sigma") = py::none());
  module.def("log_sum_exp_full", &log_sum_exp_full_any, arg("points"), arg("centers"),
             arg("factors"), arg("offsets"), arg("log_sum"), py::kw_only(), arg("stream"),
             arg("allocate"));
  module.def("log_sum_exp_diagonal", &log_sum_exp_diagonal_any, arg("points"), arg("centers"),
             arg("factors"), arg("offsets"), arg("log_sum"), py::kw_only(), arg("stream"),
             arg("allocate"));
  module.def("distance_histogram", &distance_histogram_any, arg("points"), arg("edges"),
             arg("counts"), py::kw_only(), arg("stream"), arg("allocate"),
             arg("labels") = py::none(), arg("metric") = "euclidean");
  module.def("largest_distance", &largest_distance_any, arg("points"), py::kw_only(), arg("stream"),
             arg("allocate"), arg("metric") = "euclidean");
  module.def("standard_normal", &standard_normal_any, arg("values"), arg("keys"), arg("first"),
             py::kw_only(), arg("stream"), arg("allocate"));
  module.def("peak", &peak_any, arg("values"), arg("steps"), arg("powers"), py::kw_only(),
             arg("stream"), arg("allocate"),
             "Puts a kernel on the stream; returns its number of multiply-adds or powers of two.");
  module.def(
      "devices", &devices,
      "Return (name, reason) for each device; the reason is '' if the device is usable. Raise "
      "RuntimeError without a driver or a device.");
  module.def(
      "architectures", [] { return std::string(LAYERBITS_ARCHITECTURES); },
      "Architectures that the kernels were built for.");
}

}  // namespace layerbits
