#include "mixture.h"

#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "dispatch.h"
#include "packing.h"
#include "reduction.h"

namespace layerbits {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kLog2E = 1.4426950408889634074;
constexpr double kLn2 = 0.69314718055994530942, kLn2Low = 2.3190468138462995584e-17;

constexpr int64_t kRunRows = 128;        // rows that share a pass over a panel of columns
constexpr int64_t kChunkColumns = 8192;  // of the log-sum-exp, whose sums are compensated
constexpr int64_t kGradientRunRows = 64;
constexpr int64_t kGradientChunkColumns = 1024;  // sums inside a chunk are plain

template <typename T>
const Kernels<T>& kernels_of(const KernelTable& table) {
  if constexpr (sizeof(T) == sizeof(float))
    return table.f32;
  else
    return table.f64;
}

// A running sum (high + low) 2^reference in double.
struct ScaledSum {
  double reference = 0, high = 0, low = 0;

  void add(double other_reference, double other_high, double other_low) {
    if (other_high == 0) return;
    if (high == 0) {
      *this = {other_reference, other_high, other_low};
      return;
    }
    const double top = std::max(reference, other_reference);
    const double mine = power(reference - top), theirs = power(other_reference - top);
    const double a = high * mine, b = other_high * theirs;
    high = a + b;
    const double part = high - a;
    low = low * mine + other_low * theirs + ((a - (high - part)) + (b - part));
    reference = top;
  }

  double log() const {
    if (high == 0) return -kInfinity;
    return std::fma(reference, kLn2, std::log(high + low) + reference * kLn2Low);
  }

  // Exact: references are integers, and differences never positive. NaN gives 0: the sum is NaN
  // then by itself.
  static double power(double exponent) {
    return exponent > -2000 ? std::ldexp(1.0, int(exponent)) : 0.0;
  }
};

template <typename T>
bool has_nan(const Matrix<const T>& rows, const Run& run) {
  bool nan = false;
  for (int64_t i = run.first; i < run.first + run.count; ++i)
    for (int64_t k = 0; k < rows.cols; ++k) nan |= std::isnan(rows(i, k));
  return nan;
}

template <typename T>
bool has_infinity(const Matrix<const T>& rows, int64_t i) {
  bool infinite = false;
  for (int64_t k = 0; k < rows.cols; ++k) infinite |= std::isinf(rows(i, k));
  return infinite;
}

// What both verbs prepare: kernels, scaling, the largest weight.
template <typename T>
struct Setup {
  const Mixture<T>& mixture;
  const KernelTable* table = nullptr;
  const Kernels<T>* kernels = nullptr;
  Scaling<T> scaling{};
  double largest_weight = 1;
  int threads = 1;

  Status prepare(const Execution& execution) {
    if (Status status = find_level(execution.level, table); !status.ok()) return status;
    if (Status status = scaling.set(mixture.sigma); !status.ok()) return status;
    if (Status status = check_weights(); !status.ok()) return status;
    kernels = &kernels_of<T>(*table);
    double pairs = 0;
    for (int64_t g = 0; g < mixture.point_groups.count(); ++g)
      pairs += double(mixture.point_groups.end(g) - mixture.point_groups.begin(g)) *
               double(mixture.center_groups.end(g) - mixture.center_groups.begin(g));
    threads = worthwhile_threads(execution.threads, pairs, mixture.points.cols);
    return {};
  }

  Status check_weights() {
    if (!mixture.weights || mixture.weights.size == 0) return {};
    double largest = 0;
    for (int64_t j = 0; j < mixture.weights.size; ++j) {
      const double weight = mixture.weights[j];
      if (!(weight >= 0) || std::isinf(weight))
        return Status::bad_value("weights: got " + std::to_string(weight) + " at index " +
                                 std::to_string(j) + ", wanted finite numbers >= 0");
      largest = std::max(largest, weight);
    }
    if (largest == 0) return Status::bad_value("weights: got all 0, wanted a positive total");
    largest_weight = largest;
    return {};
  }

  // log2 of the weight beside the largest one: never positive.
  double exponent(int64_t center) const {
    return mixture.weights ? std::log2(double(mixture.weights[center]) / largest_weight) : 0.0;
  }
};

// Columns in blocks, each group starting a block of its own.
template <typename T>
struct PackedColumns {
  std::vector<int64_t> first_block;
  std::unique_ptr<T[]>
      values;  // not zeroed first: that would be slow, on one thread, and deaf to Ctrl-C
  // By group, where NaN is kept: has a column NaN? Kernels may pass over a block, so they cannot
  // tell.
  std::vector<std::atomic<bool>> nan;
  int64_t block_size = 0;

  template <NotFinite kPolicy, size_t kExtras, typename ExtrasOf>
  Status pack_all(const char* name, const Matrix<const T>& columns, const Groups& groups,
                  double power, const std::array<T, kExtras>& padding, const ExtrasOf& extras,
                  int threads, Cancellation& cancellation) {
    block_size = kBlock * (int64_t(kExtras) + columns.cols);
    first_block.assign(size_t(groups.count()) + 1, 0);
    for (int64_t g = 0; g < groups.count(); ++g)
      first_block[g + 1] = first_block[g] + divide_up(groups.end(g) - groups.begin(g), kBlock);
    values = std::make_unique_for_overwrite<T[]>(size_t(first_block.back() * block_size));
    nan = std::vector<std::atomic<bool>>(size_t(groups.count()));
    const std::vector<Run> runs = split_into_runs(groups, 64 * kBlock);
    const int64_t count = int64_t(runs.size()), grain = 1 + count / (32 * int64_t(threads));
    std::atomic<bool> too_large{false};
    Status status = parallel_for(threads, divide_up(count, grain), cancellation, [&](int64_t item) {
      for (int64_t r = item * grain; r < std::min(count, (item + 1) * grain); ++r) {
        const Run& run = runs[r];
        const int64_t block =
            first_block[run.group] + (run.first - groups.begin(run.group)) / kBlock;
        pack<kPolicy>(columns, run.first, run.count, kBlock, power, padding, extras,
                      values.get() + block * block_size, too_large);
        if (kPolicy == NotFinite::kKeep && has_nan(columns, run)) nan[run.group] = true;
      }
    });
    if (!status.ok()) return status;
    return too_large ? too_far_from_zero(name) : Status{};
  }

