// The log-sum-exp over Gaussians that have a covariance each. As for the verbs of mixture.h:
// shapes are the caller's to check, values are checked here, and a row has the same bits for any
// number of threads and in any batch.
#pragma once

#include "mixture.h"

namespace layerbits {

template <typename T>
struct Gaussians {
  Matrix<const T> means;
  Matrices<const T> factors;  // what is above their diagonals is not read
  Vector<const T> offsets;
};

// log_sum[i] = log sum_j exp(offset_j - |factor_j (points_i - mean_j)|^2 / 2); -infinity for an
// empty sum.
template <typename T>
Status gaussian_log_sum_exp(const Matrix<const T>& points, const Gaussians<T>& gaussians,
                            Vector<double> log_sum, Execution execution);

}  // namespace layerbits
