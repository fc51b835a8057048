// The groups of a mixture on a grid, for the line and the plane.
#pragma once

#include <atomic>

#include "log_sum_exp_methods.h"

namespace layerbits {

template <typename T>
double all_pairs(const Mixture<T>& mixture) {
  double pairs = 0;
  for (int64_t g = 0; g < mixture.point_groups.count(); ++g)
    pairs += double(mixture.point_groups.end(g) - mixture.point_groups.begin(g)) *
             double(mixture.center_groups.end(g) - mixture.center_groups.begin(g));
  return pairs;
}

// The tolerance of a log-sum.
template <typename T>
double error_tolerance(const Accuracy& accuracy) {
  return accuracy.error_tolerance > 0 ? std::min(accuracy.error_tolerance, 1.0)
                                      : double(std::numeric_limits<T>::epsilon()) / 2;
}

// Calls sum.sum_group for every group: in parallel if there are at least as many groups as threads.
// Sets `done` to whether all groups are usable and the sum does not exceed its limit.
template <typename T, typename Sum>
Status sum_groups(const MixtureProblem<T>& problem, Sum& sum, const Execution& execution,
                  bool& done) {
  const int64_t groups = problem.mixture.point_groups.count();
  std::atomic<bool> usable{true}, failed{false};
  const bool by_groups = groups >= execution.threads && groups > 1;
  Status failure;
  Status status = parallel_for(
      by_groups ? execution.threads : 1, groups, execution.cancellation, [&](int64_t g) {
        if (!usable || failed) return;
        Status of_group =
            sum.sum_group(g, by_groups ? 1 : execution.threads, execution.cancellation, usable);
        if (!of_group.ok() && !failed.exchange(true)) failure = std::move(of_group);
      });
  if (!status.ok()) return status;
  if (failed) return failure;
  done = usable && !sum.exceeds_limit();
  return {};
}

}  // namespace layerbits
