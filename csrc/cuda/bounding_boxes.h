// Bounding boxes of tiles of points and centers. The pruned log-sum-exp uses them to find the tiles
// of centers near a tile of points.
#pragma once

#include "tile_log_sums.h"

namespace layerbits::cuda {

// Computes the boxes of tiles of centers, boxes[1 + 2 dim][tiles]: the least offset of a tile, then
// its smallest and largest coordinate in each dimension. Centers without weight are left out. Boxes
// contain no NaN: callers detect NaN themselves.
template <typename S, typename T = typename S::Value>
__global__ void compute_center_boxes(const T* centers, int64_t tiles, int dim, T* boxes) {
  constexpr int kTile = S::kTileCenters;
  for (int64_t i = first_index(); i < tiles * (1 + dim); i += index_stride()) {
    const int64_t t = i % tiles, k = i / tiles;
    const T* const offsets = centers + t * (1 + dim) * kTile;
    T lower = T(INFINITY), upper = -T(INFINITY);
    for (int c = 0; c < kTile; ++c) {
      if (!(offsets[c] < T(INFINITY))) continue;
      lower = minimum(lower, offsets[k * kTile + c]);
      upper = maximum(upper, offsets[k * kTile + c]);
    }
    if (k > 0) boxes[2 * k * tiles + t] = upper;
    boxes[(k > 0 ? 2 * k - 1 : 0) * tiles + t] = lower;
  }
}

// Computes the box of a tile of points in shared memory: box[dim][2].
template <typename S, typename T>
__device__ __forceinline__ void compute_point_box(const T* points, int rows, int dim, T* box) {
  for (int k = threadIdx.x; k < dim; k += blockDim.x) {
    T lower = T(INFINITY), upper = -T(INFINITY);
    for (int q = 0; q < rows; ++q) {
      lower = minimum(lower, points[k * S::kTilePoints + q]);
      upper = maximum(upper, points[k * S::kTilePoints + q]);
    }
    box[2 * k] = lower;
    box[2 * k + 1] = upper;
  }
}

// Returns a lower bound of the squared distance plus offset between a box of points and a tile of
// centers. Differences of infinite coordinates may be NaN, which `maximum` replaces by the other
// argument.
template <typename T>
__device__ __forceinline__ T least_distance(const T* box, int dim, const T* center_boxes,
                                            int64_t tiles, int64_t tile) {
  T distance = center_boxes[tile];
  for (int k = 0; k < dim; ++k) {
    const T lower = center_boxes[(2 * k + 1) * tiles + tile];
    const T upper = center_boxes[(2 * k + 2) * tiles + tile];
    const T gap = maximum(maximum(lower - box[2 * k + 1], box[2 * k] - upper), T(0));
    distance = multiply_add(gap, gap, distance);
  }
  return distance;
}

}  // namespace layerbits::cuda
