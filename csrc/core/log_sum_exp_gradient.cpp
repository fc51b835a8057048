#include <cmath>

#include "pairing.h"

namespace layerbits {
namespace {

constexpr int64_t kRunRows = 64;
constexpr int64_t kChunkColumns = 1024;  // sums inside a chunk are plain

template <typename T>
bool has_infinity(const Matrix<const T>& rows, int64_t i) {
  bool infinite = false;
  for (int64_t k = 0; k < rows.cols; ++k) infinite |= std::isinf(rows(i, k));
  return infinite;
}

// The softmax weights of a row relative to its log-sum: 2^(exponent - reference) factor.
struct Normalizer {
  double reference, factor;

  template <typename T>
  Normalizer(const Setup<T>& setup, double log_sum, double upstream) {
    const double log2_sum = (log_sum - std::log(setup.largest_weight)) * kLog2E;
    reference = T(std::rint(log2_sum));  // as the kernel gets it
    factor = upstream * std::exp2(reference - log2_sum);
    if (upstream == 0 || log_sum == -kInfinity) reference = kInfinity, factor = 0;
  }
};

// Sums over columns of K, K |r - c|^2 and K (r - c), in double across chunks.
template <typename T, typename RowExponent, typename Finish>
struct DifferenceReduction {
  using Value = T;
  using Total = double;
  const Pairing<T>& pairing;
  std::vector<Run> runs;
  RowExponent row_exponent;
  Finish finish_row;

  int64_t width() const { return 2 + pairing.rows.cols; }
  int64_t chunks(const Run& run) const { return pairing.chunks(run); }
  int64_t totals(const Run& run) const { return run.count * width(); }
  int64_t partial_size(const Run& run) const {
    return pairing.tiles(run) * width() * pairing.lanes();
  }

  void evaluate(const Run& run, int64_t c, T* partial, std::vector<T>& scratch) const {
    const auto extras = [&](int64_t i) { return std::array<T, 1>{T(row_exponent(i))}; };
    const T* tiles =
        pairing.template pack_tiles<NotFinite::kZero, 1>(run, {T(-kInfinity)}, extras, scratch);
    pairing.setup.kernels->weighted_differences(
        tiles, pairing.tiles(run), pairing.chunk_begin(run, c), pairing.chunk_size(run, c),
        pairing.rows.cols, pairing.setup.scaling.scale, partial);
  }

  void fold(const Run& run, const T* partial, double* sums) const {
    const int lanes = pairing.lanes();
    for (int64_t i = 0; i < run.count; ++i) {
      const T* tile = partial + (i / lanes) * width() * lanes + i % lanes;
      for (int64_t k = 0; k < width(); ++k) sums[i * width() + k] += tile[k * lanes];
    }
  }

