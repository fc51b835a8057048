// The log-sum-exp of one group with a tree of its centers, certified row by row.
//
// Let B be a lower bound of the sum S of a row, W the total weight, eps the error tolerance and
// delta = eps / (1 + eps). Skipping or merging a center may change S by delta B / W per unit of its
// weight: in total by at most delta B <= delta S, so that log S changes by at most eps. A node is
// skipped if its largest kernel value is below delta B / W, which is a cutoff of squared distances,
// and merged into one center if its error is at most delta B / W, the allowance. B comes from the
// nearest center of one leaf and, by Jensen's inequality, from mean and variance of the root and of
// narrow nodes that contain the leaf.
//
// Cutoff and allowance belong to a row, not to its tile, and centers that only another row of the
// tile needs add an exact 0, in the order of the tree. So a row has the same bits alone, in any
// batch and for any number of threads.
#include <cmath>

#include "center_tree.h"
#include "log_sum_exp_methods.h"

namespace layerbits {
namespace {

template <typename T>
class PrunedSum {
 public:
  PrunedSum(const MixtureProblem<T>& problem, const Accuracy& accuracy, const PackedTree<T>& tree)
      : problem_(problem), points_(problem.mixture.points), tree_(tree) {
    const double eps = std::numeric_limits<T>::epsilon();
    const double tolerance =
        accuracy.error_tolerance > 0 ? std::min(accuracy.error_tolerance, 1.0) : eps / 2;
    share_ = tolerance / (1 + tolerance) / tree.total_weight();
    gap_ = -std::log2(share_) / problem.scaling.exponent_scale;
    slack_ = 4 * double(points_.cols + 4) * eps;
  }

  // Estimates the share of the centers that the kernel evaluates for a row, from at most 64 rows.
  double evaluated_share() const {
    constexpr int64_t kRows = 64;
    const int64_t step = divide_up(points_.rows, kRows);
    double evaluated = 0, rows = 0;
    std::vector<T> query(static_cast<size_t>(points_.cols));
    for (int64_t first = 0; first + step <= points_.rows; first += step, ++rows) {
      // The position in each interval of `step` rows varies, because rows may be periodic.
      pack_query(first + int64_t(rows) * 7919 % step, query.data());
      const T bound = tree_.find_position(query.data()).bound;
      evaluated += tree_.evaluated_centers(query.data(), cutoff(bound), allowance(bound));
    }
    return evaluated / rows / double(tree_.centers());
  }

  Status run(Vector<double> log_sum, Cancellation& cancellation) {
    positions_.resize(size_t(points_.rows));
    constexpr int64_t kRows = 256;
    Status status = parallel_for(problem_.threads, divide_up(points_.rows, kRows), cancellation,
                                 [&](int64_t item) {
                                   std::vector<T> query(static_cast<size_t>(points_.cols));
                                   const int64_t end = std::min(points_.rows, (item + 1) * kRows);
                                   for (int64_t i = item * kRows; i < end; ++i) {
                                     const bool nan = pack_query(i, query.data());
                                     positions_[i] = tree_.find_position(query.data());
                                     if (nan) positions_[i].bound = kNanBound;
                                   }
                                 });
    if (!status.ok()) return status;
    if (too_large_) return too_far_from_zero("points");
    status = sort_rows(cancellation);
    if (!status.ok()) return status;
    return parallel_for(
        problem_.threads, divide_up(points_.rows, kPieceRows), cancellation,
        [&](int64_t piece) { evaluate(piece * kPieceRows, log_sum, cancellation); });
  }

 private:
  static constexpr int64_t kPieceRows = 64;
  static constexpr T kNanBound = T(-kInfinity);  // the bound of a row with NaN

