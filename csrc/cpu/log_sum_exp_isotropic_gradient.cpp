// All gradients of the log-sum-exp from one pass over the pairs. Let K be the weight of the pair of
// a point r and a center c (kernel_table.h). A kernel sums K |r - c|^2 and K (r - c) over centers,
// for the gradients of sigma and points, and K and K (r - c) over points, for the gradients of
// weights and centers. The pairs of a group are divided into cells of points by centers. The size
// of a cell depends on the dimension alone, and the sums of cells are added in double and in the
// order of the cells, so that neither threads nor other groups change a bit.
#include <cmath>

#include "gradient_side.h"
#include "mixture_problem.h"

namespace layerbits {
namespace {

template <typename T>
bool has_infinity(const Matrix<const T>& rows, int64_t i) {
  bool infinite = false;
  for (int64_t k = 0; k < rows.cols; ++k) infinite |= std::isinf(rows(i, k));
  return infinite;
}

// The numbers of points and centers of a cell: large enough that adding the sums of cells costs
// little, small enough that sums without compensation keep their digits and that Ctrl-C takes
// effect between cells.
int64_t cell_points(int64_t dim) {
  return std::clamp<int64_t>((1 << 18) / (dim + 16), 64, 1024) / 64 * 64;
}
int64_t cell_centers(int64_t dim) {
  return std::clamp<int64_t>((1 << 16) / (dim + 16), 32, 256) / kBlock * kBlock;
}
// The number of blocks whose sums by lane stay in the second-level cache: at most 512 KiB, unless a
// single block has more.
int64_t scratch_blocks(int64_t dim) {
  return std::clamp<int64_t>((1 << 13) / (dim + 16), kBlock, 256) / kBlock;
}

// The two sides of a gradient, and the sums over the pairs between them.
template <typename T>
struct PairSums {
  const MixtureProblem<T>& problem;
  const GradientSide<T, 2>& points;
  const GradientSide<T, 1>& centers;
  bool needs_points, needs_centers;

  // The sums of a run of points over a run of centers, and of the centers over the points.
  struct Cell {
    AlignedArray<T> point_sums, center_sums;
  };

  Cell evaluate(int64_t p, int64_t c) const {
    Cell cell;
    AlignedArray<T> scratch;
    const int64_t blocks = std::min(centers.packs(c), scratch_blocks(points.rows.cols));
    if (needs_points) cell.point_sums = make_aligned<T>(points.packs(p) * points.sums_size);
    if (needs_centers) {
      cell.center_sums = make_aligned<T>(centers.packs(c) * centers.sums_size);
      scratch = make_aligned<T>(blocks * centers.sums_size * int64_t(64 / sizeof(T)));
    }
    problem.kernels->softmax_gradient(points.packed(p), points.packs(p), centers.packed(c),
                                      centers.packs(c), points.rows.cols,
                                      problem.scaling.exponent_scale, cell.point_sums.get(),
                                      cell.center_sums.get(), scratch.get(), blocks);
    return cell;
  }

  void sum_group(int64_t g, Cancellation& cancellation) const {
    for (int64_t p = points.first_run[g]; p < points.first_run[g + 1]; ++p)
      for (int64_t c = centers.first_run[g]; c < centers.first_run[g + 1]; ++c) {
        if (cancellation.requested()) return;
        const Cell cell = evaluate(p, c);
        points.add(p, cell.point_sums);
        centers.add(c, cell.center_sums);
      }
  }

  // Sums a group on all threads, in waves of cells; adds the sums of the cells after each wave.
  Status sum_group_in_waves(int64_t g, Cancellation& cancellation) const {
    const int64_t end_p = points.first_run[g + 1], end_c = centers.first_run[g + 1];
    const int64_t wave = 8 * int64_t(problem.threads);
    const int64_t max_columns = std::min(end_c - centers.first_run[g], wave);
    const int64_t max_rows = wave / max_columns;
    std::vector<Cell> cells(static_cast<size_t>(max_columns * max_rows));
    for (int64_t p = points.first_run[g]; p < end_p; p += max_rows)
      for (int64_t c = centers.first_run[g]; c < end_c; c += max_columns) {
        const int64_t rows = std::min(max_rows, end_p - p);
        const int64_t columns = std::min(max_columns, end_c - c);
        Status status = parallel_for(problem.threads, rows * columns, cancellation, [&](int64_t i) {
          cells[i] = evaluate(p + i / columns, c + i % columns);
        });
        if (!status.ok()) return status;
        status = parallel_for(problem.threads, rows + columns, cancellation, [&](int64_t i) {
          if (i < rows)
            for (int64_t k = 0; k < columns; ++k)
              points.add(p + i, cells[i * columns + k].point_sums);
          else
            for (int64_t k = 0; k < rows; ++k)
              centers.add(c + i - rows, cells[k * columns + i - rows].center_sums);
        });
        if (!status.ok()) return status;
      }
    return {};
  }

