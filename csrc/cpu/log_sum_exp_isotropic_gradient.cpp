// Gradients from one pass over the pairs. The pairs of a group are cut into cells of so many points
// by so many centers, which depend on the dimension alone; the sums of cells are added in double
// and in the order of the cells, so that neither threads nor other groups change a bit.
#include <cmath>
#include <memory>
#include <new>

#include "setup.h"

namespace layerbits {
namespace {

template <typename T>
bool has_infinity(const Matrix<const T>& rows, int64_t i) {
  bool infinite = false;
  for (int64_t k = 0; k < rows.cols; ++k) infinite |= std::isinf(rows(i, k));
  return infinite;
}

// The sides of a cell: long, for folding its sums costs as much as so many more points or centers;
// so short that plain sums keep their digits and Ctrl-C is answered between cells.
int64_t cell_points(int64_t dim) {
  return std::clamp<int64_t>((1 << 18) / (dim + 16), 64, 1024) / 64 * 64;
}
int64_t cell_centers(int64_t dim) {
  return std::clamp<int64_t>((1 << 16) / (dim + 16), 32, 256) / kBlock * kBlock;
}
// Blocks whose sums by lane stay in the second-level cache.
int64_t scratch_blocks(int64_t dim) {
  return std::clamp<int64_t>((1 << 13) / (dim + 16), kBlock, 256) / kBlock;
}

// Memory for whole registers: one that crosses a line of the cache costs two. Not zeroed: that
// would be slow, on one thread, and deaf to Ctrl-C.
struct AlignedDelete {
  void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};
template <typename T>
using Array = std::unique_ptr<T[], AlignedDelete>;
template <typename T>
Array<T> make_array(int64_t size) {
  return Array<T>(static_cast<T*>(::operator new(size_t(size) * sizeof(T), std::align_val_t{64})));
}

// Points or centers in packs, and for each what the kernel sums over the other side. Each run, and
// so each group, starts a pack of its own.
template <typename T, size_t kExtras>
struct Side {
  const Matrix<const T>& rows;
  int64_t width, pack_size, sums_size;  // rows of a pack, values of a pack, sums of a pack
  std::vector<Run> runs;
  std::vector<int64_t> first_run, first_pack;  // by group and by run, and their ends
  Array<T> values;
  Array<double> sums;

  Side(const Matrix<const T>& matrix, const Groups& groups, int64_t largest_run, int64_t width_)
      : rows(matrix),
        width(width_),
        pack_size(width * (int64_t(kExtras) + rows.cols)),
        sums_size(width * (1 + rows.cols)),
        runs(split_into_runs(groups, largest_run)),
        first_run(size_t(groups.count()) + 1, 0),
        first_pack(1, 0) {
    for (const Run& run : runs) {
      ++first_run[run.group + 1];
      first_pack.push_back(first_pack.back() + divide_up(run.count, width));
    }
    for (int64_t g = 0; g < groups.count(); ++g) first_run[g + 1] += first_run[g];
    values = make_array<T>(first_pack.back() * pack_size);
    sums = make_array<double>(first_pack.back() * sums_size);
  }

  int64_t packs(int64_t run) const { return first_pack[run + 1] - first_pack[run]; }
  int64_t packs_of_group(int64_t group) const {
    return first_pack[first_run[group + 1]] - first_pack[first_run[group]];
  }
  T* packed(int64_t run) const { return values.get() + first_pack[run] * pack_size; }
  double* sums_of(int64_t run) const { return sums.get() + first_pack[run] * sums_size; }

  template <typename Work>
  Status for_each_run(int threads, Cancellation& cancellation, const Work& work) const {
    const int64_t count = int64_t(runs.size()), grain = 1 + count / (32 * int64_t(threads));
    return parallel_for(threads, divide_up(count, grain), cancellation, [&](int64_t item) {
      for (int64_t r = item * grain; r < std::min(count, (item + 1) * grain); ++r) work(r);
    });
  }

  template <typename ExtrasOf>
  Status pack_all(const Kernels<T>& kernels, const char* name, double power,
                  const std::array<T, kExtras>& padding, const ExtrasOf& extras, int threads,
                  Cancellation& cancellation) {
    std::atomic<bool> too_large{false};
    Status status = for_each_run(threads, cancellation, [&](int64_t r) {
      if (pack<NotFinite::kZero>(kernels, rows, runs[r].first, runs[r].count, int(width), power,
                                 padding, extras, packed(r))
              .too_large)
        too_large = true;
      std::fill_n(sums_of(r), packs(r) * sums_size, 0.0);
    });
    if (!status.ok()) return status;
    return too_large ? too_far_from_zero(name) : Status{};
  }

