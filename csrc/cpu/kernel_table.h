// The table of kernels of an ISA level, and the packed layouts that the kernels read. simd/, which
// is compiled with ISA flags, includes this header. So the header includes only C headers and
// bin_table.h, and has no function with external linkage, which a linker could merge across levels.
#pragma once

#include <stdint.h>

#include "../api/bin_table.h"

namespace layerbits {

// Columns are packed in blocks of kBlock: first the extra values of a column, then its coordinates,
// kBlock of each. Rows are packed in tiles of `lanes` in the same way. Packed coordinates are
// scaled by a power of two, which is exact in the normal range.
inline constexpr int kBlock = 8;
inline constexpr int kMaxLanes = 16;

// Sums 2^(-scale (|q - c|^2 + offset_c)) over the centers c, for each point q.
// points: no extra value. centers: one, offset_c >= 0, which contains the weight; +inf for padding.
// state[tile][3][lanes]: reference, high, low, where the sum is (high + low) 2^reference.
template <typename T>
using LogSumExpKernel = void (*)(const T* points, int64_t tiles, const T* centers, int64_t blocks,
                                 int64_t dim, T scale, T* state);

// A balanced tree over packed centers. A leaf has kLeafBlocks consecutive blocks, the last leaf
// perhaps fewer. The first child of an inner node follows it and has half of its leaves, rounded
// up; the second child follows all descendants of the first.
//
// A node holds the values of NodeValue; for each dimension the values of NodeSide; and in up to
// kMomentDims dimensions, for k <= l, its second moments: the coefficient of u_k u_l in
// u^T C u / (2 sigma^4), times max(total weight, 1). Here u is a query minus the mean of the
// centers, and C their covariance. In nodes without second moments the coefficients are 0.
inline constexpr int kLeafBlocks = 4;
enum NodeValue {
  // Bounds the change of the sum, per unit of weight, if the centers are merged. The kernel has the
  // value 1 at distance 0.
  kNodeError,
  kNodeOffset,    // the offset of the merged center
  kNodeFactor,    // max(total weight, 1); with second moments, times 1 - trace(C) / (2 sigma^2)
  kNodeVariance,  // the mean squared distance of the centers from their mean
  // The sum over the node is at least the term of a center of weight 1 at the squared distance of
  // the mean plus this offset.
  kNodeBoundOffset,
  kNodeExtras
};
enum NodeSide { kSideLower, kSideUpper, kSideMean, kSideMeanError, kNodeSides };
inline constexpr int kMomentDims = 8;

static constexpr int64_t node_size(int64_t dim) {
  return kNodeExtras + kNodeSides * dim + (dim <= kMomentDims ? dim * (dim + 1) / 2 : 0);
}

template <typename T>
struct CenterTree {
  const T* centers;  // packed as for log_sum_exp_isotropic
  const T* nodes;
  int64_t blocks;
  int64_t leaves;
};

// The sums of log_sum_exp_isotropic for one tile. For each query, skips nodes beyond its cutoff,
// and merges the centers of nodes whose error is within its allowance. points: three extra values,
// the initial reference, the cutoff of squared distances, and the allowance.
template <typename T>
using PrunedLogSumExpKernel = void (*)(const T* points, const CenterTree<T>& tree, int64_t dim,
                                       T scale, T* state);

// A component with a full covariance is packed as its offset, then its lower triangular factor in
// bands of kFactorRows rows; the first band has dim % kFactorRows rows if that is not 0. A band
// holds, for each column up to its last row, the coordinate of the center and the entries of the
// column in the band from the diagonal down.
inline constexpr int kFactorRows = 4;

static constexpr int64_t component_size(int64_t dim) {
  const int64_t short_rows = dim % kFactorRows, bands = dim / kFactorRows;
  return 1 + short_rows * (short_rows + 3) / 2 + bands * kFactorRows * (kFactorRows + 3) / 2 +
         (1 + kFactorRows) * bands * (short_rows + kFactorRows * (bands - 1) / 2);
}

// Adds exp(-(|factor_c (q - center_c)|^2 + offset_c) / 2) over the components c, in blocks of
// kBlock components, to the state of each point q. An empty state has a reference of -max. The
// products must not overflow.
template <typename T>
using FullLogSumExpKernel = void (*)(const T* points, int64_t tiles, const T* components,
                                     int64_t blocks, int64_t dim, T* state);

// Adds exp(-(sum_k (factor_ck (q_k - center_ck))^2 + offset_c) / 2) over the components c to the
// state of each point q, as FullLogSumExpKernel does. A block has the offsets of its components,
// then for each dimension their coordinates and their factors, kBlock of each.
template <typename T>
using DiagonalLogSumExpKernel = FullLogSumExpKernel<T>;

// Computes sums of K_rc = factor_r 2^(-scale |r - c|^2 + exponent_r + exponent_c):
// row_sums[tile][1 + dim][lanes], the sums over columns of K |r - c|^2 and of K (r - c);
// column_sums[block][1 + dim][kBlock], the sums over rows of K and of K (r - c). One of row_sums
// and column_sums may be null. rows: two extra values, exponent_r and factor_r. columns: one,
// exponent_c. scratch, for column_sums: [scratch_blocks][1 + dim][kBlock][lanes of 64 bytes].
template <typename T>
using SoftmaxGradientKernel = void (*)(const T* rows, int64_t tiles, const T* columns,
                                       int64_t blocks, int64_t dim, T scale, T* row_sums,
                                       T* column_sums, T* scratch, int64_t scratch_blocks);

// out[tile][block][kBlock][lanes], the squared distances of rows and columns. No extra values.
template <typename T>
using SquaredDistancesKernel = void (*)(const T* rows, int64_t tiles, const T* columns,
                                        int64_t blocks, int64_t dim, T* out);

// Adds to counts[bin][2] the pairs of a tile, whose first row is `row`, with `columns` columns from
// `column` on; a pair counts only if its column comes after its row. counts[bin][1] is for pairs of
// equal labels. squares[columns][lanes] come from squared_distances.
template <typename T>
using CountPairsKernel = void (*)(const T* squares, int64_t row, int64_t column, int64_t columns,
                                  const int64_t* labels, const DistanceBins<T>& bins,
                                  int64_t* counts);

// Expansions of a mixture on the line in cells, computed in double for both dtypes; grid_tables.h
// derives them. A coordinate is `scale` times a value minus `origin`, and t is its quotient by half
// the width of a cell: -1 <= t <= 1.
inline constexpr int kOrder = 16;
struct CellFrame {
  double scale, origin, inverse_half;
};

// moments[k], the sum of w T_k(t) over the centers of a cell, with Chebyshev's polynomials T_k.
// weights: null if all are 1; otherwise the kernel multiplies each by weight_scale.
template <typename T>
using CellMomentsKernel = void (*)(const T* centers, const T* weights, int64_t count,
                                   const CellFrame& frame, double weight_scale, double* moments);

// values[r], the sum over the cells c of sum_k translations[shift[c]][k][r] moments[c][k].
using TranslateMomentsKernel = void (*)(const double* translations, const int64_t* shifts,
                                        const double* moments, int64_t cells, double* values);

// coefficients[k] of T_k in the polynomial with values[r] at the Chebyshev nodes. transform[r][k].
using InterpolateKernel = void (*)(const double* values, const double* transform,
                                   double* coefficients);

// The polynomial of a cell with the factor exp(constant + x (linear + quadratic x)), x a
// coordinate. The sum at a point is certain only if the polynomial exceeds `threshold` there.
struct CellPolynomial {
  const double* coefficients;
  double constant, linear, quadratic, threshold;
};

// out[i], the logarithm of the sum at point i; NaN if the sum is not certain.
template <typename T>
using EvaluateCellKernel = void (*)(const T* points, int64_t count, const CellFrame& frame,
                                    const CellPolynomial& polynomial, double* out);

// Expansions of a mixture in the plane; plane_tables.h derives them. Coordinates are scaled. A
// matrix has kOrder rows of kOrder values.
template <typename T>
struct PlanePoints {
  const T *x, *y;
  const T* weights;  // of centers
};
struct PlaneFrame {
  double origin[2], inverse_half;
};

// moments[k][l], the sum of w T_k(t_x) T_l(t_y) over the centers of a cell.
template <typename T>
using PlaneMomentsKernel = void (*)(const PlanePoints<T>& centers, int64_t count,
                                    const PlaneFrame& frame, double* moments);

// out[i][j], the sum over the pairs of matrices c and over k of left[c][k][i] right[c][k][j].
using SumOfProductsKernel = void (*)(const double* const* left, const double* const* right,
                                     int64_t count, double* out);

// The polynomial with coefficients[k][l] of T_k(t_x) T_l(t_y), as CellPolynomial.
struct PlanePolynomial {
  const double* coefficients;
  double constant, linear[2], quadratic, threshold;
};

// out[i], the logarithm of the sum at point i; NaN if the sum is not certain.
template <typename T>
using EvaluatePlaneKernel = void (*)(const PlanePoints<T>& points, int64_t count,
                                     const PlaneFrame& frame, const PlanePolynomial& polynomial,
                                     double* out);

// The centers [first, end).
struct CenterRun {
  int64_t first, end;
};

// Returns the smallest squared distance of a point from the centers of the runs.
template <typename T>
using NearestSquareKernel = T (*)(const PlanePoints<T>& centers, const CenterRun* runs,
                                  int64_t run_count, T x, T y);

// out[i], the sum of w 2^(-scale (|q_i - c|^2 - base)) over the centers c of the runs. No exponent
// is above 0.
template <typename T>
using SumNearPlaneKernel = void (*)(const PlanePoints<T>& centers, const CenterRun* runs,
                                    int64_t run_count, const PlanePoints<T>& points, int64_t count,
                                    T scale, T base, double* out);

// Replaces values by their logarithms; a value that is not above the threshold becomes NaN.
using CertainLogsKernel = void (*)(double* values, int64_t count, double threshold);

// out[tile][lanes], the logarithms of the sums of log_sum_exp_isotropic; no sum is negative.
template <typename T>
using LogOfSumsKernel = void (*)(const T* state, int64_t tiles, double* out);

// Returns whether a value times the factor is NaN, or its magnitude exceeds a quarter of the
// largest number.
template <typename T>
using AnyUnusualKernel = bool (*)(const T* values, int64_t count, T factor);

// Computes independent chains of multiply-adds in registers from values[lanes], stores the sum of
// the chains in `values`, and returns the number of values computed.
template <typename T>
using PeakKernel = int64_t (*)(int64_t steps, T* values);

template <typename T>
struct Kernels {
  int lanes;
  LogSumExpKernel<T> log_sum_exp_isotropic;
  PrunedLogSumExpKernel<T> pruned_log_sum_exp;
  FullLogSumExpKernel<T> log_sum_exp_full;
  DiagonalLogSumExpKernel<T> log_sum_exp_diagonal;
  SoftmaxGradientKernel<T> softmax_gradient;
  LogOfSumsKernel<T> log_of_sums;
  CellMomentsKernel<T> cell_moments;
  TranslateMomentsKernel translate_moments;
  InterpolateKernel interpolate;
  EvaluateCellKernel<T> evaluate_cell;
  PlaneMomentsKernel<T> plane_moments;
  SumOfProductsKernel sum_of_products;
  EvaluatePlaneKernel<T> evaluate_plane;
  NearestSquareKernel<T> nearest_square;
  SumNearPlaneKernel<T> sum_near_plane;
  CertainLogsKernel certain_logs;
  AnyUnusualKernel<T> any_unusual;
  SquaredDistancesKernel<T> squared_distances;
  CountPairsKernel<T> count_pairs;
  PeakKernel<T> multiply_adds, multiply_adds_and_additions;
};

struct KernelTable {
  const char* level;
  Kernels<float> f32;
  Kernels<double> f64;
};

}  // namespace layerbits
