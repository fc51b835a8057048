// The groups of a mixture on the device, the checks of its values, and its weights as exponents.
#pragma once

#include "../api/divide_up.h"
#include "../api/scaling.h"
#include "packed_rows.h"

namespace layerbits::cuda {

// Results of checks on the device, which the host reads at the end of a call.
struct ValueChecks {
  unsigned long long bad_weight = ~0ull;  // the first index of a negative or nonfinite weight
  // The bits of a positive double. The bits of positive doubles have the order of the doubles, so
  // that atomicMax finds the largest weight.
  unsigned long long largest_weight = 0;
  unsigned points_too_large = 0, centers_too_large = 0;

  // Whether the kernels may write results: an operation that refuses a value writes none.
  __device__ __forceinline__ bool passed() const {
    return bad_weight == ~0ull && largest_weight != 0 && !points_too_large && !centers_too_large;
  }
};

// Copies the groups of a mixture to the device and checks its values there.
template <typename T>
class DeviceMixture {
 public:
  // A tile has `point_tile_blocks` blocks of points, or `center_tile_blocks` blocks of centers.
  DeviceMixture(const Mixture<T>& mixture, int point_tile_blocks, int center_tile_blocks);

  // Adds the mixture's arrays to the scratch memory; start() fills them once it is allocated.
  void add_to(Scratch& scratch);
  Status start(const Stream& stream);

  // Reads the checks; to be called after finish().
  Status check(const Stream& stream) const;

  const Mixture<T>& mixture;
  Scaling<T> scaling{};
  int64_t groups = 0;
  int64_t point_blocks = 0, center_blocks = 0;  // of kBlock rows, of all groups
  int64_t point_tiles = 0, center_tiles = 0;
  int64_t max_point_blocks = 0, max_center_blocks = 0;  // of a group

  // On the device, set by start(). Offsets by group, groups + 1 each.
  const int64_t *point_rows = nullptr, *center_rows = nullptr;
  const int64_t *point_block_offsets = nullptr, *center_block_offsets = nullptr;
  const int64_t *point_tile_offsets = nullptr, *center_tile_offsets = nullptr;
  ValueChecks* checks = nullptr;
  unsigned* nan = nullptr;  // by group: nonzero if a center has NaN

 private:
  std::vector<int64_t> host_values_;  // copied at once: offsets, checks, nan
  int64_t* device_values_ = nullptr;
};

// Weights as exponents of 2 relative to the largest weight: never positive.
struct WeightExponents {
  const ValueChecks* checks;

  __device__ double largest() const {
    return __longlong_as_double(static_cast<long long>(checks->largest_weight));
  }
  // Divides fractions only, because the ratio of the weights may underflow.
  __device__ double operator()(double weight) const {
    int exponent = 0, largest_exponent = 0;
    const double ratio = frexp(weight, &exponent) / frexp(largest(), &largest_exponent);
    return log2(ratio) + (exponent - largest_exponent);
  }
};

}  // namespace layerbits::cuda
