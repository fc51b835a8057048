// The arguments of the operations that every back end offers, and their contract.
//
// The caller has checked types and shapes of all views; an operation checks values. A row of
// `points` is compared only with the rows of `centers` of its own group. Squared distances are sums
// of squared differences, rounded to T: in float32 and at sigma = 0.005, |a|^2 + |b|^2 - 2ab would
// be wrong by hundredths of a nat on layers of tanh units, and by whole nats on larger activations.
#pragma once

#include "views.h"

namespace layerbits {

template <typename T>
struct Mixture {
  Matrix<const T> points, centers;
  Vector<const T> weights;  // absent: all one
  double sigma = 0;
  Groups point_groups, center_groups;
};

enum class Method { kAuto, kDense, kPruned, kGridded };

// How the CPU evaluates log_sum_exp_isotropic. kDense computes all pairs. kPruned skips and merges
// centers of a single group if that changes no result by more than the error tolerance. It falls
// back to kDense for several groups, without points or centers, for 2^32 centers or more, for a
// center that is not finite, and for a positive weight below 2^-1022 of the largest. kGridded
// expands the centers of cells in one or two dimensions with errors within the tolerance, and sums
// nearby pairs where an expansion is not certain. It falls back to kDense in more dimensions, for a
// group without centers of positive weight, for 2^32 points or more in a group, for a center that
// is not finite or 2^39 sigma from 0, and for a positive weight below 2^-1022 of the largest; in
// two dimensions also for a tolerance below 1e-8, for centers 2^32 sigma apart along both axes, and
// for a positive weight below 2^-60 (float32) or 2^-900 (float64) of the largest. kAuto estimates
// which method is faster.
struct Accuracy {
  Method method = Method::kAuto;
  double error_tolerance = 0;  // in nats; 0: the unit roundoff of T
};

// With p_ij the softmax weights of the terms of `log_sum` and u_i = upstream[i]:
//   d_points[i]  = -sum_j u_i p_ij (points_i - centers_j) / sigma^2
//   d_centers[j] =  sum_i u_i p_ij (points_i - centers_j) / sigma^2
//   d_weights[j] =  sum_i u_i p_ij / w_j, or its limit if w_j = 0
//   d_sigma[i]   =  sum_j u_i p_ij |points_i - centers_j|^2 / sigma^3
// Absent outputs are not computed. Rows with u_i = 0 or an empty sum add nothing, even if they hold
// NaN; the other u_i are rounded to T.
template <typename T>
struct Gradient {
  Vector<const double> log_sum, upstream;
  Matrix<T> d_points, d_centers;
  Vector<T> d_weights;
  Vector<double> d_sigma;
};

// The components of log_sum_exp_full, each with a triangular factor in place of sigma.
template <typename T>
struct Components {
  Matrix<const T> centers;
  Matrices<const T> factors;  // entries above the diagonals are not read
  Vector<const T> offsets;
};

// The components of log_sum_exp_diagonal, each with a factor for each dimension.
template <typename T>
struct DiagonalComponents {
  Matrix<const T> centers, factors;
  Vector<const T> offsets;
};

enum class Metric { kEuclidean, kCosine };

}  // namespace layerbits