  // Returns whether a coordinate is NaN.
  bool pack_query(int64_t i, T* query) const {
    const Packer<NotFinite::kKeep, T, 0> packer{*problem_.kernels, points_, 1,
                                                problem_.scaling.power};
    const UnusualValues unusual = packer.pack_coordinates([i](int) { return i; }, 1, query);
    if (unusual.too_large) too_large_ = true;
    return unusual.nan;
  }

  T cutoff(T bound) const { return T((bound + gap_) + slack_ * std::abs(bound + gap_)); }

  // The extra values of a row: initial reference, cutoff, allowance. Terms raise a reference that
  // is too low; with a reference that is too high, terms would be 0 or lose digits.
  std::array<T, 3> limits(int64_t i) const {
    const T bound = positions_[i].bound;
    if (bound == kNanBound) return kSkipAll;
    const double exponent =
        -double(problem_.scaling.exponent_scale) * (bound + slack_ * std::abs(bound));
    const double lowest = -double(std::numeric_limits<T>::max());
    return {T(std::clamp(std::floor(exponent), lowest, 0.0)), cutoff(bound), allowance(bound)};
  }
  T allowance(T bound) const {
    return T(share_ * std::exp2(-double(problem_.scaling.exponent_scale) * bound));
  }
  // The limits of padding and of rows with NaN: no node is within the cutoff.
  static constexpr std::array<T, 3> kSkipAll = {0, -1, -1};

  // Sorts rows by groups of kLeaves leaves and, in a group, by bound, so that the rows of a tile
  // visit and merge similar nodes.
  Status sort_rows(Cancellation& cancellation) {
    constexpr int64_t kLeaves = 8;
    std::vector<int64_t> first(size_t(divide_up(tree_.leaves(), kLeaves)) + 1, 0);
    for (const auto& position : positions_) ++first[position.leaf / kLeaves + 1];
    for (size_t g = 1; g < first.size(); ++g) first[g] += first[g - 1];
    order_.resize(positions_.size());
    std::vector<int64_t> next = first;
    for (int64_t i = 0; i < points_.rows; ++i) order_[next[positions_[i].leaf / kLeaves]++] = i;
    return parallel_for(problem_.threads, int64_t(first.size()) - 1, cancellation, [&](int64_t g) {
      std::sort(order_.begin() + first[g], order_.begin() + first[g + 1],
                [&](int64_t a, int64_t b) { return positions_[a].bound < positions_[b].bound; });
    });
  }

  void evaluate(int64_t first, Vector<double> log_sum, Cancellation& cancellation) const {
    const int lanes = problem_.kernels->lanes;
    const int64_t dim = points_.cols, count = std::min(kPieceRows, points_.rows - first);
    const int64_t tile_size = (3 + dim) * lanes, tiles = divide_up(count, lanes);
    std::vector<T> packed(size_t(tiles * tile_size)), states(size_t(tiles * 3 * lanes));
    const Packer<NotFinite::kKeep, T, 3> packer{*problem_.kernels, points_, lanes,
                                                problem_.scaling.power, kSkipAll};
    packer.pack_selected([&](int64_t i) { return order_[first + i]; }, count,
                         [&](int64_t i) { return limits(i); }, packed.data());
    for (int64_t t = 0; t < tiles; ++t) {
      if (cancellation.requested()) return;
      problem_.kernels->pruned_log_sum_exp(packed.data() + t * tile_size, tree_.view(), dim,
                                           problem_.scaling.exponent_scale,
                                           states.data() + t * 3 * lanes);
    }
    std::vector<double> logs(size_t(tiles * lanes));
    problem_.kernels->log_of_sums(states.data(), tiles, logs.data());
    const double shift = std::log(problem_.largest_weight);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = order_[first + i];
      log_sum[row] = positions_[row].bound == kNanBound ? kNan : logs[i] + shift;
    }
  }

