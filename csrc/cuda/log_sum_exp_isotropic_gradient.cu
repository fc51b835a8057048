// The gradients of the log-sum-exp. What a point gets is a sum over centers, what a center gets one
// over points: one kernel sums for targets over sources, and is called once for each side that is
// wanted. So no two blocks of threads add to the same place, at the price of finding the weights of
// pairs twice where both sides are wanted.
#include "source_sums.h"

namespace layerbits::cuda {
namespace {

template <typename T>
__device__ __forceinline__ bool has_infinity(const Matrix<const T>& rows, const T* coordinates) {
  for (int64_t k = 0; k < rows.cols; ++k)
    if (isinf(coordinates[k * rows.col_stride])) return true;
  return false;
}

// u_i p_ij is factor 2^(exponent + exponents of the pair and the center).
template <typename T>
struct PointExtras {
  static constexpr int kCount = 2;
  static constexpr bool kZeroNotFinite = true;
  Vector<const double> log_sum, upstream;
  Exponents exponents;

  __device__ void operator()(int64_t row, const T*, T* out) const {
    out[0] = -T(INFINITY), out[1] = 0;
    if (row < 0) return;
    const double own = log_sum.data[row * log_sum.stride];
    const double factor = upstream.data[row * upstream.stride];
    if (factor == 0 || own == -INFINITY) return;
    const double log2_sum = (own - log(exponents.largest())) * kLog2E;
    const T reference = T(rint(log2_sum));
    out[1] = T(factor * exp2(double(reference) - log2_sum));
    // A row of NaN gets an exponent with which it is not left out.
    out[0] = isnan(out[1]) ? Range<T>::kLargest : -reference;
  }
};

// Centers of weight 0 have no part in any gradient but the limit of their own weights': as sources
// they are absent, as targets they stand as if they weighed as much as the largest.
template <typename T>
struct CenterExtras {
  static constexpr int kCount = 2;
  static constexpr bool kZeroNotFinite = true;
  Matrix<const T> rows;
  Vector<const T> weights;
  Exponents exponents;
  bool are_targets;

  __device__ void operator()(int64_t row, const T* coordinates, T* out) const {
    out[0] = -T(INFINITY), out[1] = 1;
    if (row < 0 || has_infinity(rows, coordinates)) return;
    const double weight = weights.data ? double(weights.data[row * weights.stride]) : 1.0;
    if (weight == 0)
      out[0] = are_targets ? T(0) : -T(INFINITY);
    else
      out[0] = weights.data ? T(exponents(weight)) : T(0);
  }
};

// Sums of a row over the shares, in their order.
template <typename T>
struct Totals {
  const Findings* findings;
  Work<T> work;
  const int64_t* rows;  // by group