  // Nothing where the sums were not wanted.
  void fold(int64_t run, const Array<T>& cell) const {
    double* total = sums_of(run);
    const int64_t size = cell ? packs(run) * sums_size : 0;
    for (int64_t i = 0; i < size; ++i) total[i] += double(cell[i]);
  }

  // Calls finish(i, sum) with sum(k) the k-th sum of row i.
  template <typename Finish>
  Status finish_all(int threads, Cancellation& cancellation, const Finish& finish) const {
    return for_each_run(threads, cancellation, [&](int64_t r) {
      for (int64_t i = 0; i < runs[r].count; ++i) {
        const double* first = sums_of(r) + i / width * sums_size + i % width;
        finish(runs[r].first + i, [&](int64_t k) { return first[k * width]; });
      }
    });
  }
};

template <typename T>
struct Pass {
  const Setup<T>& setup;
  const Side<T, 2>& points;
  const Side<T, 1>& centers;
  bool wants_points, wants_centers;

  // The sums of a run of points and a run of centers over each other.
  struct Cell {
    Array<T> of_points, of_centers;
  };

  Cell evaluate(int64_t p, int64_t c) const {
    Cell cell;
    Array<T> scratch;
    const int64_t together = std::min(centers.packs(c), scratch_blocks(points.rows.cols));
    if (wants_points) cell.of_points = make_array<T>(points.packs(p) * points.sums_size);
    if (wants_centers) {
      cell.of_centers = make_array<T>(centers.packs(c) * centers.sums_size);
      scratch = make_array<T>(together * centers.sums_size * int64_t(64 / sizeof(T)));
    }
    setup.kernels->softmax_gradient(
        points.packed(p), points.packs(p), centers.packed(c), centers.packs(c), points.rows.cols,
        setup.scaling.scale, cell.of_points.get(), cell.of_centers.get(), scratch.get(), together);
    return cell;
  }

  void sum_group(int64_t g, Cancellation& cancellation) const {
    for (int64_t p = points.first_run[g]; p < points.first_run[g + 1]; ++p)
      for (int64_t c = centers.first_run[g]; c < centers.first_run[g + 1]; ++c) {
        if (cancellation.requested()) return;
        const Cell cell = evaluate(p, c);
        points.fold(p, cell.of_points);
        centers.fold(c, cell.of_centers);
      }
  }

  // The same on all threads: in waves of cells, whose sums wait to be folded.
  Status sum_group_in_waves(int64_t g, Cancellation& cancellation) const {
    const int64_t end_p = points.first_run[g + 1], end_c = centers.first_run[g + 1];
    const int64_t wave = 8 * int64_t(setup.threads);
    const int64_t wide = std::min(end_c - centers.first_run[g], wave), high = wave / wide;
    std::vector<Cell> cells(static_cast<size_t>(wide * high));
    for (int64_t p = points.first_run[g]; p < end_p; p += high)
      for (int64_t c = centers.first_run[g]; c < end_c; c += wide) {
        const int64_t rows = std::min(high, end_p - p), columns = std::min(wide, end_c - c);
        Status status = parallel_for(setup.threads, rows * columns, cancellation, [&](int64_t i) {
          cells[i] = evaluate(p + i / columns, c + i % columns);
        });
        if (!status.ok()) return status;
        status = parallel_for(setup.threads, rows + columns, cancellation, [&](int64_t i) {
          if (i < rows)
            for (int64_t k = 0; k < columns; ++k)
              points.fold(p + i, cells[i * columns + k].of_points);
          else
            for (int64_t k = 0; k < rows; ++k)
              centers.fold(c + i - rows, cells[k * columns + i - rows].of_centers);
        });
        if (!status.ok()) return status;
      }
    return {};
  }

