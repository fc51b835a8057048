// The log-sum-exp of a tile of queries over a tree of centers, without negligible nodes. The terms
// of a query depend on no other query, and are added in the order of the tree.
#pragma once

#include "running_sum.h"

namespace {

using layerbits::CenterTree;
using layerbits::node_size;
using enum layerbits::NodeValue;
using enum layerbits::NodeSide;
using layerbits::kLeafBlocks;
using layerbits::kMomentDims;

// The size of the stack, which holds a node for each depth of a tree of fewer than 2^63 leaves.
constexpr int kStackSize = 64;

template <typename T>
struct Subtree {
  const T* node;
  int64_t first_leaf, leaves;
  typename Lanes<T>::Register cutoff;  // below 0 for queries that have merged the subtree
};

// Returns the squared distances of the queries to the box of a node. Rounding is monotone, so that
// the computed distance of a node is at most the distance of its descendants.
template <typename T>
inline typename Lanes<T>::Register distance_to_box(const T* tile, const T* node, int64_t dim) {
  using R = typename Lanes<T>::Register;
  R distance = broadcast(T(0));
  const T* sides = node + kNodeExtras;
  for (int64_t k = 0; k < dim; ++k, sides += kNodeSides) {
    const R q = load(tile + k * Lanes<T>::kCount);
    const R outside = max(max(broadcast(sides[kSideLower]) - q, q - broadcast(sides[kSideUpper])),
                          broadcast(T(0)));
    distance = fma(outside, outside, distance);
  }
  return distance;
}

// Adds the centers of a node as one center at their mean, times the factor of their second moments;
// `beyond` is 0, or +inf for the queries that skip the node.
template <typename T>
inline void add_merged_center(RunningSum<T>& sum, const T* tile, const T* node, int64_t dim,
                              typename Lanes<T>::Register beyond) {
  using R = typename Lanes<T>::Register;
  R differences[kMomentDims];
  R distance = broadcast(node[kNodeOffset]) + beyond, partial = broadcast(T(0));
  const T* sides = node + kNodeExtras;
  for (int64_t k = 0; k < dim; ++k, sides += kNodeSides) {
    const R difference = load(tile + k * Lanes<T>::kCount) - broadcast(sides[kSideMean]) -
                         broadcast(sides[kSideMeanError]);
    partial = fma(difference, difference, partial);
    if (k % kPanel == kPanel - 1) {
      distance = distance + partial;
      partial = broadcast(T(0));
    }
    if (dim <= kMomentDims) differences[k] = difference;
  }
  R factor = broadcast(node[kNodeFactor]);
  if (dim <= kMomentDims)
    for (int64_t k = 0; k < dim; ++k) {
      R row = broadcast(T(0));
      for (int64_t l = k; l < dim; ++l) row = fma(broadcast(*sides++), differences[l], row);
      factor = fma(row, differences[k], factor);
    }
  // The factor is 0 for queries that skip the node, because it may be infinite for distant queries.
  const R zero = broadcast(T(0));
  sum.add_merged(distance + partial, where_less(beyond, broadcast(T(INFINITY)), factor, zero));
}

template <typename T>
void pruned_log_sum_exp(const T* points, const CenterTree<T>& tree, int64_t dim, T scale,
                        T* state) {
  using R = typename Lanes<T>::Register;
  constexpr int kLanes = Lanes<T>::kCount;
  const T* tile = points + 3 * kLanes;
  const R allowance = load(points + 2 * kLanes);
  const R zero = broadcast(T(0)), merged = broadcast(T(-1)), infinity = broadcast(T(INFINITY));
  const int64_t size = node_size(dim), block_size = kBlock * (1 + dim);
  RunningSum<T> sum(scale);
  sum.start_from(load(points));

  Subtree<T> stack[kStackSize];
  stack[0] = {tree.nodes, 0, tree.leaves, load(points + kLanes)};
  for (int count = 1; count > 0;) {
    Subtree<T> subtree = stack[--count];
    const R distance = distance_to_box<T>(tile, subtree.node, dim);
    if (!any_less(distance, subtree.cutoff)) continue;

    const R error = broadcast(subtree.node[kNodeError]);
    if (any_not_greater(error, allowance)) {
      const R beyond = where_less(distance, subtree.cutoff,
                                  where_less(allowance, error, infinity, zero), infinity);
      add_merged_center<T>(sum, tile, subtree.node, dim, beyond);
      subtree.cutoff = where_less(allowance, error, subtree.cutoff, merged);
      if (!any_less(distance, subtree.cutoff)) continue;
    }

    if (subtree.leaves > 1) {
      const int64_t half = (subtree.leaves + 1) / 2;
      const T* first = subtree.node + size;
      stack[count++] = {first + (2 * half - 1) * size, subtree.first_leaf + half,
                        subtree.leaves - half, subtree.cutoff};
      stack[count++] = {first, subtree.first_leaf, half, subtree.cutoff};
      continue;
    }
    const R beyond = where_less(distance, subtree.cutoff, zero, infinity);
    const int64_t first = subtree.first_leaf * kLeafBlocks;
    const int64_t last = first + kLeafBlocks < tree.blocks ? first + kLeafBlocks : tree.blocks;
    int64_t b = first;
    for (; b + kBlocksAtOnce <= last; b += kBlocksAtOnce)
      add_blocks<T, kBlocksAtOnce>(sum, tile, tree.centers + b * block_size, dim, beyond);
    for (; b < last; ++b) add_blocks<T, 1>(sum, tile, tree.centers + b * block_size, dim, beyond);
  }
  sum.save(state);
}

}  // namespace