  __device__ int64_t place(int64_t row) const {
    const int64_t group = find_group(rows, work.groups, row);
    return work.target_blocks[group] * kBlock + (row - rows[group]);
  }
  __device__ double operator()(int64_t place, int64_t k) const {
    double total = 0;
    for (int64_t share = 0; share < work.shares; ++share)
      total += work.sums[(share * work.sums_of_target() + k) * work.packed_targets + place];
    return total;
  }
};

template <typename T>
__global__ void finish_points(Totals<T> totals, int64_t count, double per_difference,
                              double fraction, Matrix<T> d_points, Vector<double> d_sigma) {
  if (!totals.findings->fine()) return;
  for (int64_t i = first_index(); i < count; i += index_stride()) {
    const int64_t place = totals.place(i);
    if (d_sigma.data)
      d_sigma.data[i * d_sigma.stride] = totals(place, 0) * per_difference / fraction;
    if (d_points.data)
      for (int64_t k = 0; k < d_points.cols; ++k)
        d_points.data[i * d_points.row_stride + k * d_points.col_stride] =
            T(-totals(place, 1 + k) * per_difference);
  }
}

template <typename T>
__global__ void finish_centers(Totals<T> totals, int64_t count, double per_difference,
                               Vector<const T> weights, Exponents exponents, Matrix<T> d_centers,
                               Vector<T> d_weights) {
  if (!totals.findings->fine()) return;
  for (int64_t j = first_index(); j < count; j += index_stride()) {
    const int64_t place = totals.place(j);
    const double weight = weights.data ? double(weights.data[j * weights.stride]) : 1.0;
    if (d_weights.data)
      d_weights.data[j * d_weights.stride] =
          T(totals(place, 0) / (weight == 0 ? exponents.largest() : weight));
    if (d_centers.data)
      for (int64_t k = 0; k < d_centers.cols; ++k)
        d_centers.data[j * d_centers.row_stride + k * d_centers.col_stride] =
            weight == 0 ? T(0) : T(-totals(place, 1 + k) * per_difference);
  }
}

// Shares of the sources: so many that the device is busy to the end, but none too short, and all
// their sums within some memory.
int64_t choose_shares(int64_t target_tiles, int64_t source_tiles, int64_t sums_of_a_share,
                      int multiprocessors) {
  constexpr int64_t kBlocksPerMultiprocessor = 24, kLeastTiles = 4, kMostSums = 1 << 25;
  const int64_t wanted =
      divide_up(kBlocksPerMultiprocessor * multiprocessors, std::max<int64_t>(target_tiles, 1));
  const int64_t most =
      std::min(source_tiles / kLeastTiles, kMostSums / std::max<int64_t>(sums_of_a_share, 1));
  return std::clamp<int64_t>(wanted, 1, std::max<int64_t>(most, 1));
}

template <typename T>
class GradientOnDevice {
 public:
  GradientOnDevice(const Mixture<T>& mixture, const Gradient<T>& out, const Stream& stream)
      : mixture_(mixture), out_(out), stream_(stream), mixed_(mixture, kTileBlocks, kTileBlocks) {}

