// The methods of log_sum_exp_isotropic, between which the operation chooses.
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

// The one group of the mixture, with a tree of its centers. `done` is set to false, and nothing is
// computed, if the tree is not usable or, for Method::kAuto, if all pairs are expected to be
// faster.
template <typename T>
Status pruned_log_sum_exp(const MixtureProblem<T>& problem, const Accuracy& accuracy,
                          Vector<double> log_sum, Cancellation& cancellation, bool& done);

}  // namespace layerbits
