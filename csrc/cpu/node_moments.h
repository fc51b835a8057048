// The moments of the centers of a node of a tree; an inner node adds the moments of its children.
#pragma once

#include <utility>
#include <vector>

#include "kernel_table.h"

namespace layerbits {

// Weight, mean, spread (the weighted sum of squared distances from the mean) and scatter (for
// dimensions k <= l, the weighted sums of products of differences from the mean). The scatter is
// empty in more than kMomentDims dimensions, for leaves of variance sigma^2 or more, and for nodes
// that contain such a leaf.
struct NodeMoments {
  double weight = 0, spread = 0;
  std::vector<double> mean, scatter;

  explicit NodeMoments(int64_t dim = 0)
      : mean(size_t(dim)), scatter(size_t(dim <= kMomentDims ? dim * (dim + 1) / 2 : 0)) {}

  // Equal centers keep an exact mean and a spread of 0. The mean of the heavier node moves by at
  // most the standard deviation of the sum, however far away the lighter node is.
  void add(NodeMoments other) {
    if (weight < other.weight) std::swap(*this, other);
    if (other.weight == 0) return;
    const double share = other.weight / (weight + other.weight);
    std::vector<double> difference(mean.size());
    for (size_t k = 0; k < mean.size(); ++k) difference[k] = other.mean[k] - mean[k];
    spread += other.spread;
    for (const double x : difference) spread += weight * share * x * x;
    if (other.scatter.empty()) scatter.clear();
    for (size_t k = 0, i = 0; i < scatter.size(); ++k)
      for (size_t l = k; l < mean.size(); ++l, ++i)
        scatter[i] += other.scatter[i] + weight * share * difference[k] * difference[l];
    for (size_t k = 0; k < mean.size(); ++k) mean[k] += share * difference[k];
    weight += other.weight;
  }
};

}  // namespace layerbits