  Status run(int multiprocessors) {
    if (Status status = mixed_.scaling.set(mixture_.sigma); !status.ok()) return status;
    const int64_t point_rows = mixed_.packed_points(), center_rows = mixed_.packed_centers();
    const bool wants_points = out_.d_points || out_.d_sigma;
    const bool wants_centers = out_.d_centers || out_.d_weights;
    const int64_t dim = mixture_.points.cols;
    const auto work_of = [&](bool coordinates, int64_t tiles, int64_t most_source_blocks,
                             int64_t packed_targets) {
      Work<T> work{};
      work.groups = mixed_.table.groups;
      work.dim = dim;
      work.target_tiles = tiles;
      work.minus_scale = -mixed_.scaling.scale;
      work.coordinates = coordinates;
      work.packed_targets = packed_targets;
      work.shares = choose_shares(tiles, divide_up(most_source_blocks, kTileBlocks),
                                  work.sums_of_target() * packed_targets, multiprocessors);
      return work;
    };
    Work<T> of_points =
        work_of(bool(out_.d_points), mixed_.point_tiles, mixed_.most_center_blocks, point_rows);
    Work<T> of_centers =
        work_of(bool(out_.d_centers), mixed_.center_tiles, mixed_.most_point_blocks, center_rows);
    const auto size = [](const Work<T>& work) {
      return work.shares * work.sums_of_target() * work.packed_targets;
    };
    // One after the other, so that they take the same memory.
    const int64_t sums_size =
        std::max(wants_points ? size(of_points) : 0, wants_centers ? size(of_centers) : 0);

    Scratch scratch;
    T *packed_points = nullptr, *packed_centers = nullptr;
    double* sums = nullptr;
    mixed_.want(scratch);
    scratch.want(packed_points, point_rows * (2 + dim));
    scratch.want(packed_centers, center_rows * (2 + dim));
    scratch.want(sums, sums_size);
    if (Status status = scratch.allocate(stream_); !status.ok()) return status;
    if (Status status = mixed_.start(stream_); !status.ok()) return status;
    const GroupTable& table = mixed_.table;
    of_points.targets = of_centers.sources = packed_points;
    of_points.sources = of_centers.targets = packed_centers;
    of_points.target_blocks = of_centers.source_blocks = table.point_blocks;
    of_points.source_blocks = of_centers.target_blocks = table.center_blocks;
    of_points.tiles = mixed_.tiles_of_points;
    of_centers.tiles = mixed_.tiles_of_centers;
    of_points.sums = of_centers.sums = sums;

    const Exponents exponents{mixed_.findings};
    const PointExtras<T> extras{out_.log_sum, out_.upstream, exponents};
    Status status =
        launch_each(pack<T, PointExtras<T>>, point_rows, stream_, mixture_.points, mixed_.points(),
                    T(mixed_.scaling.power), extras, &mixed_.findings->points_too_large,
                    static_cast<unsigned*>(nullptr), packed_points);
    const double per_difference =
        mixed_.scaling.power / (mixed_.scaling.fraction * mixed_.scaling.fraction);
    if (status.ok() && wants_points) status = pack_centers(false, packed_centers);
    if (status.ok() && wants_points) status = sum<Moment::kDistance>(of_points, size(of_points));
    if (status.ok() && wants_points)
      status =
          launch_each(finish_points<T>, mixture_.points.rows, stream_,
                      Totals<T>{mixed_.findings, of_points, table.point_rows}, mixture_.points.rows,
                      per_difference, mixed_.scaling.fraction, out_.d_points, out_.d_sigma);
    if (status.ok() && wants_centers) status = pack_centers(true, packed_centers);
    if (status.ok() && wants_centers) status = sum<Moment::kOne>(of_centers, size(of_centers));
    if (status.ok() && wants_centers)
      status = launch_each(finish_centers<T>, mixture_.centers.rows, stream_,
                           Totals<T>{mixed_.findings, of_centers, table.center_rows},
                           mixture_.centers.rows, per_difference, mixture_.weights, exponents,
                           out_.d_centers, out_.d_weights);
    if (status.ok()) status = finish(stream_);
    return status.ok() ? mixed_.verdict(stream_) : status;
  }

 private:
  Status pack_centers(bool are_targets, T* packed) const {
    const CenterExtras<T> extras{mixture_.centers, mixture_.weights, Exponents{mixed_.findings},
                                 are_targets};
    return launch_each(pack<T, CenterExtras<T>>, mixed_.packed_centers(), stream_, mixture_.centers,
                       mixed_.centers(), T(mixed_.scaling.power), extras,
                       &mixed_.findings->centers_too_large, static_cast<unsigned*>(nullptr),
                       packed);
  }

  template <Moment kMoment>
  Status sum(const Work<T>& work, int64_t size) const {
    Status status =
        status_of(cudaMemsetAsync(work.sums, 0, size_t(size) * sizeof(double), handle(stream_)));
    if (!status.ok()) return status;
    return launch(sum_over_sources<T, kMoment>, work.target_tiles * work.shares, kThreadsOfBlock,
                  sizeof(Memory<T>), stream_, work);
  }

  const Mixture<T>& mixture_;
  const Gradient<T>& out_;
  const Stream& stream_;
  Mixed<T> mixed_;
};

}  // namespace

template <typename T>
Status log_sum_exp_isotropic_gradient(const Mixture<T>& mixture, const Gradient<T>& gradient,
                                      const Stream& stream) {
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  return GradientOnDevice<T>(mixture, gradient, stream).run(current.multiprocessors);
}

template Status log_sum_exp_isotropic_gradient(const Mixture<float>&, const Gradient<float>&,
                                               const Stream&);
template Status log_sum_exp_isotropic_gradient(const Mixture<double>&, const Gradient<double>&,
                                               const Stream&);

}  // namespace layerbits::cuda
