// The module layerbits.kernels._cpu: the operations of cpu/cpu_operations.h with checked arguments,
// run without the interpreter's lock. Private: kernels/cpu_operations.py calls the operations,
// other modules of kernels/ call the other functions, and benchmarks call both.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "../cpu/cpu_operations.h"
#include "../cpu/dispatch.h"
#include "../cpu/plane_tables.h"
#include "operation_arguments.h"

namespace py = pybind11;

namespace layerbits {
namespace {

// Runs operation(execution) without the interpreter's lock, polls for Ctrl-C, and converts the
// status to an exception.
template <typename Operation>
void run(int threads, const std::string& level, const Operation& operation) {
  Cancellation cancellation(is_main_thread() ? &is_interrupted : nullptr);
  Status status;
  {
    py::gil_scoped_release release;
    status = operation(Execution{.threads = threads, .level = level, .cancellation = cancellation});
  }
  raise(status);
}

// Runs operation(T{}, execution) in the same way, for the dtype T of the floating arrays.
template <typename Operation>
void run(const Arguments& arguments, int threads, const std::string& level,
         const Operation& operation) {
  run(threads, level, [&](const Execution& execution) {
    return for_dtype(arguments, [&](auto zero) { return operation(zero, execution); });
  });
}

Method method_of(const std::string& name) {
  if (name == "auto") return Method::kAuto;
  if (name == "dense") return Method::kDense;
  if (name == "pruned") return Method::kPruned;
  if (name == "gridded") return Method::kGridded;
  throw py::value_error("method: got '" + name + "', wanted one of auto, dense, pruned, gridded");
}

std::string name_of(Method method) {
  if (method == Method::kGridded) return "gridded";
  return method == Method::kPruned ? "pruned" : "dense";
}

// Returns the method that ran, "dense", "pruned" or "gridded".
std::string log_sum_exp_isotropic_any(py::object points, py::object centers, double sigma,
                                      py::object log_sum, py::object weights,
                                      py::object point_offsets, py::object center_offsets,
                                      const std::string& method, std::optional<double> tolerance,
                                      int threads, const std::string& level) {
  const Accuracy accuracy{.method = method_of(method),
                          .error_tolerance = error_tolerance_of(tolerance)};
  Arguments arguments;
  const MixtureArrays mixture(arguments, {.points = points,
                                          .centers = centers,
                                          .sigma = sigma,
                                          .weights = weights,
                                          .point_offsets = point_offsets,
                                          .center_offsets = center_offsets});
  const Array out = take_log_sum(arguments, log_sum);
  Method used_method = Method::kDense;
  run(arguments, threads, level, [&]<typename T>(T, const Execution& execution) {
    return log_sum_exp_isotropic(mixture.view<T>(), accuracy, out.vector<double>(), execution,
                                 used_method);
  });
  return name_of(used_method);
}

std::string choose_method_any(py::object points, py::object centers, double sigma,
                              py::object weights, int threads, const std::string& level) {
  Arguments arguments;
  const MixtureArrays mixture(arguments, {.points = points,
                                          .centers = centers,
                                          .sigma = sigma,
                                          .weights = weights,
                                          .point_offsets = py::none(),
                                          .center_offsets = py::none()});
  Method method = Method::kDense;
  run(arguments, threads, level, [&]<typename T>(T, const Execution& execution) {
    return choose_method(mixture.view<T>(), Accuracy{}, execution, method);
  });
  return name_of(method);
}

void log_sum_exp_isotropic_gradient_any(py::object points, py::object centers, double sigma,
                                        py::object log_sum, py::object upstream, py::object weights,
                                        py::object point_offsets, py::object center_offsets,
                                        py::object d_points, py::object d_centers,
                                        py::object d_weights, py::object d_sigma, int threads,
                                        const std::string& level) {
  Arguments arguments;
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
  run(arguments, threads, level, [&]<typename T>(T, const Execution& execution) {
    return log_sum_exp_isotropic_gradient(mixture.view<T>(), gradient.view<T>(), execution);
  });
}

void log_sum_exp_full_any(py::object points, py::object centers, py::object factors,
                          py::object offsets, py::object log_sum, int threads,
                          const std::string& level) {
  Arguments arguments;
  const ComponentArrays arrays(arguments, {.points = points,
                                           .centers = centers,
                                           .factors = factors,
                                           .offsets = offsets,
                                           .log_sum = log_sum});
  run(arguments, threads, level, [&]<typename T>(T, const Execution& execution) {
    return log_sum_exp_full(arrays.points.matrix<const T>(), arrays.view<T>(),
                            arrays.log_sum.vector<double>(), execution);
  });
}

void log_sum_exp_diagonal_any(py::object points, py::object centers, py::object factors,
                              py::object offsets, py::object log_sum, int threads,
                              const std::string& level) {
  Arguments arguments;
  const DiagonalArrays arrays(arguments, {.points = points,
                                          .centers = centers,
                                          .factors = factors,
                                          .offsets = offsets,
                                          .log_sum = log_sum});
  run(arguments, threads, level, [&]<typename T>(T, const Execution& execution) {
    return log_sum_exp_diagonal(arrays.points.matrix<const T>(), arrays.view<T>(),
                                arrays.log_sum.vector<double>(), execution);
  });
}

Share share_of(std::pair<int64_t, int64_t> share) {
  if (share.first < 0 || share.first >= share.second)
    throw py::value_error("share: got (" + std::to_string(share.first) + ", " +
                          std::to_string(share.second) + "), wanted (index, count), index < count");
  return {.index = share.first, .count = share.second};
}

void distance_histogram_any(py::object points, py::object edges, py::object counts,
                            py::object labels, const std::string& metric_name,
                            std::pair<int64_t, int64_t> share, int threads,
                            const std::string& level) {
  const Metric metric = metric_of(metric_name);
  Arguments arguments;
  const Share part = share_of(share);
  const HistogramArrays arrays(
      arguments, {.points = points, .edges = edges, .counts = counts, .labels = labels});
  run(arguments, threads, level, [&]<typename T>(T, const Execution& execution) {
    return distance_histogram(arrays.points.matrix<const T>(),
                              arrays.labels.vector<const int64_t>(),
                              arrays.edges.vector<const double>(), metric,
                              arrays.counts.matrix<int64_t>(), part, execution);
  });
}

double largest_distance_any(py::object points, const std::string& metric_name,
                            std::pair<int64_t, int64_t> share, int threads,
                            const std::string& level) {
  const Metric metric = metric_of(metric_name);
  Arguments arguments;
  const Array rows =
      arguments.take({.name = "points", .dtype = Dtype::kFloating, .sizes = {"n", "d"}}, points);
  const Share part = share_of(share);
  double largest = 0;
  run(arguments, threads, level, [&]<typename T>(T, const Execution& execution) {
    return largest_distance(rows.matrix<const T>(), metric, largest, part, execution);
  });
  return largest;
}

double multiply_adds_any(int64_t pieces, bool additions, int bits, int threads,
                         const std::string& level) {
  if (bits != 32 && bits != 64)
    throw py::value_error("bits: got " + std::to_string(bits) + ", wanted 32 or 64");
  double values = 0;
  run(threads, level, [&](const Execution& execution) {
    const auto operation = bits == 32 ? &multiply_adds<float> : &multiply_adds<double>;
    return operation(pieces, additions, values, execution);
  });
  return values;
}

// The tables of a grid in one or two dimensions, which allow no rounding beyond the tolerance.
NamedValues grid_tables(int dim, double fraction, double tolerance) {
  if (dim == 1)
    return GridTables(fraction, tolerance, 0, GridTables::line_cells(tolerance)).values();
  return PlaneTables(fraction, tolerance, PlaneGrids::kWide).values();
}

std::vector<std::string> level_names() {
  std::vector<std::string> names;
  for (const KernelTable* table : usable_levels()) names.emplace_back(table->level);
  return names;
}

std::string default_level() {
  const KernelTable* table = nullptr;
  const Status status = find_level({}, table);
  if (!status.ok()) throw py::value_error(status.message);
  return table->level;
}

}  // namespace

PYBIND11_MODULE(_cpu, module) {
  using py::arg;
  module.doc() = "Kernels for the CPU; use layerbits.kernels.";
  module.def("log_sum_exp_isotropic", &log_sum_exp_isotropic_any, arg("points"), arg("centers"),
             arg("sigma"), arg("log_sum"), py::kw_only(), arg("weights") = py::none(),
             arg("point_offsets") = py::none(), arg("center_offsets") = py::none(),
             arg("method") = "auto", arg("tolerance") = py::none(), arg("threads") = 1,
             arg("level") = "");
  module.def("choose_method", &choose_method_any, arg("points"), arg("centers"), arg("sigma"),
             py::kw_only(), arg("weights") = py::none(), arg("threads") = 1, arg("level") = "");
  module.def("log_sum_exp_isotropic_gradient", &log_sum_exp_isotropic_gradient_any, arg("points"),
             arg("centers"), arg("sigma"), arg("log_sum"), arg("upstream"), py::kw_only(),
             arg("weights") = py::none(), arg("point_offsets") = py::none(),
             arg("center_offsets") = py::none(), arg("d_points") = py::none(),
             arg("d_centers") = py::none(), arg("d_weights") = py::none(),
             arg("d_sigma") = py::none(), arg("threads") = 1, arg("level") = "");
  module.def("log_sum_exp_full", &log_sum_exp_full_any, arg("points"), arg("centers"),
             arg("factors"), arg("offsets"), arg("log_sum"), py::kw_only(), arg("threads") = 1,
             arg("level") = "");
  module.def("log_sum_exp_diagonal", &log_sum_exp_diagonal_any, arg("points"), arg("centers"),
             arg("factors"), arg("offsets"), arg("log_sum"), py::kw_only(), arg("threads") = 1,
             arg("level") = "");
  module.def("distance_histogram", &distance_histogram_any, arg("points"), arg("edges"),
             arg("counts"), py::kw_only(), arg("labels") = py::none(), arg("metric") = "euclidean",
             arg("share") = std::pair<int64_t, int64_t>(0, 1), arg("threads") = 1,
             arg("level") = "");
  module.def("largest_distance", &largest_distance_any, arg("points"), py::kw_only(),
             arg("metric") = "euclidean", arg("share") = std::pair<int64_t, int64_t>(0, 1),
             arg("threads") = 1, arg("level") = "");
  module.def("multiply_adds", &multiply_adds_any, arg("pieces"), py::kw_only(),
             arg("additions") = false, arg("bits") = 32, arg("threads") = 1, arg("level") = "",
             "Computes multiply-adds in registers; returns the number of values computed, for "
             "benchmarks.");
  module.def("grid_tables", &grid_tables, arg("dim"), arg("fraction"), arg("tolerance"),
             "The tables of a grid in one or two dimensions for CUDA devices, by name.");
  module.def("levels", &level_names,
             "ISA levels of this build that this machine can run, best first.");
  module.def("level", &default_level,
             "The ISA level of calls that name none; LAYERBITS_MAX_ISA may lower it.");
  module.def("usable_cores", &usable_cores,
             "Cores that the affinity mask and the cgroup grant this process.");
}

}  // namespace layerbits
