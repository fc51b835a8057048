// The gradients of the log-sum-exp. The gradient of a point is a sum over centers, the gradient of
// a center a sum over points. One kernel sums over sources for each target, and runs once for each
// side that is wanted. So no two thread blocks add to the same address, and a repeated call has the
// same bits; but gradients of both sides need two computations of the kernel values.
#include <algorithm>

#include "device_mixture.h"
#include "source_sums.h"

namespace layerbits::cuda {
namespace {

template <typename T>
__device__ __forceinline__ bool has_infinity(const Matrix<const T>& rows, const T* coordinates) {
  for (int64_t k = 0; k < rows.cols; ++k)
    if (isinf(coordinates[k * rows.col_stride])) return true;
  return false;
}

// Exponent and factor of a point: u_i p_ij = factor 2^(exponent + exponents of center and
// distance).
template <typename T>
struct PointValues {
  static constexpr int kCount = 2;
  static constexpr bool kZeroNotFinite = true;
  Vector<const double> log_sum, upstream;
  WeightExponents exponents;

  __device__ void operator()(int64_t row, const T*, T* values) const {
    values[0] = -T(INFINITY), values[1] = 0;
    if (row < 0) return;
    const double row_log_sum = log_sum.data[row * log_sum.stride];
    const double factor = upstream.data[row * upstream.stride];
    if (factor == 0 || row_log_sum == -INFINITY) return;
    const double log2_sum = (row_log_sum - log(exponents.largest())) * kLog2E;
    const T reference = T(rint(log2_sum));
    values[1] = T(factor * exp2(double(reference) - log2_sum));
    // A NaN factor makes every K of the row NaN, so that none of its tiles is omitted; the exponent
    // is that of the CPU.
    values[0] = isnan(values[1]) ? Range<T>::kLargest : -reference;
  }
};

// Exponent and factor of a center. A center of weight 0 enters only the gradient of its own weight,
// as a limit: as a source it is absent, as a target it has the exponent of the largest weight.
template <typename T>
struct CenterValues {
  static constexpr int kCount = 2;
  static constexpr bool kZeroNotFinite = true;
  Matrix<const T> rows;
  Vector<const T> weights;
  WeightExponents exponents;
  bool are_targets;

  __device__ void operator()(int64_t row, const T* coordinates, T* values) const {
    values[0] = -T(INFINITY), values[1] = 1;
    if (row < 0 || has_infinity(rows, coordinates)) return;
    const double weight = weights.data ? double(weights.data[row * weights.stride]) : 1.0;
    if (weight == 0)
      values[0] = are_targets ? T(0) : -T(INFINITY);
    else
      values[0] = weights.data ? T(exponents(weight)) : T(0);
  }
};

// Adds the sums of a target over the shares, in their order.
template <typename T>
struct Totals {
  const ValueChecks* checks;
  SourceSums<T> problem;