  const MixtureProblem<T>& problem_;
  const Matrix<const T>& points_;
  const PackedTree<T>& tree_;
  double share_ = 0;  // delta / W
  double gap_ = 0;    // the squared distance at which a kernel value falls to share_
  double slack_ = 0;  // bounds the relative rounding error of squared distances
  std::vector<typename PackedTree<T>::Position> positions_;
  std::vector<int64_t> order_;
  mutable std::atomic<bool> too_large_{false};
};

}  // namespace

// Estimates whether a tree is faster than all pairs. Costs are in units of the time of a pair per
// dimension, measured on Zen 5 with AVX-512: a dense pair costs 0.8 (d + 6), without its
// exponential; a pair in a leaf d + 10, and the rows of a tile together need 2.5 times the pairs of
// a row alone; a tree 9000 + 200 d for each center; the position of a row 400 + 60 d. An estimate
// needs at least 2048 centers, and a whole tree and the positions of all rows must cost at most
// half of all pairs. So an estimate that rejects the tree costs at most about a fourteenth of all
// pairs.
template <typename T>
Status estimate_pruning(const MixtureProblem<T>& problem, const Accuracy& accuracy,
                        Cancellation& cancellation, bool& worthwhile) {
  const Mixture<T>& mixture = problem.mixture;
  const double n = double(mixture.centers.rows), m = double(mixture.points.rows);
  const double d = double(mixture.points.cols);
  const double dense = 0.8 * n * m * (d + 6), build = n * (9000 + 200 * d);
  const double fixed = build + m * (400 + 60 * d);
  worthwhile = false;
  constexpr int64_t kStep = 7, kMinCenters = 2048;
  if (2 * fixed > dense || mixture.centers.rows < kMinCenters) return {};

  // A tree of every 7th center costs a seventh of a whole tree. Its leaves have larger boxes, so
  // the estimated share of evaluated centers tends to be too large, in favor of kDense.
  Mixture<T> sample = mixture;
  sample.centers.row_stride *= kStep;
  sample.centers.rows = sample.center_groups.rows = divide_up(mixture.centers.rows, kStep);
  sample.weights.stride *= kStep;
  sample.weights.size = sample.centers.rows;
  const MixtureProblem<T> sample_problem{.mixture = sample,
                                         .table = problem.table,
                                         .kernels = problem.kernels,
                                         .scaling = problem.scaling,
                                         .largest_weight = problem.largest_weight,
                                         .threads = problem.threads};
  PackedTree<T> tree;
  if (Status status = tree.build(sample_problem, cancellation); !status.ok()) return status;
  if (!tree.usable() || tree.total_weight() == 0) return {};
  const double share = PrunedSum<T>(sample_problem, accuracy, tree).evaluated_share();
  worthwhile = fixed + 2.5 * share * n * m * (d + 10) < dense;
  return {};
}

template <typename T>
Status pruned_log_sum_exp(const MixtureProblem<T>& problem, const Accuracy& accuracy,
                          Vector<double> log_sum, Cancellation& cancellation, bool& done) {
  done = false;
  if (accuracy.method == Method::kAuto) {
    bool worthwhile = false;
    Status status = estimate_pruning(problem, accuracy, cancellation, worthwhile);
    if (!status.ok() || !worthwhile) return status;
  }
  PackedTree<T> tree;
  if (Status status = tree.build(problem, cancellation); !status.ok()) return status;
  if (!tree.usable()) return {};
  done = true;
  return PrunedSum<T>(problem, accuracy, tree).run(log_sum, cancellation);
}

template Status estimate_pruning(const MixtureProblem<float>&, const Accuracy&, Cancellation&,
                                 bool&);
template Status estimate_pruning(const MixtureProblem<double>&, const Accuracy&, Cancellation&,
                                 bool&);

template Status pruned_log_sum_exp(const MixtureProblem<float>&, const Accuracy&, Vector<double>,
                                   Cancellation&, bool&);
template Status pruned_log_sum_exp(const MixtureProblem<double>&, const Accuracy&, Vector<double>,
                                   Cancellation&, bool&);

}  // namespace layerbits
