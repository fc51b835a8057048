// The methods of log_sum_exp_isotropic. The operation chooses one of them.
#pragma once

#include "mixture_problem.h"

namespace layerbits {

// Returns the number of centers of a chunk, whose terms a kernel sums in one call: large enough
// that adding the sums of chunks costs little, small enough that Ctrl-C takes effect between
// chunks.
inline int64_t chunk_centers(int64_t dim) {
  return std::clamp<int64_t>((int64_t(1) << 20) / (dim + 16), 64, 8192) / kBlock * kBlock;
}

// Sums all pairs of every group.
template <typename T>
Status dense_log_sum_exp(const MixtureProblem<T>& problem, Vector<double> log_sum,
                         Cancellation& cancellation);

// Computes the same bits as dense_log_sum_exp, for groups of at most kSmallGroupPoints points and
// kSmallGroupCenters centers, whose centers fit one chunk.
inline constexpr int64_t kSmallGroupPoints = 128, kSmallGroupCenters = 1024;

template <typename T>
Status small_groups_log_sum_exp(const MixtureProblem<T>& problem, Vector<double> log_sum,
                                Cancellation& cancellation);

// Sums the only group of a mixture by a tree of its centers. If the tree is not usable, or the
// method is kAuto and all pairs seem faster, computes nothing and sets `done` to false.
template <typename T>
Status pruned_log_sum_exp(const MixtureProblem<T>& problem, const Accuracy& accuracy,
                          Vector<double> log_sum, Cancellation& cancellation, bool& done);

// Sets `worthwhile` to whether kAuto sums the only group of a mixture by a tree.
template <typename T>
Status estimate_pruning(const MixtureProblem<T>& problem, const Accuracy& accuracy,
                        Cancellation& cancellation, bool& worthwhile);

// Sums mixtures on the line or in the plane by expansions in cells. If a group of centers is not
// usable, or the method is kAuto and there are too few pairs, sets `done` to false.
template <typename T>
Status gridded_log_sum_exp(const MixtureProblem<T>& problem, const Accuracy& accuracy,
                           Vector<double> log_sum, Execution execution, bool& done);

// gridded_log_sum_exp in the plane; also sets `done` to false if the tolerance is below
// PlaneTables::kLeastTolerance.
template <typename T>
Status gridded_plane_log_sum_exp(const MixtureProblem<T>& problem, const Accuracy& accuracy,
                                 Vector<double> log_sum, Execution execution, bool& done);

}  // namespace layerbits
