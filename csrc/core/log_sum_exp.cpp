#include <cmath>

#include "logarithms.h"
#include "pairing.h"
#include "pruned_log_sum_exp.h"

namespace layerbits {
namespace {

constexpr int64_t kRunRows = 128;        // rows that share a pass over a panel of columns
constexpr int64_t kChunkColumns = 8192;  // sums inside a chunk are compensated

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

  // Exact: references are integers, and differences never positive. NaN gives 0: the sum is NaN
  // then by itself.
  static double power(double exponent) {
    return exponent > -2000 ? std::ldexp(1.0, int(exponent)) : 0.0;
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
    Logarithms logs(run.count);
    for (int64_t i = 0; i < run.count; ++i)
      logs.set(i, sums[i].reference, sums[i].high, sums[i].low);
    const double* found = logs.evaluate(*pairing.setup.table);
    const double shift =
        pairing.columns.nan[run.group] ? kNan : std::log(pairing.setup.largest_weight);
    for (int64_t i = 0; i < run.count; ++i) log_sum[run.first + i] = found[i] + shift;
  }
};

// A tree needs one group that has centers and coordinates.
template <typename T>
bool may_prune(const Mixture<T>& mixture, Method method) {
  return method != Method::kDense && mixture.point_groups.count() == 1 && mixture.points.rows > 0 &&
         mixture.centers.rows > 0 && mixture.points.cols > 0;
}

template <typename T>
Status dense_log_sum_exp(const Setup<T>& setup, Vector<double> log_sum,
                         Cancellation& cancellation) {
  const Mixture<T>& mixture = setup.mixture;
  PackedColumns<T> columns;
  const auto offset = [&](int64_t j) {
    return std::array<T, 1>{T(-setup.exponent(j) / setup.scaling.scale)};
  };
  Status status = columns.template pack_all<NotFinite::kKeep, 1>(
      "centers", mixture.centers, mixture.center_groups, setup.scaling.power, {T(kInfinity)},
      offset, setup.threads, cancellation);
  if (!status.ok()) return status;
  const Pairing<T> pairing{setup, mixture.points, columns,
                           chunk_blocks(kChunkColumns, mixture.points.cols)};
  const LogSumExpReduction<T> reduction{pairing, log_sum,
                                        split_into_runs(mixture.point_groups, kRunRows)};
  status = reduce(reduction, setup.threads, cancellation);
  if (!status.ok()) return status;
  return pairing.too_large ? too_far_from_zero("points") : Status{};
}

}  // namespace

template <typename T>
Status log_sum_exp(const Mixture<T>& mixture, const Accuracy& accuracy, Vector<double> log_sum,
                   Execution execution, Method& used) {
  Setup<T> setup{mixture};
  if (Status status = setup.prepare(execution); !status.ok()) return status;
  if (may_prune(mixture, accuracy.method)) {
    bool done = false;
    Status status = pruned_log_sum_exp(setup, accuracy, log_sum, execution.cancellation, done);
    used = Method::kPruned;
    if (!status.ok() || done) return status;
  }
  used = Method::kDense;
  return dense_log_sum_exp(setup, log_sum, execution.cancellation);
}

template Status log_sum_exp(const Mixture<float>&, const Accuracy&, Vector<double>, Execution,
                            Method&);
template Status log_sum_exp(const Mixture<double>&, const Accuracy&, Vector<double>, Execution,
                            Method&);

}  // namespace layerbits
