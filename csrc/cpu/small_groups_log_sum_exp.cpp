// Groups so small that what happens once a row counts: a thread takes many of them, packs each
// where it is used, and takes their logarithms together.
#include <cmath>

#include "log_sum_exp_methods.h"

namespace layerbits {
namespace {

template <typename T>
class SmallGroups {
 public:
  SmallGroups(const Setup<T>& setup, Vector<double> log_sum)
      : setup_(setup),
        mixture_(setup.mixture),
        points_(mixture_.point_groups),
        centers_(mixture_.center_groups),
        log_sum_(log_sum),
        lanes_(setup.kernels->lanes),
        dim_(mixture_.points.cols),
        shift_(std::log(setup.largest_weight)) {}

  Status run(Cancellation& cancellation) {
    constexpr int64_t kMostGroups = 64;
    const int64_t count = points_.count();
    const int64_t grain =
        std::clamp<int64_t>(count / (8 * int64_t(setup_.threads)), 1, kMostGroups);
    Status status =
        parallel_for(setup_.threads, divide_up(count, grain), cancellation, [&](int64_t item) {
          evaluate(item * grain, std::min(count, (item + 1) * grain), cancellation);
        });
    if (!status.ok()) return status;
    if (centers_too_large_) return too_far_from_zero("centers");
    return points_too_large_ ? too_far_from_zero("points") : Status{};
  }

 private:
  struct Group {
    int64_t first, rows, tiles, first_center, columns, blocks;
    int64_t size;  // of the packed tiles and blocks
    bool nan;
  };

  Group group(int64_t g) const {
    const int64_t first = points_.begin(g), rows = points_.end(g) - first;
    const int64_t first_center = centers_.begin(g), columns = centers_.end(g) - first_center;
    const int64_t tiles = divide_up(rows, lanes_), blocks = divide_up(columns, kBlock);
    const int64_t size = tiles * lanes_ * dim_ + blocks * kBlock * (1 + dim_);
    return {first, rows, tiles, first_center, columns, blocks, size, false};
  }

  void evaluate(int64_t first_group, int64_t end_group, Cancellation& cancellation) {
    constexpr int64_t kBytesTogether = 16384;
    Usual usual{is_usual(mixture_.points, points_, first_group, end_group),
                is_usual(mixture_.centers, centers_, first_group, end_group)};
    std::vector<Group> groups;
    Scratch scratch;
    int64_t size = 0;
    for (int64_t g = first_group; g < end_group; ++g) {
      groups.push_back(group(g));
      size += groups.back().size;
      if (size * int64_t(sizeof(T)) < kBytesTogether && g + 1 < end_group) continue;
      if (cancellation.requested()) return;
      evaluate_together(groups, size, usual, scratch);
      groups.clear();
      size = 0;
    }
  }

  struct Usual {
    bool points, centers;
  };

  struct Scratch {
    std::vector<T> packed, states;
    std::vector<double> logs;
  };

  bool is_usual(const Matrix<const T>& rows, const Groups& of, int64_t first, int64_t end) const {
    return are_usual(*setup_.kernels, rows, of.begin(first), of.end(end - 1) - of.begin(first),
                     setup_.scaling.power);
  }

  // All groups are packed before the first is summed, and all summed before the first logarithm:
  // loads that follow narrow stores closely wait.
  void evaluate_together(std::vector<Group>& groups, int64_t size, const Usual& usual,
                         Scratch& scratch) {
    scratch.packed.resize(std::max(scratch.packed.size(), size_t(size)));
    int64_t tiles = 0;
    T* out = scratch.packed.data();
    for (Group& one : groups) {
      pack_group(one, usual, out);
      out += one.size;
      tiles += one.tiles;
    }
    scratch.states.resize(std::max(scratch.states.size(), size_t(3 * tiles * lanes_)));
    const T* in = scratch.packed.data();
    T* state = scratch.states.data();
    for (const Group& one : groups) {
      setup_.kernels->log_sum_exp_isotropic(in, one.tiles, in + one.tiles * lanes_ * dim_,
                                            one.blocks, dim_, setup_.scaling.scale, state);
      in += one.size;
      state += 3 * one.tiles * lanes_;
    }
    scratch.logs.resize(std::max(scratch.logs.size(), size_t(tiles * lanes_)));
    setup_.kernels->log_of_sums(scratch.states.data(), tiles, scratch.logs.data());
    const double* log = scratch.logs.data();
    for (const Group& one : groups) {
      // Kernels may pass over a block, so they cannot tell that a center has NaN.
      const double shift = one.nan ? kNan : shift_;
      for (int64_t i = 0; i < one.rows; ++i) log_sum_[one.first + i] = log[i] + shift;
      log += one.tiles * lanes_;
    }
  }

  void pack_group(Group& one, const Usual& usual, T* out) {
    const Found of_points = pack_rows<NotFinite::kKeep>(
        *setup_.kernels, mixture_.points, [&](int64_t i) { return one.first + i; }, one.rows,
        lanes_, setup_.scaling.power, std::array<T, 0>{},
        [](int64_t) { return std::array<T, 0>{}; }, out, usual.points);
    const auto pack_centers = [&](const auto& offset) {
      return pack_rows<NotFinite::kKeep>(
          *setup_.kernels, mixture_.centers, [&](int64_t i) { return one.first_center + i; },
          one.columns, kBlock, setup_.scaling.power, std::array<T, 1>{T(kInfinity)}, offset,
          out + one.tiles * lanes_ * dim_, usual.centers);
    };
    const Found of_centers = mixture_.weights
                                 ? pack_centers([&](int64_t j) { return setup_.offset(j); })
                                 : pack_centers([](int64_t) { return std::array<T, 1>{0}; });
    if (of_points.too_large) points_too_large_ = true;
    if (of_centers.too_large) centers_too_large_ = true;
    one.nan = of_centers.nan;
  }

  const Setup<T>& setup_;
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
Status small_groups_log_sum_exp(const Setup<T>& setup, Vector<double> log_sum,
                                Cancellation& cancellation) {
  return SmallGroups<T>(setup, log_sum).run(cancellation);
}

template Status small_groups_log_sum_exp(const Setup<float>&, Vector<double>, Cancellation&);
template Status small_groups_log_sum_exp(const Setup<double>&, Vector<double>, Cancellation&);

}  // namespace layerbits
