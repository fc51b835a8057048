// The arguments of the operations that every back end offers, and their contract.
//
// The caller has checked types and shapes of all views; an operation checks values. A row of
// `points` meets the rows of `centers` of its own group only. Squared distances are sums of squared
// differences, rounded to T.
#pragma once

#include "views.h"

namespace layerbits {

template <typename T>
struct Mixture {
  Matrix<const T> points, centers;
  Vector<const T> weights;  // not given: all one
  double sigma = 0;
  Groups point_groups, center_groups;
};

enum class Method { kAuto, kDense, kPruned };

// How to evaluate a sum. kDense takes all pairs. kPruned leaves out and merges centers of a single
// group where that changes no result by more than `tolerance`, in nats; it is dense for several
// groups, where a center is not finite, and where a weight is below 2^-1022 of the largest. kAuto
// takes what it expects to be faster.
struct Accuracy {
  Method method = Method::kAuto;
  double tolerance = 0;  // 0: the unit roundoff of T
};

// Where p_ij are the softmax weights that `log_sum` came from and u_i = upstream[i]:
//   d_points[i]  = -sum_j u_i p_ij (points_i - centers_j) / sigma^2
//   d_centers[j] =  sum_i u_i p_ij (points_i - centers_j) / sigma^2
//   d_weights[j] =  sum_i u_i p_ij / w_j, its limit where w_j = 0
//   d_sigma[i]   =  sum_j u_i p_ij |points_i - centers_j|^2 / sigma^3
// What is not given is not computed. Rows with u_i = 0 add nothing, whatever they hold; others are
// rounded to T.
template <typename T>
struct Gradient {
  Vector<const double> log_sum, upstream;
  Matrix<T> d_points, d_centers;
  Vector<T> d_weights;
  Vector<double> d_sigma;
};

template <typename T>
struct Gaussians {
  Matrix<const T> means;
  Matrices<const T> factors;  // what is above their diagonals is not read
  Vector<const T> offsets;
};

enum class Metric { kEuclidean, kCosine };

}  // namespace layerbits
