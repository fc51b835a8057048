// What the modules of all back ends have alike: arguments of several verbs, signals, and how a
// status becomes an exception.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "../api/operations.h"
#include "../api/status.h"
#include "arguments.h"

namespace layerbits {

// Python answers signals in the main thread alone; other threads must not ask, for a daemon that
// takes the lock while the interpreter ends is unwound.
bool signals_arrive_here();
bool signalled();

// Throws what Python has raised meanwhile, or what the status says; nothing where it is ok.
void raise(const Status& status);

Metric metric_of(const std::string& name);

// 0 where it is not given.
double tolerance_of(const std::optional<double>& tolerance);

// The arrays that say what mixture is meant where.
struct MixtureArrays {
  Array points, centers, weights, point_offsets, center_offsets;
  double sigma;

  MixtureArrays(Arguments& arguments, pybind11::handle points, pybind11::handle centers,
                pybind11::handle weights, double sigma, pybind11::handle point_offsets,
                pybind11::handle center_offsets);

  template <typename T>
  Mixture<T> view() const {
    return {points.matrix<const T>(),
            centers.matrix<const T>(),
            weights.vector<const T>(),
            sigma,
            groups("point_offsets", point_offsets, points.size(0)),
            groups("center_offsets", center_offsets, centers.size(0))};
  }
};

struct GradientArrays {
  MixtureArrays mixture;
  Array log_sum, upstream, d_points, d_centers, d_weights, d_sigma;

  GradientArrays(Arguments& arguments, pybind11::handle points, pybind11::handle centers,
                 double sigma, pybind11::handle log_sum, pybind11::handle upstream,
                 pybind11::handle weights, pybind11::handle point_offsets,
                 pybind11::handle center_offsets, pybind11::handle d_points,
                 pybind11::handle d_centers, pybind11::handle d_weights, pybind11::handle d_sigma);

  template <typename T>
  Gradient<T> view() const {
    return {log_sum.vector<const double>(), upstream.vector<const double>(),
            d_points.matrix<T>(),           d_centers.matrix<T>(),
            d_weights.vector<T>(),          d_sigma.vector<double>()};
  }
};

struct GaussianArrays {
  Array points, means, factors, offsets, log_sum;

  GaussianArrays(Arguments& arguments, pybind11::handle points, pybind11::handle means,
                 pybind11::handle factors, pybind11::handle offsets, pybind11::handle log_sum);

  template <typename T>
  Gaussians<T> view() const {
    return {means.matrix<const T>(), factors.matrices<const T>(), offsets.vector<const T>()};
  }
};

struct HistogramArrays {
  Array points, edges, counts, labels;

  HistogramArrays(Arguments& arguments, pybind11::handle points, pybind11::handle edges,
                  pybind11::handle counts, pybind11::handle labels);
};

}  // namespace layerbits
