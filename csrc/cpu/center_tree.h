// A balanced k-d tree over the centers of one mixture, in the layout that the pruned kernel reads.
// The tree depends on centers, weights and sigma alone, so that the result of a row does not depend
// on the other rows.
#pragma once

#include <memory>
#include <vector>

#include "center_order.h"
#include "mixture_problem.h"
#include "node_moments.h"

namespace layerbits {

template <typename T>
class PackedTree {
 public:
  // Builds the tree. It is not usable() if a center is not finite or too large relative to sigma,
  // or if a positive weight is below 2^-1022 of the largest weight.
  Status build(const MixtureProblem<T>& problem, Cancellation& cancellation);

  bool usable() const { return usable_; }
  CenterTree<T> view() const { return {centers_.get(), nodes_.data(), blocks_, leaves_}; }
  int64_t leaves() const { return leaves_; }
  int64_t centers() const { return count_; }
  double total_weight() const { return total_weight_; }  // relative to the largest weight

  // The leaf of a query, and a lower bound of the query's sum: the term of a center with the
  // largest weight at the squared distance `bound`.
  struct Position {
    int64_t leaf;
    T bound;
  };
  Position find_position(const T* query) const;

  // Estimates the number of centers that the kernel evaluates for a query with this cutoff and
  // allowance (kernel_table.h); a visit to a node counts as one center.
  double evaluated_centers(const T* query, T cutoff, T allowance) const;

 private:
  void pack_leaf(int64_t leaf, const MixtureProblem<T>& problem,
                 const std::vector<uint32_t>& order);
  void finish_leaf(int64_t leaf, const MixtureProblem<T>& problem, NodeMoments& moments);
  NodeMoments finish_inner_nodes(T* node, int64_t first, int64_t leaves,
                                 const MixtureProblem<T>& problem,
                                 const std::vector<NodeMoments>& leaf_moments);
  T distance_to_mean(const T* node, const T* query) const;
  void set_merged_center(T* node, const MixtureProblem<T>& problem, const NodeMoments& moments);

  int64_t dim_ = 0, count_ = 0, blocks_ = 0, leaves_ = 0;
  bool usable_ = false;
  // 16 sigma^2. Below the root, nodes of this variance or more give no bound: Jensen's inequality
  // would give at most exp(-8) of their weight.
  T bounding_variance_ = 0;
  double total_weight_ = 0;
  std::unique_ptr<T[]> centers_;
  std::vector<T> nodes_;
  std::vector<Plane<T>> planes_;
  T power_ = 1;  // the factor of packed coordinates
};

}  // namespace layerbits
