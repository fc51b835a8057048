// The verbs over all pairs of the rows of one matrix, each pair once. Distances are sums of squared
// differences, rounded to T; under kCosine, 1 - cos = |u - v|^2 / 2 of the rows made unit vectors.
#pragma once

#include "mixture.h"

namespace layerbits {

enum class Metric { kEuclidean, kCosine };

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

}  // namespace layerbits
