// The order in which a tree takes centers: parts are halved along the dimension in which a sample
// of them spreads farthest, down to leaves of kLeafColumns.
#pragma once

#include <vector>

#include "packing.h"
#include "thread_pool.h"

namespace layerbits {

inline constexpr int64_t kLeafColumns = kLeafBlocks * kBlock;

// Where a part was halved: what lies above it came into the second half.
template <typename T>
struct Plane {
  int64_t dim;
  T value;
};

// Puts the rows into `order` and the planes of the inner nodes, in the order of the nodes, into
// `planes`. Coordinates must not be NaN.
template <typename T>
Status order_centers(const Matrix<const T>& centers, int threads, Cancellation& cancellation,
                     std::vector<uint32_t>& order, std::vector<Plane<T>>& planes);

}  // namespace layerbits
