// The log-sum-exp from all pairs: runs of rows against chunks of columns. The size of a chunk
// depends on the dimension alone, and the chunks of a row are added in their order, so that the
// bits of a row depend neither on the number of threads nor on the other rows of the call. Work is
// divided by runs, or by chunks if rows are few.
#include <cmath>
#include <memory>

#include "log_sum_exp_methods.h"

namespace layerbits {
namespace {

constexpr int64_t kRunRows = 128;  // rows that share a panel of columns in the cache

// Returns 2^exponent for an integer <= 0, and 0 for NaN, where the sum itself is NaN.
double power_of_two(double exponent) {
  return exponent > -2000 ? std::ldexp(1.0, int(exponent)) : 0.0;
}

// A sum (high + low) 2^reference. Only the addition of the low parts rounds.
struct ScaledSum {
  double &reference, &high, &low;

  void add(double other_reference, double other_high, double other_low) {
    if (other_high == 0) return;
    if (high == 0) {
      reference = other_reference, high = other_high, low = other_low;
      return;
    }
    const double new_reference = std::max(reference, other_reference);
    const double factor = power_of_two(reference - new_reference);
    const double other_factor = power_of_two(other_reference - new_reference);
    const double a = high * factor, b = other_high * other_factor;
    high = a + b;
    const double part = high - a;
    low = low * factor + other_low * other_factor + ((a - (high - part)) + (b - part));
    reference = new_reference;
  }
};

// Sums of rows in double, in the tiles that the kernel of logarithms reads.
class ScaledSums {
 public:
  ScaledSums(int64_t count, int lanes)
      : lanes_(lanes), tiles_(divide_up(count, lanes)), values_(size_t(3 * tiles_ * lanes), 0.0) {}

  ScaledSum operator[](int64_t i) {
    double* value = values_.data() + (i / lanes_) * 3 * lanes_ + i % lanes_;
    return {value[0], value[lanes_], value[2 * lanes_]};
  }

  std::vector<double> logarithms(const Kernels<double>& kernels) const {
    std::vector<double> logs(size_t(tiles_ * lanes_));
    kernels.log_of_sums(values_.data(), tiles_, logs.data());
    return logs;
  }

 private:
  int64_t lanes_, tiles_;
  std::vector<double> values_;
};

template <typename T>
class DenseSum {
 public:
  DenseSum(const MixtureProblem<T>& problem, Vector<double> log_sum)
      : problem_(problem),
        mixture_(problem.mixture),
        log_sum_(log_sum),
        lanes_(problem.kernels->lanes),
        chunk_(chunk_centers(problem.mixture.points.cols) / kBlock),
        block_size_(kBlock * (1 + problem.mixture.points.cols)),
        runs_(split_into_runs(problem.mixture.point_groups, kRunRows)) {}

  Status run(Cancellation& cancellation) {
    Status status = pack_centers(cancellation);
    if (!status.ok()) return status;
    const bool many_runs =
        int64_t(runs_.size()) >= 8 * int64_t(problem_.threads) || problem_.threads == 1;
    status = many_runs ? sum_by_runs(cancellation) : sum_by_chunks(cancellation);
    if (!status.ok()) return status;
    return points_too_large_ ? too_far_from_zero("points") : Status{};
  }

 private:
  // Each group starts a new block.
  Status pack_centers(Cancellation& cancellation) {
    const Groups& groups = mixture_.center_groups;
    first_block_.assign(size_t(groups.count()) + 1, 0);
    for (int64_t g = 0; g < groups.count(); ++g)
      first_block_[g + 1] = first_block_[g] + divide_up(groups.end(g) - groups.begin(g), kBlock);
    // Uninitialised: zeroing is slow, serial and not interruptible.
    centers_ = std::make_unique_for_overwrite<T[]>(size_t(first_block_.back() * block_size_));
    nan_ = std::vector<std::atomic<bool>>(size_t(groups.count()));
    const std::vector<Run> runs = split_into_runs(groups, 64 * kBlock);
    const Packer<NotFinite::kKeep, T, 1> packer{
        *problem_.kernels, mixture_.centers, kBlock, problem_.scaling.power, {T(kInfinity)}};
    std::atomic<bool> too_large{false};
    Status status = for_each(int64_t(runs.size()), cancellation, [&](int64_t r) {
      const Run& run = runs[r];
      const int64_t block =
          first_block_[run.group] + (run.first - groups.begin(run.group)) / kBlock;
      const UnusualValues unusual = packer.pack(
          run.first, run.count, [&](int64_t j) { return problem_.offset(j); },
          centers_.get() + block * block_size_);
      if (unusual.too_large) too_large = true;
      if (unusual.nan) nan_[run.group] = true;
    });
    if (!status.ok()) return status;
    return too_large ? too_far_from_zero("centers") : Status{};
  }

  template <typename Work>
  Status for_each(int64_t count, Cancellation& cancellation, const Work& work) const {
    return parallel_for_short(problem_.threads, count, cancellation, work);
  }

