// Computes the order of the centers in a k-d tree. Parts of the order are halved, each along the
// dimension in which a sample of its centers is widest, until they are leaves of at most
// kLeafColumns centers.
#pragma once

#include <vector>

#include "packing.h"
#include "thread_pool.h"

namespace layerbits {

inline constexpr int64_t kLeafColumns = kLeafBlocks * kBlock;

// The plane that halves a part: centers above the plane are in the second half.
template <typename T>
struct Plane {
  int64_t dim;
  T value;
};

// Computes the order of the centers, and the planes of the inner nodes in the order of the nodes.
// Coordinates must not be NaN.
template <typename T>
Status order_centers(const Matrix<const T>& centers, int threads, Cancellation& cancellation,
                     std::vector<uint32_t>& order, std::vector<Plane<T>>& planes);

}  // namespace layerbits
