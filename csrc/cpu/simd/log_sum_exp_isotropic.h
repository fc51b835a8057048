// The log-sum-exp of every query over all centers. Reads packed arrays only; no threads, no
// allocation.
#pragma once

#include "running_sum.h"

namespace {

// All tiles use a panel of centers before the next panel. A panel exceeds kPanelBytes by at most
// kBlocksAtOnce blocks, so a first-level cache of 32 KiB holds it in up to 190 dimensions.
constexpr int64_t kPanelBytes = 8192;

template <typename T>
void log_sum_exp_isotropic(const T* points, int64_t tiles, const T* centers, int64_t blocks,
                           int64_t dim, T scale, T* state) {
  constexpr int kLanes = Lanes<T>::kCount;
  const int64_t block_size = kBlock * (1 + dim);
  const int64_t panel =
      kBlocksAtOnce * (1 + kPanelBytes / (kBlocksAtOnce * block_size * int64_t(sizeof(T))));
  RunningSum<T> sum(scale);
  for (int64_t first = 0; first < blocks || first == 0; first += panel) {
    const int64_t last = first + panel < blocks ? first + panel : blocks;
    for (int64_t t = 0; t < tiles; ++t) {
      if (first == 0)
        sum.clear();
      else
        sum.restore(state + 3 * t * kLanes);
      const T* tile = points + t * dim * kLanes;
      int64_t b = first;
      for (; b + kBlocksAtOnce <= last; b += kBlocksAtOnce)
        add_blocks<T, kBlocksAtOnce>(sum, tile, centers + b * block_size, dim);
      for (; b < last; ++b) add_blocks<T, 1>(sum, tile, centers + b * block_size, dim);
      sum.save(state + 3 * t * kLanes);
    }
  }
}

}  // namespace
