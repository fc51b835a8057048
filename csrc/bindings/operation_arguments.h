// The parts that the modules of all back ends share: the arguments of operations, the dispatch by
// dtype, POSIX signals, and the conversion of a status to an exception.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "../api/operations.h"
#include "../api/status.h"
#include "arguments.h"

namespace layerbits {

// Whether the calling thread is Python's main thread, the only one that handles POSIX signals.
// Other threads must not poll: Python unwinds the stack of a daemon thread that requests the
// interpreter's lock during shutdown.
bool is_main_thread();
// Runs the handlers of pending POSIX signals; returns whether a handler raised an exception, as for
// Ctrl-C.
bool is_interrupted();

// Throws the pending Python exception if there is one, and otherwise the exception of a bad status.
void raise(const Status& status);

// Returns operation(T{}) for the dtype T of the floating arrays.
template <typename Operation>
Status for_dtype(const Arguments& arguments, const Operation& operation) {
  return arguments.is_float32() ? operation(float{}) : operation(double{});
}

Metric metric_of(const std::string& name);

// Returns the error tolerance, or 0 if it is absent; throws a ValueError unless it is positive and
// finite.
double error_tolerance_of(const std::optional<double>& tolerance);

// The arguments of a mixture before they are checked; each member has the name of its argument.
struct MixtureObjects {
  pybind11::handle points, centers;
  double sigma;
  pybind11::handle weights, point_offsets, center_offsets;
};

struct MixtureArrays {
  Array points, centers, weights, point_offsets, center_offsets;
  double sigma;

  MixtureArrays(Arguments& arguments, const MixtureObjects& objects);

  template <typename T>
  Mixture<T> view() const {
    return {.points = points.matrix<const T>(),
            .centers = centers.matrix<const T>(),
            .weights = weights.vector<const T>(),
            .sigma = sigma,
            .point_groups = groups("point_offsets", point_offsets, points.size(0)),
            .center_groups = groups("center_offsets", center_offsets, centers.size(0))};
  }
};

struct GradientObjects {
  pybind11::handle log_sum, upstream, d_points, d_centers, d_weights, d_sigma;
};

struct GradientArrays {
  Array log_sum, upstream, d_points, d_centers, d_weights, d_sigma;

  GradientArrays(Arguments& arguments, const GradientObjects& objects);

  template <typename T>
  Gradient<T> view() const {
    return {.log_sum = log_sum.vector<const double>(),
            .upstream = upstream.vector<const double>(),
            .d_points = d_points.matrix<T>(),
            .d_centers = d_centers.matrix<T>(),
            .d_weights = d_weights.vector<T>(),
            .d_sigma = d_sigma.vector<double>()};
  }
};

struct ComponentObjects {
  pybind11::handle points, centers, factors, offsets, log_sum;
};

struct ComponentArrays {
  Array points, centers, factors, offsets, log_sum;

  ComponentArrays(Arguments& arguments, const ComponentObjects& objects);

  template <typename T>
  Components<T> view() const {
    return {.centers = centers.matrix<const T>(),
            .factors = factors.matrices<const T>(),
            .offsets = offsets.vector<const T>()};
  }
};

// `factors` has the shape (n, d).
struct DiagonalArrays {
  Array points, centers, factors, offsets, log_sum;

  DiagonalArrays(Arguments& arguments, const ComponentObjects& objects);

  template <typename T>
  DiagonalComponents<T> view() const {
    return {.centers = centers.matrix<const T>(),
            .factors = factors.matrix<const T>(),
            .offsets = offsets.vector<const T>()};
  }
};

struct HistogramObjects {
  pybind11::handle points, edges, counts, labels;
};

struct HistogramArrays {
  Array points, edges, counts, labels;

  HistogramArrays(Arguments& arguments, const HistogramObjects& objects);
};

Array take_log_sum(Arguments& arguments, pybind11::handle log_sum);

}  // namespace layerbits
