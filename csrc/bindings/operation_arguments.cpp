#include "operation_arguments.h"

#include <cmath>

namespace py = pybind11;

namespace layerbits {

bool signals_arrive_here() {
  const py::module_ threading = py::module_::import("threading");
  return threading.attr("get_ident")().equal(threading.attr("main_thread")().attr("ident"));
}

bool signalled() {
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

double tolerance_of(const std::optional<double>& tolerance) {
  if (!tolerance) return 0;
  if (!(*tolerance > 0) || !std::isfinite(*tolerance))
    throw py::value_error("tolerance: got " + std::to_string(*tolerance) +
                          ", wanted a positive, finite number");
  return *tolerance;
}

MixtureArrays::MixtureArrays(Arguments& arguments, py::handle points_, py::handle centers_,
                             py::handle weights_, double sigma_, py::handle point_offsets_,
                             py::handle center_offsets_)
    : points(arguments.take({"points", Dtype::kFloating, {"m", "d"}}, points_)),
      centers(arguments.take({"centers", Dtype::kFloating, {"n", "d"}}, centers_)),
      weights(arguments.take_optional({"weights", Dtype::kFloating, {"n"}}, weights_)),
      sigma(sigma_) {
  if (point_offsets_.is_none() != center_offsets_.is_none())
    throw py::type_error("point_offsets: wanted together with center_offsets, got one of them");
  const auto take_offsets = [&](const char* name, py::handle offsets) {
    return arguments.take_optional({name, Dtype::kInt64, {"groups + 1"}, false, true}, offsets);
  };
  point_offsets = take_offsets("point_offsets", point_offsets_);
  center_offsets = take_offsets("center_offsets", center_offsets_);
}

GradientArrays::GradientArrays(Arguments& arguments, py::handle points, py::handle centers,
                               double sigma, py::handle log_sum_, py::handle upstream_,
                               py::handle weights, py::handle point_offsets,
                               py::handle center_offsets, py::handle d_points_,
                               py::handle d_centers_, py::handle d_weights_, py::handle d_sigma_)
    : mixture(arguments, points, centers, weights, sigma, point_offsets, center_offsets),
      log_sum(arguments.take({"log_sum", Dtype::kFloat64, {"m"}}, log_sum_)),
      upstream(arguments.take({"upstream", Dtype::kFloat64, {"m"}}, upstream_)),
      d_points(
          arguments.take_optional({"d_points", Dtype::kFloating, {"m", "d"}, true}, d_points_)),
      d_centers(
          arguments.take_optional({"d_centers", Dtype::kFloating, {"n", "d"}, true}, d_centers_)),
      d_weights(arguments.take_optional({"d_weights", Dtype::kFloating, {"n"}, true}, d_weights_)),
      d_sigma(arguments.take_optional({"d_sigma", Dtype::kFloat64, {"m"}, true}, d_sigma_)) {}

GaussianArrays::GaussianArrays(Arguments& arguments, py::handle points_, py::handle means_,
                               py::handle factors_, py::handle offsets_, py::handle log_sum_)
    : points(arguments.take({"points", Dtype::kFloating, {"m", "d"}}, points_)),
      means(arguments.take({"means", Dtype::kFloating, {"n", "d"}}, means_)),
      factors(arguments.take({"factors", Dtype::kFloating, {"n", "d", "d"}}, factors_)),
      offsets(arguments.take({"offsets", Dtype::kFloating, {"n"}}, offsets_)),
      log_sum(arguments.take({"log_sum", Dtype::kFloat64, {"m"}, true}, log_sum_)) {}

HistogramArrays::HistogramArrays(Arguments& arguments, py::handle points_, py::handle edges_,
                                 py::handle counts_, py::handle labels_)
    : points(arguments.take({"points", Dtype::kFloating, {"n", "d"}}, points_)),
      edges(arguments.take({"edges", Dtype::kFloat64, {"bins + 1"}, false, true}, edges_)),
      counts(arguments.take({"counts", Dtype::kInt64, {"bins + 2", "2"}, true}, counts_)),
      labels(arguments.take_optional({"labels", Dtype::kInt64, {"n"}}, labels_)) {
  if (counts.size(0) != edges.size(0) + 1 || counts.size(1) != 2)
    throw py::value_error("counts: got shape (" + std::to_string(counts.size(0)) + ", " +
                          std::to_string(counts.size(1)) + "), wanted shape (" +
                          std::to_string(edges.size(0) + 1) + ", 2)");
}

}  // namespace layerbits
