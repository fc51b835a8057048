// The verbs over Gaussian mixtures. A row of `points` meets the rows of `centers` of its own group
// only.
//
// Every verb: arguments are views that the caller has checked for type and shape; values are
// checked here. Results do not depend on the number of threads, nor on which other rows are asked
// in the same call.
#pragma once

#include <string_view>

#include "thread_pool.h"
#include "views.h"

namespace layerbits {

struct Execution {
  int threads = 1;
  std::string_view level;  // empty: the best that this machine has
  Cancellation& cancellation;
};

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

// log_sum[i] = log sum_j w_j exp(-|points_i - centers_j|^2 / (2 sigma^2)); -infinity for an empty
// sum. `used` gets the method that was taken.
template <typename T>
Status log_sum_exp(const Mixture<T>& mixture, const Accuracy& accuracy, Vector<double> log_sum,
                   Execution execution, Method& used);

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
Status log_sum_exp_gradient(const Mixture<T>& mixture, const Gradient<T>& gradient,
                            Execution execution);

}  // namespace layerbits