  int64_t blocks(int64_t group) const { return first_block[group + 1] - first_block[group]; }
  const T* block(int64_t group, int64_t b) const {
    return values.get() + (first_block[group] + b) * block_size;
  }
};

// The part that both reductions share: rows of a run against a chunk of the columns of its group.
template <typename T>
struct Pairing {
  const Setup<T>& setup;
  const Matrix<const T>& rows;
  const PackedColumns<T>& columns;
  int64_t chunk;  // in blocks
  mutable std::atomic<bool> too_large{false};

  int lanes() const { return setup.kernels->lanes; }
  int64_t tiles(const Run& run) const { return divide_up(run.count, lanes()); }
  int64_t chunks(const Run& run) const { return divide_up(columns.blocks(run.group), chunk); }
  const T* chunk_begin(const Run& run, int64_t c) const {
    return columns.block(run.group, c * chunk);
  }
  int64_t chunk_size(const Run& run, int64_t c) const {
    return std::min(chunk, columns.blocks(run.group) - c * chunk);
  }

  template <NotFinite kPolicy, size_t kExtras, typename ExtrasOf>
  const T* pack_tiles(const Run& run, const std::array<T, kExtras>& padding, const ExtrasOf& extras,
                      std::vector<T>& scratch) const {
    scratch.resize(size_t(tiles(run) * lanes() * (int64_t(kExtras) + rows.cols)));
    pack<kPolicy>(rows, run.first, run.count, lanes(), setup.scaling.power, padding, extras,
                  scratch.data(), too_large);
    return scratch.data();
  }
};

template <typename T>
struct LogSumExpReduction {
  using Value = T;
  using Total = ScaledSum;
  const Pairing<T>& pairing;
  const Vector<double>& log_sum;
  std::vector<Run> runs;

  int64_t chunks(const Run& run) const { return pairing.chunks(run); }
  int64_t totals(const Run& run) const { return run.count; }
  int64_t partial_size(const Run& run) const { return pairing.tiles(run) * 3 * pairing.lanes(); }

  void evaluate(const Run& run, int64_t c, T* partial, std::vector<T>& scratch) const {
    const auto none = [](int64_t) { return std::array<T, 0>{}; };
    const T* tiles = pairing.template pack_tiles<NotFinite::kKeep, 0>(run, {}, none, scratch);
    pairing.setup.kernels->log_sum_exp(tiles, pairing.tiles(run), pairing.chunk_begin(run, c),
                                       pairing.chunk_size(run, c), pairing.rows.cols,
                                       pairing.setup.scaling.scale, partial);
  }

  void fold(const Run& run, const T* partial, ScaledSum* sums) const {
    const int lanes = pairing.lanes();
    for (int64_t i = 0; i < run.count; ++i) {
      const T* state = partial + (i / lanes) * 3 * lanes + i % lanes;
      sums[i].add(state[0], state[lanes], state[2 * lanes]);
    }
  }

  void finish(const Run& run, const ScaledSum* sums) const {
    const double shift = std::log(pairing.setup.largest_weight);
    const bool nan = pairing.columns.nan[run.group];
    for (int64_t i = 0; i < run.count; ++i)
      log_sum[run.first + i] = nan ? kNan : sums[i].log() + shift;
  }
};

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
      pairing, split_into_runs(groups, kGradientRunRows), row_exponent, finish};
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
                           chunk_blocks(kGradientChunkColumns, mixture.points.cols)};
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
                           chunk_blocks(kGradientChunkColumns, mixture.centers.cols)};
  return reduce_differences(pairing, mixture.center_groups, row_exponent, finish, cancellation);
}

}  // namespace

template <typename T>
Status log_sum_exp(const Mixture<T>& mixture, Vector<double> log_sum, Execution execution) {
  Setup<T> setup{mixture};
  if (Status status = setup.prepare(execution); !status.ok()) return status;
  PackedColumns<T> columns;
  const auto offset = [&](int64_t j) {
    return std::array<T, 1>{T(-setup.exponent(j) / setup.scaling.scale)};
  };
  Status status = columns.template pack_all<NotFinite::kKeep, 1>(
      "centers", mixture.centers, mixture.center_groups, setup.scaling.power, {T(kInfinity)},
      offset, setup.threads, execution.cancellation);
  if (!status.ok()) return status;
  const Pairing<T> pairing{setup, mixture.points, columns,
                           chunk_blocks(kChunkColumns, mixture.points.cols)};
  const LogSumExpReduction<T> reduction{pairing, log_sum,
                                        split_into_runs(mixture.point_groups, kRunRows)};
  status = reduce(reduction, setup.threads, execution.cancellation);
  if (!status.ok()) return status;
  return pairing.too_large ? too_far_from_zero("points") : Status{};
}

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

template Status log_sum_exp(const Mixture<float>&, Vector<double>, Execution);
template Status log_sum_exp(const Mixture<double>&, Vector<double>, Execution);
template Status log_sum_exp_gradient(const Mixture<float>&, const Gradient<float>&, Execution);
template Status log_sum_exp_gradient(const Mixture<double>&, const Gradient<double>&, Execution);

}  // namespace layerbits
