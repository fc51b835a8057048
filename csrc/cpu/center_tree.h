// A balanced k-d tree over the centers of one mixture, in the layout that the pruned kernel reads.
// It depends on centers, weights and sigma alone, so that a row's result does not depend on others.
#pragma once

#include <memory>
#include <vector>

#include "center_order.h"
#include "setup.h"

namespace layerbits {

template <typename T>
class PackedTree {
 public:
  // Leaves `usable` false where a center is not finite, too large beside sigma, or of less than
  // 2^-1022 of the largest weight.
  Status build(const Setup<T>& setup, Cancellation& cancellation);

  bool usable() const { return usable_; }
  CenterTree<T> view() const { return {centers_.get(), nodes_.data(), blocks_, leaves_}; }
  int64_t leaves() const { return leaves_; }
  int64_t centers() const { return count_; }
  double total_weight() const { return total_weight_; }  // beside the largest one

  // The leaf that lies nearest to a query on the way down, and the least that is known on that way
  // of how near the weight is: as if one center of the largest weight were at this squared
  // distance.
  struct Place {
    int64_t leaf;
    T bound;
  };
  Place place(const T* query) const;

  // About how many centers are taken for a query with this cutoff and allowance, see
  // kernel_table.h.
  double centers_taken(const T* query, T cutoff, T allowance) const;

 private:
  struct Moments;

  void pack_leaf(int64_t leaf, const Setup<T>& setup, const std::vector<uint32_t>& order);
  void finish_leaf(int64_t leaf, const Setup<T>& setup, Moments& moments);
  Moments finish_below(T* node, int64_t first, int64_t leaves, const Setup<T>& setup,
                       const std::vector<Moments>& of_leaves);
  T distance_to_mean(const T* node, const T* query) const;
  void take_as_one(T* node, const Setup<T>& setup, const Moments& moments);

  int64_t dim_ = 0, count_ = 0, blocks_ = 0, leaves_ = 0;
  bool usable_ = false;
  T nearby_ = 0;  // a variance at which the centers of a node may still weigh more than one alone
  double total_weight_ = 0;
  std::unique_ptr<T[]> centers_;
  std::vector<T> nodes_;
  std::vector<Plane<T>> planes_;
  T power_ = 1;  // from coordinates to packed ones
};

}  // namespace layerbits
