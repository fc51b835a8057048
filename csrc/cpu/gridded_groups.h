// The groups of a mixture on a grid, and the points near its centers, for the line and the plane.
#pragma once

#include <atomic>
#include <cmath>
#include <vector>

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

// Rows of a run, relative to its first one.
struct DividedRows {
  std::vector<uint32_t> near, far;  // `near` is empty if all rows are near
  bool all_near = false;

  int64_t near_count(const Run& run) const { return all_near ? run.count : int64_t(near.size()); }
  uint32_t near_row(int64_t i) const { return all_near ? uint32_t(i) : near[i]; }
};

// Divides the rows of a run by is_near(row). Writes the log-sums of points that are not finite.
template <int kDim, typename T, typename IsNear>
Status divide_rows(const MixtureProblem<T>& problem, const Run& run, const IsNear& is_near,
                   int threads, Cancellation& cancellation, const Vector<double>& log_sum,
                   DividedRows& rows) {
  constexpr int64_t kRows = 1 << 14;
  const double limit = std::numeric_limits<T>::max() / 4, power = problem.scaling.power;
  const auto any = [&](int64_t row, const auto& is) {
    bool result = false;
    for (int axis = 0; axis < kDim; ++axis) result |= is(double(problem.mixture.points(row, axis)));
    return result;
  };
  std::atomic<bool> any_far{false}, too_large{false};
  Status status = parallel_for(threads, divide_up(run.count, kRows), cancellation, [&](int64_t p) {
    bool all = true, large = false;
    for (int64_t i = p * kRows; i < std::min(run.count, (p + 1) * kRows); ++i) {
      all &= is_near(run.first + i);
      large |= any(run.first + i,
                   [&](double x) { return std::isfinite(x) && !(std::abs(x * power) <= limit); });
    }
    if (!all) any_far = true;
    if (large) too_large = true;
  });
  if (!status.ok()) return status;
  if (too_large) return too_far_from_zero("points");
  rows.all_near = !any_far;
  if (rows.all_near) return {};
  for (int64_t i = 0; i < run.count; ++i) {
    const int64_t row = run.first + i;
    if (is_near(row))
      rows.near.push_back(uint32_t(i));
    else if (any(row, [](double x) { return std::isnan(x); }))
      log_sum[row] = kNan;
    else if (any(row, [](double x) { return std::isinf(x); }))
      log_sum[row] = -kInfinity;
    else
      rows.far.push_back(uint32_t(i));
  }
  return {};
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
        Status group_status =
            sum.sum_group(g, by_groups ? 1 : execution.threads, execution.cancellation, usable);
        if (!group_status.ok() && !failed.exchange(true)) failure = std::move(group_status);
      });
  if (!status.ok()) return status;
  if (failed) return failure;
  done = usable && !sum.exceeds_limit();
  return {};
}

}  // namespace layerbits
