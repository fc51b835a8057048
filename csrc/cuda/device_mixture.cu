#include <cstring>

#include "device_mixture.h"

namespace layerbits::cuda {
namespace {

constexpr int64_t kCheckValues = sizeof(ValueChecks) / sizeof(int64_t);

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
  host_values_.assign(size_t(6 * size + kCheckValues + divide_up(groups, 2)), 0);
  int64_t* columns[6];
  for (int c = 0; c < 6; ++c) columns[c] = host_values_.data() + c * size;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t group_point_blocks = divide_up(points.end(g) - points.begin(g), kBlock);
    const int64_t group_center_blocks = divide_up(centers.end(g) - centers.begin(g), kBlock);
    max_point_blocks = std::max(max_point_blocks, group_point_blocks);
    max_center_blocks = std::max(max_center_blocks, group_center_blocks);
    columns[0][g + 1] = points.end(g);
    columns[1][g + 1] = centers.end(g);
    columns[2][g + 1] = columns[2][g] + group_point_blocks;
    columns[3][g + 1] = columns[3][g] + group_center_blocks;
    columns[4][g + 1] = columns[4][g] + divide_up(group_point_blocks, point_tile_blocks);
    columns[5][g + 1] = columns[5][g] + divide_up(group_center_blocks, center_tile_blocks);
  }
  point_blocks = columns[2][groups];
  center_blocks = columns[3][groups];
  point_tiles = columns[4][groups];
  center_tiles = columns[5][groups];
}

template <typename T>
void DeviceMixture<T>::add_to(Scratch& scratch) {
  scratch.add(device_values_, int64_t(host_values_.size()));
}

template <typename T>
Status DeviceMixture<T>::start(const Stream& stream) {
  const int64_t size = groups + 1;
  point_rows = device_values_;
  center_rows = device_values_ + size;
  point_block_offsets = device_values_ + 2 * size;
  center_block_offsets = device_values_ + 3 * size;
  point_tile_offsets = device_values_ + 4 * size;
  center_tile_offsets = device_values_ + 5 * size;
  checks = reinterpret_cast<ValueChecks*>(device_values_ + 6 * size);
  nan = reinterpret_cast<unsigned*>(checks + 1);
  ValueChecks initial;
  if (!mixture.weights || mixture.weights.size == 0) {
    const double one = 1;
    std::memcpy(&initial.largest_weight, &one, sizeof one);
  }
  std::memcpy(host_values_.data() + 6 * size, &initial, sizeof initial);
  const Status status = upload(device_values_, host_values_, stream);
  if (!status.ok() || !mixture.weights) return status;
  // Few threads, because the atomic operations of all of them access the same address.
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
