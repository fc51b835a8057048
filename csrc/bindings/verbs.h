// What the modules of all back ends have alike: arguments of several verbs, signals, and how a
// status becomes an exception.
#pragma once

#include <pybind11/pybind11.h>

#include "../core/mixture.h"
#include "../core/pairs.h"
#include "arguments.h"

namespace layerbits {

// Python answers signals in the main thread alone; other threads must not ask, for a daemon that
// takes the lock while the interpreter ends is unwound.
bool signals_arrive_here();
bool signalled();

// Throws what Python has raised meanwhile, or what the status says; nothing where it is ok.
void raise(const Status& status);

Metric metric_of(const std::string& name);
void check_counts(const Array& counts, const Array& edges);

// The arrays that say what mixture is meant where.
struct MixtureArrays {
  Array points, centers, weights, point_offsets, center_offsets;
  double sigma;

  MixtureArrays(Arguments& arguments, pybind11::handle points_, pybind11::handle centers_,
                pybind11::handle weights_, double sigma_, pybind11::handle point_offsets_,
                pybind11::handle center_offsets_)
      : points(arguments.take({"points", Dtype::kFloating, {"m", "d"}}, points_)),
        centers(arguments.take({"centers", Dtype::kFloating, {"n", "d"}}, centers_)),
        weights(arguments.take_optional({"weights", Dtype::kFloating, {"n"}}, weights_)),
        sigma(sigma_) {
    if (point_offsets_.is_none() != center_offsets_.is_none())
      throw pybind11::type_error(
          "point_offsets: wanted together with center_offsets, got one of them");
    const std::vector<const char*> size = {"groups + 1"};
    point_offsets = arguments.take_optional({"point_offsets", Dtype::kInt64, size, false, true},
                                            point_offsets_);
    center_offsets = arguments.take_optional({"center_offsets", Dtype::kInt64, size, false, true},
                                             center_offsets_);
  }

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

}  // namespace layerbits
