#include <cmath>

#include "center_tree.h"
#include "log_sum_exp_methods.h"

namespace layerbits {
namespace {

template <typename T>
class PrunedSum {
 public:
  PrunedSum(const Setup<T>& setup, const Accuracy& accuracy, const PackedTree<T>& tree)
      : setup_(setup), points_(setup.mixture.points), tree_(tree) {
    const double eps = std::numeric_limits<T>::epsilon();
    const double tolerance = accuracy.tolerance > 0 ? std::min(accuracy.tolerance, 1.0) : eps / 2;
    // An error of this share of a sum S changes log S by no more than the tolerance.
    share_ = tolerance / (1 + tolerance) / tree.total_weight();
    gap_ = -std::log2(share_) / setup.scaling.scale;
    slack_ = 4 * double(points_.cols + 4) * eps;  // of the rounding of squared distances
  }

  // The share of the centers that a row takes, from one row of each of some parts.
  double share_taken() const {
    constexpr int64_t kRows = 64;
    const int64_t step = divide_up(points_.rows, kRows);
    double taken = 0, rows = 0;
    std::vector<T> query(static_cast<size_t>(points_.cols));
    for (int64_t first = 0; first + step <= points_.rows; first += step, ++rows) {
      // At another place of each part of the rows, which may have a rhythm of their own.
      pack_query(first + int64_t(rows) * 7919 % step, query.data());
      const T bound = tree_.place(query.data()).bound;
      taken += tree_.centers_taken(query.data(), cutoff(bound), allowance(bound));
    }
    return taken / rows / double(tree_.centers());
  }

  Status run(Vector<double> log_sum, Cancellation& cancellation) {
    places_.resize(size_t(points_.rows));
    constexpr int64_t kRows = 256;
    Status status = parallel_for(setup_.threads, divide_up(points_.rows, kRows), cancellation,
                                 [&](int64_t item) {
                                   std::vector<T> query(static_cast<size_t>(points_.cols));
                                   const int64_t end = std::min(points_.rows, (item + 1) * kRows);
                                   for (int64_t i = item * kRows; i < end; ++i) {
                                     const bool nan = pack_query(i, query.data());
                                     places_[i] = tree_.place(query.data());
                                     if (nan) places_[i].bound = kOfNan;
                                   }
                                 });
    if (!status.ok()) return status;
    if (too_large_) return too_far_from_zero("points");
    status = sort_rows(cancellation);
    if (!status.ok()) return status;
    return parallel_for(
        setup_.threads, divide_up(points_.rows, kPieceRows), cancellation,
        [&](int64_t piece) { evaluate(piece * kPieceRows, log_sum, cancellation); });
  }

 private:
  static constexpr int64_t kPieceRows = 64;
  static constexpr T kOfNan = T(-kInfinity);  // the bound of a row with NaN, which has no order

  // Returns whether a coordinate is NaN.
  bool pack_query(int64_t i, T* query) const {
    const Found found = pack_tile<NotFinite::kKeep>(
        *setup_.kernels, points_, [i](int) { return i; }, 1, 1, T(setup_.scaling.power), query);
    if (found.too_large) too_large_ = true;
    return found.nan;
  }

  T cutoff(T bound) const { return T((bound + gap_) + slack_ * std::abs(bound + gap_)); }

  // What the kernel is told of a row: the reference to start from, the cutoff, the allowance. A low
  // reference is moved by the terms; under one that is too high they would be 0, or lose digits.
  std::array<T, 3> limits(int64_t i) const {
    const T bound = places_[i].bound;
    if (bound == kOfNan) return kNothing;
    const double exponent = -double(setup_.scaling.scale) * (bound + slack_ * std::abs(bound));
    const double least = -double(std::numeric_limits<T>::max());
    return {T(std::clamp(std::floor(exponent), least, 0.0)), cutoff(bound), allowance(bound)};
  }
  T allowance(T bound) const {
    return T(share_ * std::exp2(-double(setup_.scaling.scale) * bound));
  }
  static constexpr std::array<T, 3> kNothing = {0, -1, -1};

  // Rows that are near to each other, and to the centers, come together, so that the rows of a tile
  // visit the same nodes and take the same ones as one.
  Status sort_rows(Cancellation& cancellation) {
    constexpr int64_t kLeaves = 8;
    std::vector<int64_t> first(size_t(divide_up(tree_.leaves(), kLeaves)) + 1, 0);
    for (const auto& place : places_) ++first[place.leaf / kLeaves + 1];
    for (size_t g = 1; g < first.size(); ++g) first[g] += first[g - 1];
    order_.resize(places_.size());
    std::vector<int64_t> next = first;
    for (int64_t i = 0; i < points_.rows; ++i) order_[next[places_[i].leaf / kLeaves]++] = i;
    return parallel_for(setup_.threads, int64_t(first.size()) - 1, cancellation, [&](int64_t g) {
      std::sort(order_.begin() + first[g], order_.begin() + first[g + 1],
                [&](int64_t a, int64_t b) { return places_[a].bound < places_[b].bound; });
    });
  }