  // A group that is a large part of the work is cut; of the others, many make an item.
  Status run(Cancellation& cancellation) const {
    if (!wants_points && !wants_centers) return {};
    const int64_t groups = int64_t(points.first_run.size()) - 1;
    const auto cost = [&](int64_t g) {
      return double(points.packs_of_group(g)) * double(centers.packs_of_group(g));
    };
    double total = 0, gathered = 0;
    for (int64_t g = 0; g < groups; ++g) total += cost(g);
    const auto is_cut = [&](int64_t g) {
      return setup.threads > 1 && cost(g) * 8 * setup.threads > total;
    };
    std::vector<int64_t> ends = {0};
    for (int64_t g = 0; g < groups; ++g) {
      gathered += is_cut(g) ? 0 : cost(g);
      if (gathered * 32 * setup.threads < total && g + 1 < groups) continue;
      ends.push_back(g + 1);
      gathered = 0;
    }
    Status status =
        parallel_for(setup.threads, int64_t(ends.size()) - 1, cancellation, [&](int64_t item) {
          for (int64_t g = ends[item]; g < ends[item + 1]; ++g)
            if (!is_cut(g)) sum_group(g, cancellation);
        });
    for (int64_t g = 0; status.ok() && g < groups; ++g)
      if (is_cut(g)) status = sum_group_in_waves(g, cancellation);
    return status;
  }
};

// Either over the centers that weigh something, or over those of weight 0 as if they weighed as
// much as the largest: these have no part in any gradient but the limit of their own weights'.
enum class Over { kPresent, kAbsent };

template <typename T>
Status gradient_over(Over over, const Setup<T>& setup, const Gradient<T>& out,
                     Cancellation& cancellation) {
  const Mixture<T>& mixture = setup.mixture;
  const Scaling<T>& scaling = setup.scaling;
  const int64_t dim = mixture.points.cols;

  const auto absent = [&](int64_t j) { return mixture.weights && mixture.weights[j] == 0; };
  const auto exponent = [&](int64_t j) {
    if (has_infinity(mixture.centers, j) || absent(j) != (over == Over::kAbsent))
      return std::array<T, 1>{T(-kInfinity)};
    return std::array<T, 1>{T(absent(j) ? 0 : setup.exponent(j))};
  };
  Side<T, 1> centers(mixture.centers, mixture.center_groups, cell_centers(dim), kBlock);
  Status status = centers.pack_all(*setup.kernels, "centers", scaling.power, {T(-kInfinity)},
                                   exponent, setup.threads, cancellation);
  if (!status.ok()) return status;

  // u_i p_ij is factor 2^(exponent + exponents of the pair and the center).
  const double shift = std::log(setup.largest_weight);
  const auto exponent_and_factor = [&](int64_t i) {
    if (out.upstream[i] == 0 || out.log_sum[i] == -kInfinity)
      return std::array<T, 2>{T(-kInfinity), T(0)};
    const double log2_sum = (out.log_sum[i] - shift) * kLog2E;
    const T reference = T(std::rint(log2_sum));
    const T factor = T(out.upstream[i] * std::exp2(double(reference) - log2_sum));
    // A row of NaN gets an exponent that no block can skip.
    return std::array<T, 2>{std::isnan(factor) ? std::numeric_limits<T>::max() : -reference,
                            factor};
  };
  Side<T, 2> points(mixture.points, mixture.point_groups, cell_points(dim), setup.kernels->lanes);
  status = points.pack_all(*setup.kernels, "points", scaling.power, {T(-kInfinity), T(0)},
                           exponent_and_factor, setup.threads, cancellation);
  if (!status.ok()) return status;

  const Pass<T> pass{setup, points, centers, out.d_points || out.d_sigma,
                     out.d_centers || out.d_weights};
  status = pass.run(cancellation);
  if (!status.ok()) return status;

  const double per_difference = scaling.power / (scaling.fraction * scaling.fraction);
  if (pass.wants_points)
    status = points.finish_all(setup.threads, cancellation, [&](int64_t i, const auto& sum) {
      if (out.d_sigma) out.d_sigma[i] = sum(0) * per_difference / scaling.fraction;
      if (out.d_points)
        for (int64_t k = 0; k < dim; ++k) out.d_points(i, k) = T(-sum(1 + k) * per_difference);
    });
  if (!status.ok() || !pass.wants_centers) return status;
  return centers.finish_all(setup.threads, cancellation, [&](int64_t j, const auto& sum) {
    if (out.d_weights && absent(j) == (over == Over::kAbsent)) {
      const double weight = mixture.weights ? double(mixture.weights[j]) : 1.0;
      out.d_weights[j] = T(sum(0) / (absent(j) ? setup.largest_weight : weight));
    }
    if (out.d_centers)
      for (int64_t k = 0; k < dim; ++k)
        out.d_centers(j, k) = absent(j) ? T(0) : T(sum(1 + k) * per_difference);
  });
}

}  // namespace

template <typename T>
Status log_sum_exp_isotropic_gradient(const Mixture<T>& mixture, const Gradient<T>& gradient,
                                      Execution execution) {
  Setup<T> setup{mixture};
  if (Status status = setup.prepare(execution); !status.ok()) return status;
  Status status = gradient_over(Over::kPresent, setup, gradient, execution.cancellation);
  bool any_absent = false;
  for (int64_t j = 0; j < mixture.weights.size && mixture.weights; ++j)
    any_absent |= mixture.weights[j] == 0;
  if (!status.ok() || !gradient.d_weights || !any_absent) return status;
  const Gradient<T> limits{gradient.log_sum, gradient.upstream, {}, {}, gradient.d_weights, {}};
  return gradient_over(Over::kAbsent, setup, limits, execution.cancellation);
}

template Status log_sum_exp_isotropic_gradient(const Mixture<float>&, const Gradient<float>&,
                                               Execution);
template Status log_sum_exp_isotropic_gradient(const Mixture<double>&, const Gradient<double>&,
                                               Execution);

}  // namespace layerbits
