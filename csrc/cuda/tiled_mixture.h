// Points and centers of a mixture, packed on the device into the tiles of tile_log_sums.h.
#pragma once

#include <algorithm>

#include "device_mixture.h"
#include "tile_log_sums.h"

namespace layerbits::cuda {

// The extra value of a center: its weight as an offset of squared distances.
template <typename T>
struct WeightOffset {
  static constexpr int kCount = 1;
  static constexpr bool kZeroNotFinite = false;
  Vector<const T> weights;
  WeightExponents exponents;
  T scale;

  __device__ void operator()(int64_t row, const T*, T* offset) const {
    if (row < 0)
      offset[0] = T(INFINITY);
    else
      offset[0] = weights.data ? T(-exponents(weights.data[row * weights.stride]) / scale) : T(0);
  }
};

template <typename S>
class TiledMixture : public DeviceMixture<typename S::Value> {
 public:
  using T = typename S::Value;

  // Pads the rows with zeros to `packed_dim` dimensions.
  TiledMixture(const Mixture<T>& mixture_, int64_t packed_dim)
      : DeviceMixture<T>(mixture_, S::kTilePoints / kBlock, S::kX), dim(packed_dim) {}

  void add_to(Scratch& scratch) {
    DeviceMixture<T>::add_to(scratch);
    scratch.add(points, packed_points() * dim);
    scratch.add(centers, packed_centers() * (1 + dim));
  }

  Status start(const Stream& stream, Vector<const int64_t> point_order = {},
               Vector<const int64_t> center_order = {}) {
    if (Status status = DeviceMixture<T>::start(stream); !status.ok()) return status;
    const T factor = T(this->scaling.power);
    const PackedLayout point_layout{.row_offsets = this->point_rows,
                                    .block_offsets = this->point_tile_offsets,
                                    .groups = this->groups,
                                    .packed_rows = packed_points(),
                                    .block_rows = S::kTilePoints,
                                    .padding = dim - this->mixture.points.cols,
                                    .order = point_order};
    Status status =
        launch_each(pack_rows<T, NoExtraValues>, packed_points(), stream, this->mixture.points,
                    point_layout, factor, NoExtraValues{}, &this->checks->points_too_large,
                    static_cast<unsigned*>(nullptr), points);
    if (!status.ok()) return status;
    const PackedLayout center_layout{.row_offsets = this->center_rows,
                                     .block_offsets = this->center_tile_offsets,
                                     .groups = this->groups,
                                     .packed_rows = packed_centers(),
                                     .block_rows = S::kTileCenters,
                                     .padding = dim - this->mixture.centers.cols,
                                     .order = center_order};
    const WeightOffset<T> offsets{this->mixture.weights, WeightExponents{this->checks},
                                  this->scaling.exponent_scale};
    return launch_each(pack_rows<T, WeightOffset<T>>, packed_centers(), stream,
                       this->mixture.centers, center_layout, factor, offsets,
                       &this->checks->centers_too_large, this->nan, centers);
  }

  int64_t packed_points() const { return this->point_tiles * S::kTilePoints; }
  int64_t packed_centers() const { return this->center_tiles * S::kTileCenters; }

  const int64_t dim;
  T *points = nullptr, *centers = nullptr;
};

// Returns a number of shares of the centers that keeps the device busy to the end: 1, or more with
// at least kMinTiles tiles in each share.
inline int64_t choose_shares(int64_t point_tiles, int64_t center_tiles, int multiprocessors) {
  constexpr int64_t kBlocksPerMultiprocessor = 32, kMinTiles = 4;
  const int64_t wanted = divide_up(kBlocksPerMultiprocessor * multiprocessors, point_tiles);
  return std::clamp<int64_t>(wanted, 1, std::max<int64_t>(center_tiles / kMinTiles, 1));
}

// Returns the number of tiles of a stage: many in few dimensions, so that a stage is worth its
// barrier.
template <typename S>
int tiles_of_stage(int64_t dim, int64_t max_tiles) {
  constexpr int64_t kBytes = 16384;
  const int64_t tile = (1 + dim) * S::kTileCenters * int64_t(sizeof(typename S::Value));
  return int(std::clamp<int64_t>(kBytes / tile, 1, std::max<int64_t>(max_tiles, 1)));
}

}  // namespace layerbits::cuda
