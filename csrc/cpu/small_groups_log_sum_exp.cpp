// The log-sum-exp of many small groups, where rows and groups cost more time than pairs. A thread
// takes a batch of groups, packs all of them, sums, and computes all logarithms together.
#include <cmath>

#include "log_sum_exp_methods.h"

namespace layerbits {
namespace {

template <typename T>
class SmallGroups {
 public:
  SmallGroups(const MixtureProblem<T>& problem, Vector<double> log_sum)
      : problem_(problem),
        mixture_(problem.mixture),
        points_(mixture_.point_groups),
        centers_(mixture_.center_groups),
        log_sum_(log_sum),
        lanes_(problem.kernels->lanes),
        dim_(mixture_.points.cols),
        shift_(std::log(problem.largest_weight)) {}

  Status run(Cancellation& cancellation) {
    constexpr int64_t kMaxGroups = 64;
    const int64_t count = points_.count();
    const int64_t grain =
        std::clamp<int64_t>(count / (8 * int64_t(problem_.threads)), 1, kMaxGroups);
    Status status =
        parallel_for(problem_.threads, divide_up(count, grain), cancellation, [&](int64_t item) {
          evaluate(item * grain, std::min(count, (item + 1) * grain), cancellation);
        });
    if (!status.ok()) return status;
    if (centers_too_large_) return too_far_from_zero("centers");
    return points_too_large_ ? too_far_from_zero("points") : Status{};
  }

 private:
  struct Group {
    int64_t first, rows, tiles, first_center, columns, blocks;
    int64_t size;  // number of values of the packed tiles and blocks
    bool nan;
  };

  Group group_of(int64_t g) const {
    const int64_t first = points_.begin(g), rows = points_.end(g) - first;
    const int64_t first_center = centers_.begin(g), columns = centers_.end(g) - first_center;
    const int64_t tiles = divide_up(rows, lanes_), blocks = divide_up(columns, kBlock);
    const int64_t size = tiles * lanes_ * dim_ + blocks * kBlock * (1 + dim_);
    return {.first = first,
            .rows = rows,
            .tiles = tiles,
            .first_center = first_center,
            .columns = columns,
            .blocks = blocks,
            .size = size,
            .nan = false};
  }

  void evaluate(int64_t first_group, int64_t end_group, Cancellation& cancellation) {
    constexpr int64_t kBatchBytes = 16384;
    Usual usual{is_usual(mixture_.points, points_, first_group, end_group),
                is_usual(mixture_.centers, centers_, first_group, end_group)};
    std::vector<Group> groups;
    Scratch scratch;
    int64_t size = 0;
    for (int64_t g = first_group; g < end_group; ++g) {
      groups.push_back(group_of(g));
      size += groups.back().size;
      if (size * int64_t(sizeof(T)) < kBatchBytes && g + 1 < end_group) continue;
      if (cancellation.requested()) return;
      evaluate_batch(groups, size, usual, scratch);
      groups.clear();
      size = 0;
    }
  }

  // Whether the points and the centers of a range of groups have no unusual value.
  struct Usual {
    bool points, centers;
  };

  struct Scratch {
    std::vector<T> packed, states;
    std::vector<double> logs;
  };

  bool is_usual(const Matrix<const T>& rows, const Groups& groups, int64_t first_group,
                int64_t end_group) const {
    const int64_t first = groups.begin(first_group), end = groups.end(end_group - 1);
    return are_usual(*problem_.kernels, rows, first, end - first, problem_.scaling.power);
  }

  // Packs all groups before the first sum, because a load waits for a narrow store just before it.
  void evaluate_batch(std::vector<Group>& groups, int64_t size, const Usual& usual,
                      Scratch& scratch) {
    scratch.packed.resize(std::max(scratch.packed.size(), size_t(size)));
    int64_t tiles = 0;
    T* out = scratch.packed.data();
    for (Group& group : groups) {
      pack_group(group, usual, out);
      out += group.size;
      tiles += group.tiles;
    }
    scratch.states.resize(std::max(scratch.states.size(), size_t(3 * tiles * lanes_)));
    const T* in = scratch.packed.data();
    T* state = scratch.states.data();
    for (const Group& group : groups) {
      problem_.kernels->log_sum_exp_isotropic(in, group.tiles, in + group.tiles * lanes_ * dim_,
                                              group.blocks, dim_, problem_.scaling.exponent_scale,
                                              state);
      in += group.size;
      state += 3 * group.tiles * lanes_;
    }
    scratch.logs.resize(std::max(scratch.logs.size(), size_t(tiles * lanes_)));
    problem_.kernels->log_of_sums(scratch.states.data(), tiles, scratch.logs.data());
    const double* log = scratch.logs.data();
    for (const Group& group : groups) {
      // A kernel may skip the block of a center with NaN, so its sum need not be NaN.
      const double shift = group.nan ? kNan : shift_;
      for (int64_t i = 0; i < group.rows; ++i) log_sum_[group.first + i] = log[i] + shift;
      log += group.tiles * lanes_;
    }
  }

  void pack_group(Group& group, const Usual& usual, T* out) {
    const Packer<NotFinite::kKeep, T, 0> point_packer{*problem_.kernels, mixture_.points, lanes_,
                                                      problem_.scaling.power};
    const Packer<NotFinite::kKeep, T, 1> center_packer{
        *problem_.kernels, mixture_.centers, kBlock, problem_.scaling.power, {T(kInfinity)}};
    const UnusualValues in_points = point_packer.pack_range(
        group.first, group.rows, usual.points, [](int64_t) { return std::array<T, 0>{}; }, out);
    const auto pack_centers = [&](const auto& offset) {
      return center_packer.pack_range(group.first_center, group.columns, usual.centers, offset,
                                      out + group.tiles * lanes_ * dim_);
    };
    const UnusualValues in_centers =
        mixture_.weights ? pack_centers([&](int64_t j) { return problem_.offset(j); })
                         : pack_centers([](int64_t) { return std::array<T, 1>{0}; });
    if (in_points.too_large) points_too_large_ = true;
    if (in_centers.too_large) centers_too_large_ = true;
    group.nan = in_centers.nan;
  }

  const MixtureProblem<T>& problem_;
  const Mixture<T>& mixture_;
  const Groups &points_, &centers_;
  const Vector<double> log_sum_;
  const int lanes_;
  const int64_t dim_;
  const double shift_;
  std::atomic<bool> points_too_large_{false}, centers_too_large_{false};
};

}  // namespace

template <typename T>
Status small_groups_log_sum_exp(const MixtureProblem<T>& problem, Vector<double> log_sum,
                                Cancellation& cancellation) {
  return SmallGroups<T>(problem, log_sum).run(cancellation);
}

template Status small_groups_log_sum_exp(const MixtureProblem<float>&, Vector<double>,
                                         Cancellation&);
template Status small_groups_log_sum_exp(const MixtureProblem<double>&, Vector<double>,
                                         Cancellation&);

}  // namespace layerbits