  void evaluate(int64_t first, Vector<double> log_sum, Cancellation& cancellation) const {
    const int lanes = setup_.kernels->lanes;
    const int64_t dim = points_.cols, count = std::min(kPieceRows, points_.rows - first);
    const int64_t tile_size = (3 + dim) * lanes, tiles = divide_up(count, lanes);
    std::vector<T> packed(size_t(tiles * tile_size)), states(size_t(tiles * 3 * lanes));
    pack_rows<NotFinite::kKeep>(
        *setup_.kernels, points_, [&](int64_t i) { return order_[first + i]; }, count, lanes,
        setup_.scaling.power, kNothing, [&](int64_t i) { return limits(i); }, packed.data());
    for (int64_t t = 0; t < tiles; ++t) {
      if (cancellation.requested()) return;
      setup_.kernels->pruned_log_sum_exp(packed.data() + t * tile_size, tree_.view(), dim,
                                         setup_.scaling.scale, states.data() + t * 3 * lanes);
    }
    std::vector<double> logs(size_t(tiles * lanes));
    setup_.kernels->log_of_sums(states.data(), tiles, logs.data());
    const double shift = std::log(setup_.largest_weight);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = order_[first + i];
      log_sum[row] = places_[row].bound == kOfNan ? kNan : logs[i] + shift;
    }
  }

  const Setup<T>& setup_;
  const Matrix<const T>& points_;
  const PackedTree<T>& tree_;
  double share_ = 0, gap_ = 0, slack_ = 0;
  std::vector<typename PackedTree<T>::Place> places_;
  std::vector<int64_t> order_;
  mutable std::atomic<bool> too_large_{false};
};

// Is a tree expected to take less time than all pairs? Costs are in units of what a pair takes for
// a dimension, measured on Zen 5 with AVX-512: a dense pair (d + 6, without its exponential), a
// pair in a leaf (d + 10, and 2.5 times as many as of a row alone, for the rows of a tile share
// them), finding the place of a row, and building the tree, for each center.
template <typename T>
Status is_worthwhile(const Setup<T>& setup, const Accuracy& accuracy, Cancellation& cancellation,
                     bool& worthwhile) {
  const Mixture<T>& mixture = setup.mixture;
  const double n = double(mixture.centers.rows), m = double(mixture.points.rows);
  const double d = double(mixture.points.cols);
  const double dense = 0.8 * n * m * (d + 6), build = n * (9000 + 200 * d);
  const double fixed = build + m * (400 + 60 * d);
  worthwhile = false;
  constexpr int64_t kStep = 7, kFewest = 2048;
  if (2 * fixed > dense || mixture.centers.rows < kFewest) return {};

  // A tree of every 7th center, whose leaves are larger, costs a seventh.
  Mixture<T> sample = mixture;
  sample.centers.row_stride *= kStep;
  sample.centers.rows = sample.center_groups.rows = divide_up(mixture.centers.rows, kStep);
  sample.weights.stride *= kStep;
  sample.weights.size = sample.centers.rows;
  const Setup<T> of_sample{sample,        setup.table,          setup.kernels,
                           setup.scaling, setup.largest_weight, setup.threads};
  PackedTree<T> tree;
  if (Status status = tree.build(of_sample, cancellation); !status.ok()) return status;
  if (!tree.usable() || tree.total_weight() == 0) return {};
  const double taken = PrunedSum<T>(of_sample, accuracy, tree).share_taken();
  worthwhile = fixed + 2.5 * taken * n * m * (d + 10) < dense;
  return {};
}

}  // namespace

template <typename T>
Status pruned_log_sum_exp(const Setup<T>& setup, const Accuracy& accuracy, Vector<double> log_sum,
                          Cancellation& cancellation, bool& done) {
  done = false;
  if (accuracy.method == Method::kAuto) {
    bool worthwhile = false;
    Status status = is_worthwhile(setup, accuracy, cancellation, worthwhile);
    if (!status.ok() || !worthwhile) return status;
  }
  PackedTree<T> tree;
  if (Status status = tree.build(setup, cancellation); !status.ok()) return status;
  if (!tree.usable()) return {};
  done = true;
  return PrunedSum<T>(setup, accuracy, tree).run(log_sum, cancellation);
}

template Status pruned_log_sum_exp(const Setup<float>&, const Accuracy&, Vector<double>,
                                   Cancellation&, bool&);
template Status pruned_log_sum_exp(const Setup<double>&, const Accuracy&, Vector<double>,
                                   Cancellation&, bool&);

}  // namespace layerbits
