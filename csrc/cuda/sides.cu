#include <cstring>

#include "sides.h"

namespace layerbits::cuda {
namespace {

constexpr int64_t kFindings = sizeof(Findings) / sizeof(int64_t);

template <typename T>
__global__ void look_at_weights(Vector<const T> weights, Findings* findings) {
  unsigned long long largest = 0;
  for (int64_t j = first_index(); j < weights.size; j += index_stride()) {
    const double weight = weights.data[j * weights.stride];
    if (!(weight >= 0) || isinf(weight)) {
      atomicMin(&findings->bad_weight, static_cast<unsigned long long>(j));
      continue;
    }
    // Not of -0, whose bits are the largest.
    if (weight > 0) {
      const auto bits = static_cast<unsigned long long>(__double_as_longlong(weight));
      largest = bits > largest ? bits : largest;
    }
  }
  if (largest > 0) atomicMax(&findings->largest_weight, largest);
}

}  // namespace

template <typename T>
Mixed<T>::Mixed(const Mixture<T>& mixture_, int point_tile_blocks, int center_tile_blocks)
    : mixture(mixture_) {
  const Groups &points = mixture.point_groups, &centers = mixture.center_groups;
  const int64_t groups = points.count(), size = groups + 1;
  on_host_.assign(size_t(6 * size + kFindings + divide_up(groups, 2)), 0);
  int64_t* columns[6];
  for (int c = 0; c < 6; ++c) columns[c] = on_host_.data() + c * size;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t point_blocks = divide_up(points.end(g) - points.begin(g), kBlock);
    const int64_t center_blocks = divide_up(centers.end(g) - centers.begin(g), kBlock);
    most_point_blocks = std::max(most_point_blocks, point_blocks);
    most_center_blocks = std::max(most_center_blocks, center_blocks);
    columns[0][g + 1] = points.end(g);
    columns[1][g + 1] = centers.end(g);
    columns[2][g + 1] = columns[2][g] + point_blocks;
    columns[3][g + 1] = columns[3][g] + center_blocks;
    columns[4][g + 1] = columns[4][g] + divide_up(point_blocks, point_tile_blocks);
    columns[5][g + 1] = columns[5][g] + divide_up(center_blocks, center_tile_blocks);
  }
  point_blocks_ = columns[2][groups];
  center_blocks_ = columns[3][groups];
  point_tiles = columns[4][groups];
  center_tiles = columns[5][groups];
  table.groups = groups;
}

template <typename T>
void Mixed<T>::want(Scratch& scratch) {
  scratch.want(on_device_, int64_t(on_host_.size()));
}

template <typename T>
Status Mixed<T>::start(const Stream& stream) {
  const int64_t size = table.groups + 1;
  table = {table.groups, on_device_, on_device_ + size, on_device_ + 2 * size,
           on_device_ + 3 * size};
  tiles_of_points = on_device_ + 4 * size;
  tiles_of_centers = on_device_ + 5 * size;
  findings = reinterpret_cast<Findings*>(on_device_ + 6 * size);
  nan = reinterpret_cast<unsigned*>(findings + 1);
  Findings initial;
  if (!mixture.weights || mixture.weights.size == 0) {
    const double one = 1;
    std::memcpy(&initial.largest_weight, &one, sizeof one);
  }
  std::memcpy(on_host_.data() + 6 * size, &initial, sizeof initial);
  const Status status = upload(on_device_, on_host_, stream);
  if (!status.ok() || !mixture.weights) return status;
  // Few threads: all of them end at one place of memory.
  const int64_t count = std::min<int64_t>(mixture.weights.size, 1 << 14);
  return launch_each(look_at_weights<T>, count, stream, mixture.weights, findings);
}

template <typename T>
Status Mixed<T>::verdict(const Stream& stream) const {
  Findings found;
  if (Status status = download(&found, findings, 1, stream); !status.ok()) return status;
  if (found.bad_weight != ~0ull) {
    T weight = 0;
    const T* place = mixture.weights.data + int64_t(found.bad_weight) * mixture.weights.stride;
    if (Status status = download(&weight, place, 1, stream); !status.ok()) return status;
    return bad_weight(weight, int64_t(found.bad_weight));
  }
  if (found.largest_weight == 0)
    return Status::bad_value("weights: got all 0, wanted a positive total");
  if (found.centers_too_large) return too_far_from_zero("centers");
  return found.points_too_large ? too_far_from_zero("points") : Status{};
}

template class Mixed<float>;
template class Mixed<double>;

}  // namespace layerbits::cuda
