// The methods of log_sum_exp_isotropic. The operation chooses one of them.
#pragma once

#include "mixture_problem.h"

namespace layerbits {

// All pairs of every group.
template <typename T>
Status dense_log_sum_exp(const MixtureProblem<T>& problem, Vector<double> log_sum,
                         Cancellation& cancellation);

// The same bits as dense_log_sum_exp, for groups of at most these numbers of points and centers.
inline constexpr int64_t kSmallGroupPoints = 128, kSmallGroupCenters = 1024;

template <typename T>
Status small_groups_log_sum_exp(const MixtureProblem<T>& problem, Vector<double> log_sum,
                                Cancellation& cancellation);

// The only group of the mixture, with a tree of its centers. If the tree is not usable, or
// Method::kAuto expects all pairs to be faster, computes nothing and sets `done` to false.
template <typename T>
Status pruned_log_sum_exp(const MixtureProblem<T>& problem, const Accuracy& accuracy,
                          Vector<double> log_sum, Cancellation& cancellation, bool& done);

}  // namespace layerbits
