// The table of kernels of an ISA level, and the packed layouts that the kernels read. simd/, which
// is compiled with ISA flags, includes this header: it includes C headers only and has no function
// with external linkage, which a linker could merge across levels.
#pragma once

#include <stdint.h>

#include "../api/bin_table.h"

namespace layerbits {

// Columns are packed in blocks of kBlock: first the extra values of a column, then its coordinates,
// kBlock of each. Rows are packed in tiles of `lanes` in the same way. Packed coordinates are
// scaled by a power of two, which is exact in the normal range.
inline constexpr int kBlock = 8;
inline constexpr int kMaxLanes = 16;

// For each row q the sum over columns c of 2^(-scale (|q - c|^2 + offset_c)).
// points: no extra value. centers: one, offset_c >= 0: weights are offsets of the squared distance,
// so that they cost nothing in the inner loop, and padding is an offset of +inf.
// state[tile][3][lanes]: reference, high, low, where the sum is (high + low) 2^reference.
template <typename T>
using LogSumExpKernel = void (*)(const T* points, int64_t tiles, const T* centers, int64_t blocks,
                                 int64_t dim, T scale, T* state);

// A balanced tree over packed centers. A leaf is kLeafBlocks consecutive blocks, the last leaf
// perhaps fewer. A node over several leaves is followed by its first child, with half of the
// leaves, rounded up; the second child follows all descendants of the first. A node holds the
// values of NodeValue; for each dimension the values of NodeSide; and in up to kMomentDims
// dimensions, for k <= l, the coefficient of u_k u_l in u^T C u / (2 sigma^4), times the total
// weight or 1, whichever is larger. Here u is a query minus the mean of the centers, and C their
// covariance; the coefficients are 0 where these second moments are not used.
inline constexpr int kLeafBlocks = 4;
enum NodeValue {
  kNodeError,   // of merging the centers, per unit of weight, where the largest kernel value is 1
  kNodeOffset,  // of the merged center
  // The total weight or 1, whichever is larger; with second moments, times one minus half of the
  // trace of the covariance in units of sigma^2.
  kNodeFactor,
  kNodeVariance,  // the mean squared distance of the centers from their mean
  // The sum of the node is at least the term of a center of weight 1 whose squared distance is that
  // of the mean plus this offset.
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

// The sums of log_sum_exp_isotropic for one tile. Skips nodes beyond the query's cutoff, and merges
// the centers of a node if its error is within the query's allowance. points: three extra values,
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

// Adds to the state of each row q the sum over components c of
// exp(-(|factor_c (q - center_c)|^2 + offset_c) / 2), in blocks of kBlock components. An empty
// state has a reference of -max. The products must not overflow.
template <typename T>
using FullLogSumExpKernel = void (*)(const T* points, int64_t tiles, const T* components,
                                     int64_t blocks, int64_t dim, T* state);

// With K_rc = factor_r 2^(-scale |r - c|^2 + exponent_r + exponent_c):
// row_sums[tile][1 + dim][lanes], the sums over columns of K |r - c|^2 and of K (r - c);
// column_sums[block][1 + dim][kBlock], the sums over rows of K and of K (r - c). row_sums or
// column_sums may be null. rows: two extra values, exponent_r and factor_r. columns: one,
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

// out[tile][lanes], the logarithms of the sums of log_sum_exp_isotropic; no sum is negative.
template <typename T>
using LogOfSumsKernel = void (*)(const T* state, int64_t tiles, double* out);

// Whether a value times the factor is NaN, or its size exceeds a quarter of the largest number.
template <typename T>
using AnyUnusualKernel = bool (*)(const T* values, int64_t count, T factor);

// Computes independent chains in registers from values[lanes], and stores their sum there; returns
// the number of values computed.
template <typename T>
using PeakKernel = int64_t (*)(int64_t steps, T* values);

template <typename T>
struct Kernels {
  int lanes;
  LogSumExpKernel<T> log_sum_exp_isotropic;
  PrunedLogSumExpKernel<T> pruned_log_sum_exp;
  FullLogSumExpKernel<T> log_sum_exp_full;
  SoftmaxGradientKernel<T> softmax_gradient;
  LogOfSumsKernel<T> log_of_sums;
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