  Status sum_by_runs(Cancellation& cancellation) {
    return for_each(int64_t(runs_.size()), cancellation, [&](int64_t r) {
      const Run& run = runs_[r];
      const std::vector<T> tiles = pack_tiles(run);
      std::vector<T> state(static_cast<size_t>(state_size(run)));
      ScaledSums sums(run.count, problem_.table->f64.lanes);
      for (int64_t c = 0; c < chunks(run); ++c) {
        if (cancellation.requested()) return;
        evaluate(run, c, tiles.data(), state.data());
        add(run, state.data(), sums);
      }
      finish(run, sums);
    });
  }

  // For few rows and many columns. A piece of work is a chunk; the sums of chunks are added at the
  // end.
  Status sum_by_chunks(Cancellation& cancellation) {
    const int64_t count = int64_t(runs_.size());
    std::vector<int64_t> first_piece(size_t(count) + 1, 0), first_value(size_t(count) + 1, 0);
    for (int64_t r = 0; r < count; ++r) {
      first_piece[r + 1] = first_piece[r] + chunks(runs_[r]);
      first_value[r + 1] = first_value[r] + chunks(runs_[r]) * state_size(runs_[r]);
    }
    std::vector<T> states(static_cast<size_t>(first_value.back()));
    const auto state = [&](int64_t r, int64_t c) {
      return states.data() + first_value[r] + c * state_size(runs_[r]);
    };
    Status status =
        parallel_for(problem_.threads, first_piece.back(), cancellation, [&](int64_t piece) {
          const auto after = std::upper_bound(first_piece.begin(), first_piece.end(), piece);
          const int64_t r = after - first_piece.begin() - 1, c = piece - first_piece[r];
          evaluate(runs_[r], c, pack_tiles(runs_[r]).data(), state(r, c));
        });
    if (!status.ok()) return status;
    return parallel_for(problem_.threads, count, cancellation, [&](int64_t r) {
      ScaledSums sums(runs_[r].count, problem_.table->f64.lanes);
      for (int64_t c = 0; c < chunks(runs_[r]); ++c) add(runs_[r], state(r, c), sums);
      finish(runs_[r], sums);
    });
  }

  int64_t blocks(const Run& run) const {
    return first_block_[run.group + 1] - first_block_[run.group];
  }
  int64_t chunks(const Run& run) const { return divide_up(blocks(run), chunk_); }
  int64_t tiles(const Run& run) const { return divide_up(run.count, lanes_); }
  int64_t state_size(const Run& run) const { return tiles(run) * 3 * lanes_; }

  std::vector<T> pack_tiles(const Run& run) {
    std::vector<T> packed(size_t(tiles(run) * lanes_ * mixture_.points.cols));
    const Packer<NotFinite::kKeep, T, 0> packer{*problem_.kernels, mixture_.points, lanes_,
                                                problem_.scaling.power};
    if (packer.pack(run.first, run.count, packed.data()).too_large) points_too_large_ = true;
    return packed;
  }

  void evaluate(const Run& run, int64_t c, const T* packed, T* state) const {
    const int64_t first = c * chunk_, count = std::min(chunk_, blocks(run) - first);
    problem_.kernels->log_sum_exp_isotropic(
        packed, tiles(run), centers_.get() + (first_block_[run.group] + first) * block_size_, count,
        mixture_.points.cols, problem_.scaling.exponent_scale, state);
  }

  void add(const Run& run, const T* state, ScaledSums& sums) const {
    for (int64_t i = 0; i < run.count; ++i) {
      const T* sum = state + (i / lanes_) * 3 * lanes_ + i % lanes_;
      sums[i].add(sum[0], sum[lanes_], sum[2 * lanes_]);
    }
  }

  void finish(const Run& run, const ScaledSums& sums) const {
    const std::vector<double> logs = sums.logarithms(problem_.table->f64);
    // A kernel may skip the block of a center with NaN, so its sum need not be NaN.
    const double shift = nan_[run.group] ? kNan : std::log(problem_.largest_weight);
    for (int64_t i = 0; i < run.count; ++i) log_sum_[run.first + i] = logs[i] + shift;
  }

  const MixtureProblem<T>& problem_;
  const Mixture<T>& mixture_;
  const Vector<double> log_sum_;
  const int lanes_;
  const int64_t chunk_, block_size_;
  const std::vector<Run> runs_;
  std::vector<int64_t> first_block_;  // of each group, and the number of blocks
  std::unique_ptr<T[]> centers_;
  std::vector<std::atomic<bool>> nan_;  // by group
  std::atomic<bool> points_too_large_{false};
};

}  // namespace

template <typename T>
Status dense_log_sum_exp(const MixtureProblem<T>& problem, Vector<double> log_sum,
                         Cancellation& cancellation) {
  return DenseSum<T>(problem, log_sum).run(cancellation);
}

template Status dense_log_sum_exp(const MixtureProblem<float>&, Vector<double>, Cancellation&);
template Status dense_log_sum_exp(const MixtureProblem<double>&, Vector<double>, Cancellation&);

}  // namespace layerbits
