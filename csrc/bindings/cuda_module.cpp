// The module layerbits._cuda: the verbs of cuda/verbs.h behind checked arguments, with the
// interpreter's lock released. Private: kernels.py is the door. Knows no header of CUDA.
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

// Where this module is built for tests without a device, its memory is that of the host, under
// another name if devices are to be emulated too.
#ifdef LAYERBITS_EMULATED
const int kMemory = getenv("LAYERBITS_EMULATED_DEVICES") ? kCuda : kCpu;
#else
constexpr int kMemory = kCuda;
#endif

// CUDA does not survive a fork: its first use belongs to a process.
void check_process() {
  static std::atomic<pid_t> first_user{0};
  pid_t nobody = 0;
  if (!first_user.compare_exchange_strong(nobody, getpid()) && nobody != getpid())
    throw std::runtime_error(
        "CUDA was used before this process was forked, and cannot be used after: start processes "
        "by spawn, for instance with multiprocessing.get_context('spawn')");
}

// Device memory by `allocate(count)`, which returns a float64 array of that size.
class Memory {
 public:
  Memory(py::object allocate, int device) : allocate_(std::move(allocate)), device_(device) {}

  void* operator()(size_t bytes) {
    const py::gil_scoped_acquire acquire;
    try {
      const size_t count = bytes / sizeof(double) + 1;
      Arguments arguments(kMemory);
      array_ =
          arguments.take({"allocate(count)", Dtype::kFloat64, {"count"}, true}, allocate_(count));
      const Vector<double> got = array_.vector<double>();
      if (size_t(got.size) < count || got.stride != 1 || arguments.device() != device_)
        throw py::value_error(
            "allocate(count): got an array that is too short, has gaps or is on another "
            "device, wanted a new one beside the arguments");
      return got.data;
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

template <typename Verb>
void run(const Arguments& arguments, uintptr_t stream, py::object allocate, const Verb& verb) {
  check_process();
  Memory memory(std::move(allocate), arguments.device());
  const bool polls = signals_arrive_here();
  const cuda::Stream on{arguments.device(), reinterpret_cast<void*>(stream),
                        [&](size_t bytes) { return memory(bytes); },
                        [polls] { return polls && signalled(); }};
  Status status;
  {
    py::gil_scoped_release release;
    status = verb(on);
  }
  raise(status);
}

// Takes all pairs, or prunes where there are orders; returns the share of the pairs that was taken.
double log_sum_exp_isotropic_any(py::object points, py::object centers, double sigma,
                                 py::object log_sum, uintptr_t stream, py::object allocate,
                                 py::object weights, py::object point_offsets,
                                 py::object center_offsets, py::object point_order,
                                 py::object center_order, std::optional<double> tolerance) {
  Arguments arguments(kMemory);
  const MixtureArrays arrays(arguments, points, centers, weights, sigma, point_offsets,
                             center_offsets);
  const Array out = arguments.take({"log_sum", Dtype::kFloat64, {"m"}, true}, log_sum);
  const Array of_points =
      arguments.take_optional({"point_order", Dtype::kInt64, {"m"}}, point_order);
  const Array of_centers =
      arguments.take_optional({"center_order", Dtype::kInt64, {"n"}}, center_order);
  const double accuracy = tolerance_of(tolerance);
  double taken = 1;
  const auto call = [&]<typename T>(T) {
    const Mixture<T> mixture = arrays.view<T>();
    const auto first = of_points.vector<const int64_t>(),
               second = of_centers.vector<const int64_t>();
    run(arguments, stream, allocate, [&](const cuda::Stream& on) {
      return first && second ? cuda::pruned_log_sum_exp(mixture, first, second, accuracy,
                                                        out.vector<double>(), taken, on)
                             : cuda::log_sum_exp_isotropic(mixture, out.vector<double>(), on);
    });
  };
  arguments.is_float32() ? call(float{}) : call(double{});
  return taken;
}

void log_sum_exp_isotropic_gradient_any(py::object points, py::object centers, double sigma,
                                        py::object log_sum, py::object upstream, uintptr_t stream,
                                        py::object allocate, py::object weights,
                                        py::object point_offsets, py::object center_offsets,
                                        py::object d_points, py::object d_centers,
                                        py::object d_weights, py::object d_sigma) {
  Arguments arguments(kMemory);
  const GradientArrays arrays(arguments, points, centers, sigma, log_sum, upstream, weights,
                              point_offsets, center_offsets, d_points, d_centers, d_weights,
                              d_sigma);
  const auto call = [&]<typename T>(T) {
    const Mixture<T> mixture = arrays.mixture.view<T>();
    const Gradient<T> gradient = arrays.view<T>();
    run(arguments, stream, allocate, [&](const cuda::Stream& on) {
      return cuda::log_sum_exp_isotropic_gradient(mixture, gradient, on);
    });
  };
  arguments.is_float32() ? call(float{}) : call(double{});
}

void log_sum_exp_full_any(py::object points, py::object means, py::object factors,
                          py::object offsets, py::object log_sum, uintptr_t stream,
                          py::object allocate) {
  Arguments arguments(kMemory);
  const GaussianArrays arrays(arguments, points, means, factors, offsets, log_sum);
  const auto call = [&]<typename T>(T) {
    run(arguments, stream, allocate, [&](const cuda::Stream& on) {
      return cuda::log_sum_exp_full(arrays.points.matrix<const T>(), arrays.view<T>(),
                                    arrays.log_sum.vector<double>(), on);
    });
  };
  arguments.is_float32() ? call(float{}) : call(double{});
}

void distance_histogram_any(py::object points, py::object edges, py::object counts,
                            uintptr_t stream, py::object allocate, py::object labels,
                            const std::string& metric) {
  Arguments arguments(kMemory);
  const Metric chosen = metric_of(metric);
  const HistogramArrays arrays(arguments, points, edges, counts, labels);
  const auto call = [&]<typename T>(T) {
    run(arguments, stream, allocate, [&](const cuda::Stream& on) {
      return cuda::distance_histogram(
          arrays.points.matrix<const T>(), arrays.labels.vector<const int64_t>(),
          arrays.edges.vector<const double>(), chosen, arrays.counts.matrix<int64_t>(), on);
    });
  };
  arguments.is_float32() ? call(float{}) : call(double{});
}

double largest_distance_any(py::object points, uintptr_t stream, py::object allocate,
                            const std::string& metric) {
  Arguments arguments(kMemory);
  const Metric chosen = metric_of(metric);
  const Array rows = arguments.take({"points", Dtype::kFloating, {"n", "d"}}, points);
  double largest = 0;
  const auto call = [&]<typename T>(T) {
    run(arguments, stream, allocate, [&](const cuda::Stream& on) {
      return cuda::largest_distance(rows.matrix<const T>(), chosen, largest, on);
    });
  };
  arguments.is_float32() ? call(float{}) : call(double{});
  return largest;
}

void standard_normal_any(py::object values, const std::vector<uint64_t>& keys, int64_t first,
                         uintptr_t stream, py::object allocate) {
  Arguments arguments(kMemory);
  const Array out = arguments.take({"values", Dtype::kFloating, {"streams", "n"}, true}, values);
  if (int64_t(keys.size()) != out.size(0))
    throw py::value_error("keys: got " + std::to_string(keys.size()) + ", wanted " +
                          std::to_string(out.size(0)) + ", one for each row of `values`");
  if (first < 0)
    throw py::value_error("first: got " + std::to_string(first) + ", wanted a number >= 0");
  const auto call = [&]<typename T>(T) {
    run(arguments, stream, allocate, [&](const cuda::Stream& on) {
      return cuda::standard_normal(out.matrix<T>(), keys, first, on);
    });
  };
  arguments.is_float32() ? call(float{}) : call(double{});
}

int64_t peak_any(py::object values, int64_t steps, bool powers, uintptr_t stream,
                 py::object allocate) {
  Arguments arguments(kMemory);
  const Array out = arguments.take({"values", Dtype::kFloating, {"n"}, true}, values);
  int64_t operations = 0;
  const auto call = [&]<typename T>(T) {
    run(arguments, stream, allocate, [&](const cuda::Stream& on) {
      return cuda::peak(out.vector<T>(), steps, powers, operations, on);
    });
  };
  arguments.is_float32() ? call(float{}) : call(double{});
  return operations;
}

// A line a device: what it is, and why it is not usable, or nothing.
std::vector<std::pair<std::string, std::string>> devices() {
  std::vector<cuda::Device> found;
  raise(cuda::find_devices(found));
  check_process();  // only now: where there is no device, none is used
  std::vector<std::pair<std::string, std::string>> lines;
  for (const cuda::Device& device : found)
    lines.emplace_back(device.name + " (compute capability " + std::to_string(device.major) + "." +
                           std::to_string(device.minor) + ")",
                       device.reason);
  return lines;
}

}  // namespace

PYBIND11_MODULE(LAYERBITS_MODULE, module) {
  using py::arg;
  module.doc() = "CUDA core of layerbits: see layerbits.kernels.";
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
  module.def("log_sum_exp_full", &log_sum_exp_full_any, arg("points"), arg("means"), arg("factors"),
             arg("offsets"), arg("log_sum"), py::kw_only(), arg("stream"), arg("allocate"));
  module.def("distance_histogram", &distance_histogram_any, arg("points"), arg("edges"),
             arg("counts"), py::kw_only(), arg("stream"), arg("allocate"),
             arg("labels") = py::none(), arg("metric") = "euclidean");
  module.def("largest_distance", &largest_distance_any, arg("points"), py::kw_only(), arg("stream"),
             arg("allocate"), arg("metric") = "euclidean");
  module.def("standard_normal", &standard_normal_any, arg("values"), arg("keys"), arg("first"),
             py::kw_only(), arg("stream"), arg("allocate"));
  module.def("peak", &peak_any, arg("values"), arg("steps"), arg("powers"), py::kw_only(),
             arg("stream"), arg("allocate"), "How many operations were put on the stream.");
  module.def("devices", &devices,
             "What each device is, and why it is not usable, or ''. RuntimeError without a driver "
             "or a device.");
  module.def(
      "architectures", [] { return std::string(LAYERBITS_ARCHITECTURES); },
      "What the kernels were built for.");
}

}  // namespace layerbits