  __device__ int64_t packed_row(int64_t row) const {
    const int64_t group = find_group(problem.target_rows, problem.groups, row);
    return problem.target_blocks[group] * kBlock + (row - problem.target_rows[group]);
  }
  __device__ double operator()(int64_t packed_row, int64_t k) const {
    double total = 0;
    for (int64_t share = 0; share < problem.shares; ++share)
      total +=
          problem
              .sums[(share * problem.sums_per_target() + k) * problem.packed_targets + packed_row];
    return total;
  }
};

template <typename T>
__global__ void finish_points(Totals<T> totals, int64_t count, double per_difference,
                              double fraction, Matrix<T> d_points, Vector<double> d_sigma) {
  if (!totals.checks->passed()) return;
  for (int64_t i = first_index(); i < count; i += index_stride()) {
    const int64_t row = totals.packed_row(i);
    if (d_sigma.data) d_sigma.data[i * d_sigma.stride] = totals(row, 0) * per_difference / fraction;
    if (d_points.data)
      for (int64_t k = 0; k < d_points.cols; ++k)
        d_points.data[i * d_points.row_stride + k * d_points.col_stride] =
            T(-totals(row, 1 + k) * per_difference);
  }
}

template <typename T>
__global__ void finish_centers(Totals<T> totals, int64_t count, double per_difference,
                               Vector<const T> weights, WeightExponents exponents,
                               Matrix<T> d_centers, Vector<T> d_weights) {
  if (!totals.checks->passed()) return;
  for (int64_t j = first_index(); j < count; j += index_stride()) {
    const int64_t row = totals.packed_row(j);
    const double weight = weights.data ? double(weights.data[j * weights.stride]) : 1.0;
    if (d_weights.data)
      d_weights.data[j * d_weights.stride] =
          T(totals(row, 0) / (weight == 0 ? exponents.largest() : weight));
    if (d_centers.data)
      for (int64_t k = 0; k < d_centers.cols; ++k)
        d_centers.data[j * d_centers.row_stride + k * d_centers.col_stride] =
            weight == 0 ? T(0) : T(-totals(row, 1 + k) * per_difference);
  }
}

// Returns a number of shares of the sources that keeps the device busy to the end: 1, or more with
// at least kMinTiles tiles in each share and at most kMaxSums sums in all.
int64_t choose_shares(int64_t target_tiles, int64_t source_tiles, int64_t sums_of_share,
                      int multiprocessors) {
  constexpr int64_t kBlocksPerMultiprocessor = 24, kMinTiles = 4, kMaxSums = 1 << 25;
  const int64_t wanted =
      divide_up(kBlocksPerMultiprocessor * multiprocessors, std::max<int64_t>(target_tiles, 1));
  const int64_t limit =
      std::min(source_tiles / kMinTiles, kMaxSums / std::max<int64_t>(sums_of_share, 1));
  return std::clamp<int64_t>(wanted, 1, std::max<int64_t>(limit, 1));
}

template <typename T>
class DeviceGradient {
 public:
  DeviceGradient(const Mixture<T>& mixture, const Gradient<T>& gradient, const Stream& stream,
                 int multiprocessors)
      : mixture_(mixture),
        gradient_(gradient),
        stream_(stream),
        multiprocessors_(multiprocessors),
        device_mixture_(mixture, kTileBlocks, kTileBlocks) {}

  Status compute() {
    if (Status status = device_mixture_.scaling.set(mixture_.sigma); !status.ok()) return status;
    const bool has_points = gradient_.d_points || gradient_.d_sigma;
    const bool has_centers = gradient_.d_centers || gradient_.d_weights;
    const int64_t dim = mixture_.points.cols;
    SourceSums<T> point_sums =
        plan_sums(bool(gradient_.d_points), device_mixture_.point_tiles,
                  device_mixture_.point_blocks, device_mixture_.max_center_blocks);
    SourceSums<T> center_sums =
        plan_sums(bool(gradient_.d_centers), device_mixture_.center_tiles,
                  device_mixture_.center_blocks, device_mixture_.max_point_blocks);

    Scratch scratch;
    device_mixture_.add_to(scratch);
    scratch.add(points_, device_mixture_.point_blocks * kBlock * (2 + dim));
    scratch.add(centers_, device_mixture_.center_blocks * kBlock * (2 + dim));
    // The two sides use the same memory, one after the other.
    scratch.add(sums_,
                std::max(has_points ? point_sums.size() : 0, has_centers ? center_sums.size() : 0));
    if (Status status = scratch.allocate(stream_); !status.ok()) return status;
    Status status = device_mixture_.start(stream_);
    if (status.ok()) status = pack_points();
    if (status.ok() && has_points) status = compute_points(point_sums);
    if (status.ok() && has_centers) status = compute_centers(center_sums);
    if (status.ok()) status = finish(stream_);
    return status.ok() ? device_mixture_.check(stream_) : status;
  }

 private:
  // Sets the sizes, which are known before memory is allocated.
  SourceSums<T> plan_sums(bool has_coordinates, int64_t tiles, int64_t target_blocks,
                          int64_t max_source_blocks) const {
    SourceSums<T> sums{};
    sums.groups = device_mixture_.groups;
    sums.dim = mixture_.points.cols;
    sums.tiles = tiles;
    sums.minus_scale = -device_mixture_.scaling.exponent_scale;
    sums.has_coordinates = has_coordinates;
    sums.packed_targets = target_blocks * kBlock;
    sums.shares = choose_shares(tiles, divide_up(max_source_blocks, kTileBlocks),
                                sums.sums_per_target() * sums.packed_targets, multiprocessors_);
    return sums;
  }