  void finish(const Run& run, const double* sums) const {
    for (int64_t i = 0; i < run.count; ++i) finish_row(run.first + i, sums + i * width());
  }
};

template <typename T, typename RowExponent, typename Finish>
Status reduce_differences(const Pairing<T>& pairing, const Groups& groups, RowExponent row_exponent,
                          Finish finish, Cancellation& cancellation) {
  const DifferenceReduction<T, RowExponent, Finish> reduction{
      pairing, split_into_runs(groups, kRunRows), row_exponent, finish};
  return reduce(reduction, pairing.setup.threads, cancellation);
}

// Gradients of points and sigma: rows are points, columns are centers.
template <typename T>
Status gradient_of_points(const Setup<T>& setup, const Gradient<T>& out,
                          Cancellation& cancellation) {
  const Mixture<T>& mixture = setup.mixture;
  PackedColumns<T> columns;
  const auto column = [&](int64_t j) {
    const bool absent = has_infinity(mixture.centers, j);
    return std::array<T, 2>{T(absent ? -kInfinity : setup.exponent(j)), T(1)};
  };
  Status status = columns.template pack_all<NotFinite::kZero, 2>(
      "centers", mixture.centers, mixture.center_groups, setup.scaling.power, {T(-kInfinity), T(0)},
      column, setup.threads, cancellation);
  if (!status.ok()) return status;

  const Scaling<T>& scaling = setup.scaling;
  const double per_difference = scaling.power / (scaling.fraction * scaling.fraction);
  const auto row_exponent = [&](int64_t i) {
    return -Normalizer(setup, out.log_sum[i], out.upstream[i]).reference;
  };
  const auto finish = [&](int64_t i, const double* sums) {
    const double factor = Normalizer(setup, out.log_sum[i], out.upstream[i]).factor;
    if (out.d_sigma) out.d_sigma[i] = factor * sums[1] * per_difference / scaling.fraction;
    if (out.d_points)
      for (int64_t k = 0; k < mixture.points.cols; ++k)
        out.d_points(i, k) = T(-factor * sums[2 + k] * per_difference);
  };
  const Pairing<T> pairing{setup, mixture.points, columns,
                           chunk_blocks(kChunkColumns, mixture.points.cols)};
  return reduce_differences(pairing, mixture.point_groups, row_exponent, finish, cancellation);
}

// Gradients of centers and weights: rows are centers, columns are points.
template <typename T>
Status gradient_of_centers(const Setup<T>& setup, const Gradient<T>& out,
                           Cancellation& cancellation) {
  const Mixture<T>& mixture = setup.mixture;
  PackedColumns<T> columns;
  const auto column = [&](int64_t i) {
    const Normalizer normalizer(setup, out.log_sum[i], out.upstream[i]);
    // A row of NaN gets an exponent that no row of the tile can skip.
    if (std::isnan(normalizer.factor))
      return std::array<T, 2>{std::numeric_limits<T>::max(), T(normalizer.factor)};
    return std::array<T, 2>{T(-normalizer.reference), T(normalizer.factor)};
  };
  Status status = columns.template pack_all<NotFinite::kZero, 2>(
      "points", mixture.points, mixture.point_groups, setup.scaling.power, {T(-kInfinity), T(0)},
      column, setup.threads, cancellation);
  if (!status.ok()) return status;

  const Scaling<T>& scaling = setup.scaling;
  const double per_difference = scaling.power / (scaling.fraction * scaling.fraction);
  const auto weight = [&](int64_t j) { return mixture.weights ? double(mixture.weights[j]) : 1.0; };
  const auto row_exponent = [&](int64_t j) {
    if (has_infinity(mixture.centers, j)) return -kInfinity;
    return weight(j) > 0 ? setup.exponent(j) : 0.0;
  };
  const auto finish = [&](int64_t j, const double* sums) {
    const bool absent = weight(j) == 0;
    if (out.d_weights) out.d_weights[j] = T(sums[0] / (absent ? setup.largest_weight : weight(j)));
    if (out.d_centers)
      for (int64_t k = 0; k < mixture.centers.cols; ++k)
        out.d_centers(j, k) = absent ? T(0) : T(-sums[2 + k] * per_difference);
  };
  const Pairing<T> pairing{setup, mixture.centers, columns,
                           chunk_blocks(kChunkColumns, mixture.centers.cols)};
  return reduce_differences(pairing, mixture.center_groups, row_exponent, finish, cancellation);
}

}  // namespace

template <typename T>
Status log_sum_exp_gradient(const Mixture<T>& mixture, const Gradient<T>& gradient,
                            Execution execution) {
  Setup<T> setup{mixture};
  if (Status status = setup.prepare(execution); !status.ok()) return status;
  if (gradient.d_points || gradient.d_sigma) {
    Status status = gradient_of_points(setup, gradient, execution.cancellation);
    if (!status.ok()) return status;
  }
  if (gradient.d_centers || gradient.d_weights)
    return gradient_of_centers(setup, gradient, execution.cancellation);
  return {};
}

template Status log_sum_exp_gradient(const Mixture<float>&, const Gradient<float>&, Execution);
template Status log_sum_exp_gradient(const Mixture<double>&, const Gradient<double>&, Execution);

}  // namespace layerbits
