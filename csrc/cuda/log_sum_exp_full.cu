// The log-sum-exp of every point over components with full covariances. A triangular factor is read
// in bands of kBandRows rows.
#include "component_sums.h"

namespace layerbits::cuda {

inline constexpr int kBandRows = 4;

// A packed component is its offset and its center, then its triangular factor in bands of kBandRows
// rows; a band has the columns up to its last row. If kBandRows does not divide d, the first band
// begins with rows of zeros.
__host__ __device__ inline int64_t head_size(int64_t dim) { return (1 + dim + 3) / 4 * 4; }
__host__ __device__ inline int64_t first_band_columns(int64_t dim) {
  return (dim - 1) % kBandRows + 1;
}
// Returns the number of columns of all bands before the band that ends at row `last`, exclusive.
__host__ __device__ inline int64_t columns_before(int64_t dim, int64_t last) {
  const int64_t first = first_band_columns(dim), bands = (last - first) / kBandRows;
  return bands * first + kBandRows * bands * (bands - 1) / 2;
}

struct FullLayout {
  static constexpr char kRefusal[] =
      "whose products with the factors may leave the range of the dtype";

  static __host__ __device__ int64_t component_values(int64_t dim) {
    return head_size(dim) + kBandRows * columns_before(dim, dim + kBandRows);
  }

  template <typename T>
  static __device__ Extent factor_row(const Components<T>& components, int64_t j, int64_t r) {
    Extent factor;
    const T* row =
        components.factors.data + j * components.factors.stride + r * components.factors.row_stride;
    for (int64_t k = 0; k <= r; ++k) factor.add(row[k * components.factors.col_stride]);
    return factor;
  }

  template <typename T>
  static __device__ void pack_row(const Components<T>& components, int64_t j, int64_t r,
                                  T* component) {
    const Matrix<const T> rows = components.centers;
    const int64_t dim = rows.cols, first = first_band_columns(dim);
    component[1 + r] = rows.data[j * rows.row_stride + r * rows.col_stride];
    const int64_t last = r < first ? first : first + ((r - first) / kBandRows + 1) * kBandRows;
    T* column = component + head_size(dim) + kBandRows * columns_before(dim, last) +
                (r - (last - kBandRows));
    const T* row =
        components.factors.data + j * components.factors.stride + r * components.factors.row_stride;
    for (int64_t k = 0; k <= r; ++k) column[k * kBandRows] = row[k * components.factors.col_stride];
  }

  template <typename T>
  static __device__ __forceinline__ void add_component(const ComponentProblem<T>& problem,
                                                       const T* points, const T* component,
                                                       int lane, RunningSum<T> (&sums)[kPoints]) {
    const T* column = component + head_size(problem.dim);
    T distance[kPoints];
#pragma unroll
    for (int i = 0; i < kPoints; ++i) distance[i] = component[0];
    bool any_term = component[0] <= Range<T>::kLargest;
    for (int64_t last = first_band_columns(problem.dim); last <= problem.dim && any_term;
         last += kBandRows) {
      T product[kBandRows][kPoints] = {};
      for (int64_t k = 0; k < last; ++k, column += kBandRows) {
        const T center = component[1 + k];
        T difference[kPoints], factor[kBandRows];
        load_row<T, kPoints, kLanes>(points + k * kTile, lane, difference);
        load_row<T, kBandRows, 1>(column, 0, factor);
#pragma unroll
        for (int i = 0; i < kPoints; ++i) difference[i] = difference[i] - center;
#pragma unroll
        for (int r = 0; r < kBandRows; ++r)
#pragma unroll
          for (int i = 0; i < kPoints; ++i)
            product[r][i] = multiply_add(factor[r], difference[i], product[r][i]);
      }
      any_term = false;
#pragma unroll
      for (int i = 0; i < kPoints; ++i) {
#pragma unroll
        for (int r = 0; r < kBandRows; ++r)
          distance[i] = multiply_add(product[r][i], product[r][i], distance[i]);
        any_term |= !(distance[i] > sums[i].ignore_above);
      }
    }
    if (!any_term) return;
#pragma unroll
    for (int i = 0; i < kPoints; ++i) sums[i].add_distance(distance[i], problem.scale);
  }

  template <typename T>
  static __host__ __device__ bool in_range(const ComponentChecks& checks, int64_t dim) {
    const double limit = Range<T>::kLargest / 2;
    return checks.reach() < limit &&
           checks.reach() * double_of(checks.largest_factor) * double(dim) < limit;
  }
};

template <typename T>
Status log_sum_exp_full(const Matrix<const T>& points, const Components<T>& components,
                        Vector<double> log_sum, const Stream& stream) {
  return component_log_sums<FullLayout>(points, components, log_sum, stream);
}

template Status log_sum_exp_full(const Matrix<const float>&, const Components<float>&,
                                 Vector<double>, const Stream&);
template Status log_sum_exp_full(const Matrix<const double>&, const Components<double>&,
                                 Vector<double>, const Stream&);

}  // namespace layerbits::cuda
