// The operations on the CPU. Within a method, the log-sum of a row depends neither on the number of
// threads nor on the other rows of the call. The .cpp files check values, pack, divide the work and
// call kernels. Only kernels sum over pairs; center_tree.cpp computes distances for its bounds.
#pragma once

#include <string_view>

#include "../api/operations.h"
#include "thread_pool.h"

namespace layerbits {

struct Execution {
  int threads = 1;
  std::string_view level;  // empty: find_level() chooses it
  Cancellation& cancellation;
};

// log_sum[i] = log sum_j w_j exp(-|points_i - centers_j|^2 / (2 sigma^2)); -infinity for an empty
// sum. `used_method` becomes the method that ran: kDense, kPruned or kGridded.
template <typename T>
Status log_sum_exp_isotropic(const Mixture<T>& mixture, const Accuracy& accuracy,
                             Vector<double> log_sum, Execution execution, Method& used_method);

// Sets `method` to kPruned or kDense, which kAuto chooses for this mixture in more than one
// dimension. With this method, parts of the points have the bits of all points together.
template <typename T>
Status choose_method(const Mixture<T>& mixture, const Accuracy& accuracy, Execution execution,
                     Method& method);

template <typename T>
Status log_sum_exp_isotropic_gradient(const Mixture<T>& mixture, const Gradient<T>& gradient,
                                      Execution execution);

// log_sum[i] = log sum_j exp(offsets_j - |factors_j (points_i - centers_j)|^2 / 2); -infinity for
// an empty sum.
template <typename T>
Status log_sum_exp_full(const Matrix<const T>& points, const Components<T>& components,
                        Vector<double> log_sum, Execution execution);

// log_sum[i] = log sum_j exp(offsets_j - sum_k (factors_jk (points_ik - centers_jk))^2 / 2);
// -infinity for an empty sum.
template <typename T>
Status log_sum_exp_diagonal(const Matrix<const T>& points, const DiagonalComponents<T>& components,
                            Vector<double> log_sum, Execution execution);

// The part of the pairs of rows that a process computes: every `count`-th run of rows from `index`
// on, each with all later rows.
struct Share {
  int64_t index = 0, count = 1;
};

// counts[1 + b][s] is the number of pairs with edges[b] <= distance < edges[b + 1], where the last
// bin includes its upper edge; s = 1 for pairs of equal labels, 0 for pairs of different labels.
// counts[0] and counts[bins + 1] are the pairs below and above all edges. Without labels all labels
// are equal. Edges are nondecreasing; evenly spaced edges are fastest. The counts of all shares sum
// to those of all pairs.
template <typename T>
Status distance_histogram(const Matrix<const T>& points, Vector<const int64_t> labels,
                          Vector<const double> edges, Metric metric, Matrix<int64_t> counts,
                          Share share, Execution execution);

// The largest distance of a pair of the share, rounded as in the histogram; 0 without a pair.
template <typename T>
Status largest_distance(const Matrix<const T>& points, Metric metric, double& largest, Share share,
                        Execution execution);

// Computes multiply-adds in registers, and as many additions if `additions`, in `pieces` pieces of
// about 0.2 ms each on one core. `values` becomes the number of values computed, one by each
// multiply-add or addition. The caller measures the time.
template <typename T>
Status multiply_adds(int64_t pieces, bool additions, double& values, Execution execution);

}  // namespace layerbits
