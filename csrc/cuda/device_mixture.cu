#include <cstring>

#include "device_mixture.h"

namespace layerbits::cuda {
namespace {

constexpr int64_t kCheckValues = sizeof(ValueChecks) / sizeof(int64_t);

// The arrays of offsets by group, in their order in memory.
enum Offsets {
  kPointRows,
  kCenterRows,
  kPointBlocks,
  kCenterBlocks,
  kPointTiles,
  kCenterTiles,
  kOffsetArrays
};

template <typename T>
__global__ void check_weights(Vector<const T> weights, ValueChecks* checks) {
  unsigned long long largest = 0;
  for (int64_t j = first_index(); j < weights.size; j += index_stride()) {
    const double weight = weights.data[j * weights.stride];
    if (!(weight >= 0) || isinf(weight)) {
      atomicMin(&checks->bad_weight, static_cast<unsigned long long>(j));
      continue;
    }
    // Excludes -0, whose bits exceed those of every positive number.
    if (weight > 0) {
      const auto bits = static_cast<unsigned long long>(__double_as_longlong(weight));
      largest = bits > largest ? bits : largest;
    }
  }
  if (largest > 0) atomicMax(&checks->largest_weight, largest);
}

}  // namespace

template <typename T>
DeviceMixture<T>::DeviceMixture(const Mixture<T>& mixture_, int point_tile_blocks,
                                int center_tile_blocks)
    : mixture(mixture_), groups(mixture_.point_groups.count()) {
  const Groups &points = mixture.point_groups, &centers = mixture.center_groups;
  const int64_t size = groups + 1;
  host_values_.assign(size_t(kOffsetArrays * size + kCheckValues + divide_up(groups, 2)), 0);
  int64_t* offsets[kOffsetArrays];
  for (int c = 0; c < kOffsetArrays; ++c) offsets[c] = host_values_.data() + c * size;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t group_point_blocks = divide_up(points.end(g) - points.begin(g), kBlock);
    const int64_t group_center_blocks = divide_up(centers.end(g) - centers.begin(g), kBlock);
    max_point_blocks = std::max(max_point_blocks, group_point_blocks);
    max_center_blocks = std::max(max_center_blocks, group_center_blocks);
    const int64_t group_point_tiles = divide_up(group_point_blocks, point_tile_blocks);
    const int64_t group_center_tiles = divide_up(group_center_blocks, center_tile_blocks);
    offsets[kPointRows][g + 1] = points.end(g);
    offsets[kCenterRows][g + 1] = centers.end(g);
    offsets[kPointBlocks][g + 1] = offsets[kPointBlocks][g] + group_point_blocks;
    offsets[kCenterBlocks][g + 1] = offsets[kCenterBlocks][g] + group_center_blocks;
    offsets[kPointTiles][g + 1] = offsets[kPointTiles][g] + group_point_tiles;
    offsets[kCenterTiles][g + 1] = offsets[kCenterTiles][g] + group_center_tiles;
  }
  point_blocks = offsets[kPointBlocks][groups];
  center_blocks = offsets[kCenterBlocks][groups];
  point_tiles = offsets[kPointTiles][groups];
  center_tiles = offsets[kCenterTiles][groups];
}

template <typename T>
void DeviceMixture<T>::add_to(Scratch& scratch) {
  scratch.add(device_values_, int64_t(host_values_.size()));
}

template <typename T>
Status DeviceMixture<T>::start(const Stream& stream) {
  const int64_t size = groups + 1;
  point_rows = device_values_ + kPointRows * size;
  center_rows = device_values_ + kCenterRows * size;
  point_block_offsets = device_values_ + kPointBlocks * size;
  center_block_offsets = device_values_ + kCenterBlocks * size;
  point_tile_offsets = device_values_ + kPointTiles * size;
  center_tile_offsets = device_values_ + kCenterTiles * size;
  checks = reinterpret_cast<ValueChecks*>(device_values_ + kOffsetArrays * size);
  nan = reinterpret_cast<unsigned*>(checks + 1);
  ValueChecks initial;
  if (!mixture.weights || mixture.weights.size == 0) {
    const double one = 1;
    std::memcpy(&initial.largest_weight, &one, sizeof one);
  }
  std::memcpy(host_values_.data() + kOffsetArrays * size, &initial, sizeof initial);
  const Status status = upload(device_values_, host_values_, stream);
  if (!status.ok() || !mixture.weights) return status;
  // Few threads, because the atomic operations of all threads access one address.
  const int64_t threads = std::min<int64_t>(mixture.weights.size, 1 << 14);
  return launch_each(check_weights<T>, threads, stream, mixture.weights, checks);
}

template <typename T>
Status DeviceMixture<T>::check(const Stream& stream) const {
  ValueChecks result;
  if (Status status = download(&result, checks, 1, stream); !status.ok()) return status;
  if (result.bad_weight != ~0ull) {
    const int64_t index = int64_t(result.bad_weight);
    T weight = 0;
    const T* address = mixture.weights.data + index * mixture.weights.stride;
    if (Status status = download(&weight, address, 1, stream); !status.ok()) return status;
    return bad_weight(weight, index);
  }
  if (result.largest_weight == 0)
    return Status::bad_value("weights: got all 0, wanted a positive total");
  if (result.centers_too_large) return too_far_from_zero("centers");
  return result.points_too_large ? too_far_from_zero("points") : Status{};
}

template class DeviceMixture<float>;
template class DeviceMixture<double>;

}  // namespace layerbits::cuda
