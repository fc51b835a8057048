// The log-sum-exp without the pairs that cannot matter.
#pragma once

#include "pairing.h"

namespace layerbits {

// Evaluates the one group of the mixture over a tree of its centers, and sets `done`; leaves it
// false where a center is not finite, or, for Method::kAuto, where all pairs are expected to take
// less time.
template <typename T>
Status pruned_log_sum_exp(const Setup<T>& setup, const Accuracy& accuracy, Vector<double> log_sum,
                          Cancellation& cancellation, bool& done);

}  // namespace layerbits
