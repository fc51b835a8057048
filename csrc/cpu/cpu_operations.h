// The operations on the CPU. Results do not depend on the number of threads, nor on which other
// rows are in the same call.
#pragma once

#include <string_view>

#include "../api/operations.h"
#include "thread_pool.h"

namespace layerbits {

struct Execution {
  int threads = 1;
  std::string_view level;  // empty: the best that this machine has
  Cancellation& cancellation;
};

// log_sum[i] = log sum_j w_j exp(-|points_i - centers_j|^2 / (2 sigma^2)); -infinity for an empty
// sum. `used` gets the method that was taken.
template <typename T>
Status log_sum_exp_isotropic(const Mixture<T>& mixture, const Accuracy& accuracy,
                             Vector<double> log_sum, Execution execution, Method& used);

template <typename T>
Status log_sum_exp_isotropic_gradient(const Mixture<T>& mixture, const Gradient<T>& gradient,
                                      Execution execution);

// log_sum[i] = log sum_j exp(offset_j - |factor_j (points_i - mean_j)|^2 / 2); -infinity for an
// empty sum.
template <typename T>
Status log_sum_exp_full(const Matrix<const T>& points, const Gaussians<T>& gaussians,
                        Vector<double> log_sum, Execution execution);

// counts[1 + b][s] = how many pairs have edges[b] <= distance < edges[b + 1], the last edge
// included; s = 1 for pairs of equal labels, 0 for others. counts[0] and counts[bins + 1] are the
// pairs below and above all edges. Labels not given: all equal. Edges never fall; where they are
// evenly spaced, a bin is found at once.
template <typename T>
Status distance_histogram(const Matrix<const T>& points, Vector<const int64_t> labels,
                          Vector<const double> edges, Metric metric, Matrix<int64_t> counts,
                          Execution execution);

// The largest distance, as the histogram has it; 0 where there is no pair.
template <typename T>
Status largest_distance(const Matrix<const T>& points, Metric metric, double& largest,
                        Execution execution);

// Runs `pieces` equal pieces of independent operations in registers, some 0.2 ms each on one core:
// multiply-adds, or with `additions` as many additions beside them. `operations` is how many values
// were computed; a multiply-add computes one. The caller holds the clock.
template <typename T>
Status multiply_adds(int64_t pieces, bool additions, double& operations, Execution execution);

}  // namespace layerbits
