#include "operation_arguments.h"

#include <cmath>

namespace py = pybind11;

namespace layerbits {

bool is_main_thread() {
  const py::module_ threading = py::module_::import("threading");
  return threading.attr("get_ident")().equal(threading.attr("main_thread")().attr("ident"));
}

bool is_interrupted() {
  py::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

void raise(const Status& status) {
  if (PyErr_Occurred()) throw py::error_already_set();
  switch (status.code) {
    case Status::kOk:
      return;
    case Status::kBadValue:
      throw py::value_error(status.message);
    case Status::kOutOfMemory:
      PyErr_SetString(PyExc_MemoryError, status.message.c_str());
      throw py::error_already_set();
    default:
      throw std::runtime_error(status.message);
  }
}

Metric metric_of(const std::string& name) {
  if (name == "euclidean") return Metric::kEuclidean;
  if (name == "cosine") return Metric::kCosine;
  throw py::value_error("metric: got '" + name + "', wanted one of euclidean, cosine");
}

double error_tolerance_of(const std::optional<double>& tolerance) {
  if (!tolerance) return 0;
  if (!(*tolerance > 0) || !std::isfinite(*tolerance))
    throw py::value_error("tolerance: got " + number_text(*tolerance) +
                          ", wanted a positive, finite number");
  return *tolerance;
}

MixtureArrays::MixtureArrays(Arguments& arguments, const MixtureObjects& objects)
    : points(arguments.take({.name = "points", .dtype = Dtype::kFloating, .sizes = {"m", "d"}},
                            objects.points)),
      centers(arguments.take({.name = "centers", .dtype = Dtype::kFloating, .sizes = {"n", "d"}},
                             objects.centers)),
      weights(arguments.take_optional(
          {.name = "weights", .dtype = Dtype::kFloating, .sizes = {"n"}}, objects.weights)),
      sigma(objects.sigma) {
  if (objects.point_offsets.is_none() != objects.center_offsets.is_none())
    throw py::type_error(
        "point_offsets: got only one of point_offsets and center_offsets, wanted both or neither");
  const auto take_offsets = [&](const char* name, py::handle offsets) {
    return arguments.take_optional(
        {.name = name, .dtype = Dtype::kInt64, .sizes = {"groups + 1"}, .on_host = true}, offsets);
  };
  point_offsets = take_offsets("point_offsets", objects.point_offsets);
  center_offsets = take_offsets("center_offsets", objects.center_offsets);
}

GradientArrays::GradientArrays(Arguments& arguments, const GradientObjects& objects) {
  const auto take_input = [&](const char* name, py::handle array) {
    return arguments.take({.name = name, .dtype = Dtype::kFloat64, .sizes = {"m"}}, array);
  };
  const auto take_output = [&](const char* name, Dtype dtype, std::vector<const char*> sizes,
                               py::handle array) {
    return arguments.take_optional(
        {.name = name, .dtype = dtype, .sizes = std::move(sizes), .writable = true}, array);
  };
  log_sum = take_input("log_sum", objects.log_sum);
  upstream = take_input("upstream", objects.upstream);
  d_points = take_output("d_points", Dtype::kFloating, {"m", "d"}, objects.d_points);
  d_centers = take_output("d_centers", Dtype::kFloating, {"n", "d"}, objects.d_centers);
  d_weights = take_output("d_weights", Dtype::kFloating, {"n"}, objects.d_weights);
  d_sigma = take_output("d_sigma", Dtype::kFloat64, {"m"}, objects.d_sigma);
}

namespace {

template <typename Arrays>
void take_components(Arrays& arrays, Arguments& arguments, const ComponentObjects& objects,
                     std::vector<const char*> factor_sizes) {
  const auto take = [&](const char* name, std::vector<const char*> sizes, py::handle array) {
    return arguments.take({.name = name, .dtype = Dtype::kFloating, .sizes = std::move(sizes)},
                          array);
  };
  arrays.points = take("points", {"m", "d"}, objects.points);
  arrays.centers = take("centers", {"n", "d"}, objects.centers);
  arrays.factors = take("factors", std::move(factor_sizes), objects.factors);
  arrays.offsets = take("offsets", {"n"}, objects.offsets);
  arrays.log_sum = take_log_sum(arguments, objects.log_sum);
}

}  // namespace

ComponentArrays::ComponentArrays(Arguments& arguments, const ComponentObjects& objects) {
  take_components(*this, arguments, objects, {"n", "d", "d"});
}

DiagonalArrays::DiagonalArrays(Arguments& arguments, const ComponentObjects& objects) {
  take_components(*this, arguments, objects, {"n", "d"});
}

HistogramArrays::HistogramArrays(Arguments& arguments, const HistogramObjects& objects)
    : points(arguments.take({.name = "points", .dtype = Dtype::kFloating, .sizes = {"n", "d"}},
                            objects.points)),
      edges(arguments.take(
          {.name = "edges", .dtype = Dtype::kFloat64, .sizes = {"bins + 1"}, .on_host = true},
          objects.edges)),
      counts(arguments.take(
          {.name = "counts", .dtype = Dtype::kInt64, .sizes = {"bins + 2", "2"}, .writable = true},
          objects.counts)),
      labels(arguments.take_optional({.name = "labels", .dtype = Dtype::kInt64, .sizes = {"n"}},
                                     objects.labels)) {
  if (counts.size(0) != edges.size(0) + 1 || counts.size(1) != 2)
    throw py::value_error("counts: got shape (" + std::to_string(counts.size(0)) + ", " +
                          std::to_string(counts.size(1)) + "), wanted shape (" +
                          std::to_string(edges.size(0) + 1) + ", 2)");
}

Array take_log_sum(Arguments& arguments, py::handle log_sum) {
  return arguments.take(
      {.name = "log_sum", .dtype = Dtype::kFloat64, .sizes = {"m"}, .writable = true}, log_sum);
}

}  // namespace layerbits
