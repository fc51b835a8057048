// The ways to a log-sum-exp between which the verb chooses.
#pragma once

#include "setup.h"

namespace layerbits {

// All pairs of every group.
template <typename T>
Status dense_log_sum_exp(const Setup<T>& setup, Vector<double> log_sum, Cancellation& cancellation);

// The same, to the bit, for groups of no more points and centers than these.
inline constexpr int64_t kSmallGroupPoints = 128, kSmallGroupCenters = 1024;

template <typename T>
Status small_groups_log_sum_exp(const Setup<T>& setup, Vector<double> log_sum,
                                Cancellation& cancellation);

// The one group of the mixture over a tree of its centers. Sets `done`, but leaves it false where
// the tree is not usable, or, for Method::kAuto, where all pairs are expected to take less time.
template <typename T>
Status pruned_log_sum_exp(const Setup<T>& setup, const Accuracy& accuracy, Vector<double> log_sum,
                          Cancellation& cancellation, bool& done);

}  // namespace layerbits