  Status pack_points() const {
    const PackedLayout layout{device_mixture_.point_rows, device_mixture_.point_block_offsets,
                              device_mixture_.groups, device_mixture_.point_blocks * kBlock};
    const PointValues<T> values{gradient_.log_sum, gradient_.upstream, exponents()};
    return launch_each(pack_rows<T, PointValues<T>>, layout.packed_rows, stream_, mixture_.points,
                       layout, T(device_mixture_.scaling.power), values,
                       &device_mixture_.checks->points_too_large, static_cast<unsigned*>(nullptr),
                       points_);
  }

  Status pack_centers(bool are_targets) const {
    const PackedLayout layout{device_mixture_.center_rows, device_mixture_.center_block_offsets,
                              device_mixture_.groups, device_mixture_.center_blocks * kBlock};
    const CenterValues<T> values{mixture_.centers, mixture_.weights, exponents(), are_targets};
    return launch_each(pack_rows<T, CenterValues<T>>, layout.packed_rows, stream_, mixture_.centers,
                       layout, T(device_mixture_.scaling.power), values,
                       &device_mixture_.checks->centers_too_large, static_cast<unsigned*>(nullptr),
                       centers_);
  }

  Status compute_points(SourceSums<T> sums) const {
    sums.targets = points_;
    sums.sources = centers_;
    sums.target_rows = device_mixture_.point_rows;
    sums.target_blocks = device_mixture_.point_block_offsets;
    sums.source_blocks = device_mixture_.center_block_offsets;
    sums.target_tiles = device_mixture_.point_tile_offsets;
    Status status = pack_centers(false);
    if (status.ok()) status = sum<Moment::kDistance>(sums);
    const Totals<T> totals{device_mixture_.checks, sums};
    return status.ok() ? launch_each(finish_points<T>, mixture_.points.rows, stream_, totals,
                                     mixture_.points.rows, per_difference(),
                                     device_mixture_.scaling.fraction, gradient_.d_points,
                                     gradient_.d_sigma)
                       : status;
  }

  Status compute_centers(SourceSums<T> sums) const {
    sums.targets = centers_;
    sums.sources = points_;
    sums.target_rows = device_mixture_.center_rows;
    sums.target_blocks = device_mixture_.center_block_offsets;
    sums.source_blocks = device_mixture_.point_block_offsets;
    sums.target_tiles = device_mixture_.center_tile_offsets;
    Status status = pack_centers(true);
    if (status.ok()) status = sum<Moment::kOne>(sums);
    const Totals<T> totals{device_mixture_.checks, sums};
    return status.ok() ? launch_each(finish_centers<T>, mixture_.centers.rows, stream_, totals,
                                     mixture_.centers.rows, per_difference(), mixture_.weights,
                                     exponents(), gradient_.d_centers, gradient_.d_weights)
                       : status;
  }

  template <Moment kMoment>
  Status sum(SourceSums<T>& sums) const {
    sums.sums = sums_;
    const size_t bytes = size_t(sums.size()) * sizeof(double);
    Status status = status_of(cudaMemsetAsync(sums_, 0, bytes, handle(stream_)));
    if (!status.ok()) return status;
    return launch(sum_over_sources<T, kMoment>, sums.tiles * sums.shares, kBlockThreads,
                  sizeof(SourceMemory<T>), stream_, sums);
  }

  WeightExponents exponents() const { return WeightExponents{device_mixture_.checks}; }
  double per_difference() const {
    return device_mixture_.scaling.power /
           (device_mixture_.scaling.fraction * device_mixture_.scaling.fraction);
  }

  const Mixture<T>& mixture_;
  const Gradient<T>& gradient_;
  const Stream& stream_;
  const int multiprocessors_;
  DeviceMixture<T> device_mixture_;
  T *points_ = nullptr, *centers_ = nullptr;
  double* sums_ = nullptr;
};

}  // namespace

template <typename T>
Status log_sum_exp_isotropic_gradient(const Mixture<T>& mixture, const Gradient<T>& gradient,
                                      const Stream& stream) {
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  return DeviceGradient<T>(mixture, gradient, stream, current.multiprocessors).compute();
}

template Status log_sum_exp_isotropic_gradient(const Mixture<float>&, const Gradient<float>&,
                                               const Stream&);
template Status log_sum_exp_isotropic_gradient(const Mixture<double>&, const Gradient<double>&,
                                               const Stream&);

}  // namespace layerbits::cuda