  // A group that is a large part of the work is divided among the threads; small groups are
  // combined into pieces of work.
  Status run(Cancellation& cancellation) const {
    if (!needs_points && !needs_centers) return {};
    const int64_t groups = int64_t(points.first_run.size()) - 1;
    const auto cost = [&](int64_t g) {
      return double(points.packs_of_group(g)) * double(centers.packs_of_group(g));
    };
    double total_cost = 0, piece_cost = 0;
    for (int64_t g = 0; g < groups; ++g) total_cost += cost(g);
    const auto is_divided = [&](int64_t g) {
      return problem.threads > 1 && cost(g) * 8 * problem.threads > total_cost;
    };
    std::vector<int64_t> ends = {0};
    for (int64_t g = 0; g < groups; ++g) {
      piece_cost += is_divided(g) ? 0 : cost(g);
      if (piece_cost * 32 * problem.threads < total_cost && g + 1 < groups) continue;
      ends.push_back(g + 1);
      piece_cost = 0;
    }
    Status status =
        parallel_for(problem.threads, int64_t(ends.size()) - 1, cancellation, [&](int64_t item) {
          for (int64_t g = ends[item]; g < ends[item + 1]; ++g)
            if (!is_divided(g)) sum_group(g, cancellation);
        });
    for (int64_t g = 0; status.ok() && g < groups; ++g)
      if (is_divided(g)) status = sum_group_in_waves(g, cancellation);
    return status;
  }
};

// The centers of a sum. kWeighted: the centers with a positive weight. kWeightless: the centers of
// weight 0, summed as if each had the largest weight. The sums of kWeightless give the gradients of
// the weights of these centers, as limits, and no other gradient.
enum class CenterSet { kWeighted, kWeightless };

template <typename T>
Status sum_gradient(CenterSet set, const MixtureProblem<T>& problem, const Gradient<T>& out,
                    Cancellation& cancellation) {
  const Mixture<T>& mixture = problem.mixture;
  const Scaling<T>& scaling = problem.scaling;
  const int64_t dim = mixture.points.cols;

  const auto is_weightless = [&](int64_t j) { return mixture.weights && mixture.weights[j] == 0; };
  const auto exponent = [&](int64_t j) {
    if (has_infinity(mixture.centers, j) || is_weightless(j) != (set == CenterSet::kWeightless))
      return std::array<T, 1>{T(-kInfinity)};
    return std::array<T, 1>{T(is_weightless(j) ? 0 : problem.exponent(j))};
  };
  GradientSide<T, 1> centers(mixture.centers, mixture.center_groups, cell_centers(dim), kBlock);
  Status status =
      centers.pack_all({*problem.kernels, mixture.centers, kBlock, scaling.power, {T(-kInfinity)}},
                       "centers", exponent, problem.threads, cancellation);
  if (!status.ok()) return status;

  // u_i p_ij = factor 2^(exponent + exponents of the pair and the center).
  const double shift = std::log(problem.largest_weight);
  const auto exponent_and_factor = [&](int64_t i) {
    if (out.upstream[i] == 0 || out.log_sum[i] == -kInfinity)
      return std::array<T, 2>{T(-kInfinity), T(0)};
    const double log2_sum = (out.log_sum[i] - shift) * kLog2E;
    const T reference = T(std::rint(log2_sum));
    const T factor = T(out.upstream[i] * std::exp2(double(reference) - log2_sum));
    // A row with NaN gets an exponent with which no block is skipped.
    return std::array<T, 2>{std::isnan(factor) ? std::numeric_limits<T>::max() : -reference,
                            factor};
  };
  GradientSide<T, 2> points(mixture.points, mixture.point_groups, cell_points(dim),
                            problem.kernels->lanes);
  status = points.pack_all({*problem.kernels,
                            mixture.points,
                            problem.kernels->lanes,
                            scaling.power,
                            {T(-kInfinity), T(0)}},
                           "points", exponent_and_factor, problem.threads, cancellation);
  if (!status.ok()) return status;

  const PairSums<T> sums{problem, points, centers, out.d_points || out.d_sigma,
                         out.d_centers || out.d_weights};
  status = sums.run(cancellation);
  if (!status.ok()) return status;

  const double per_difference = scaling.power / (scaling.fraction * scaling.fraction);
  if (sums.needs_points)
    status = points.finish_all(problem.threads, cancellation, [&](int64_t i, const auto& sum) {
      if (out.d_sigma) out.d_sigma[i] = sum(0) * per_difference / scaling.fraction;
      if (out.d_points)
        for (int64_t k = 0; k < dim; ++k) out.d_points(i, k) = T(-sum(1 + k) * per_difference);
    });
  if (!status.ok() || !sums.needs_centers) return status;
  return centers.finish_all(problem.threads, cancellation, [&](int64_t j, const auto& sum) {
    if (out.d_weights && is_weightless(j) == (set == CenterSet::kWeightless)) {
      const double weight = mixture.weights ? double(mixture.weights[j]) : 1.0;
      out.d_weights[j] = T(sum(0) / (is_weightless(j) ? problem.largest_weight : weight));
    }
    if (out.d_centers)
      for (int64_t k = 0; k < dim; ++k)
        out.d_centers(j, k) = is_weightless(j) ? T(0) : T(sum(1 + k) * per_difference);
  });
}

}  // namespace

template <typename T>
Status log_sum_exp_isotropic_gradient(const Mixture<T>& mixture, const Gradient<T>& gradient,
                                      Execution execution) {
  MixtureProblem<T> problem{mixture};
  if (Status status = problem.prepare(execution); !status.ok()) return status;
  Status status = sum_gradient(CenterSet::kWeighted, problem, gradient, execution.cancellation);
  bool any_weightless = false;
  for (int64_t j = 0; j < mixture.weights.size && mixture.weights; ++j)
    any_weightless |= mixture.weights[j] == 0;
  if (!status.ok() || !gradient.d_weights || !any_weightless) return status;
  const Gradient<T> limits{.log_sum = gradient.log_sum,
                           .upstream = gradient.upstream,
                           .d_points = {},
                           .d_centers = {},
                           .d_weights = gradient.d_weights,
                           .d_sigma = {}};
  return sum_gradient(CenterSet::kWeightless, problem, limits, execution.cancellation);
}

template Status log_sum_exp_isotropic_gradient(const Mixture<float>&, const Gradient<float>&,
                                               Execution);
template Status log_sum_exp_isotropic_gradient(const Mixture<double>&, const Gradient<double>&,
                                               Execution);

}  // namespace layerbits
