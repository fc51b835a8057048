// The log-sum-exp of every point over components with diagonal covariances. A packed component is
// its offset and an unused value, then the coordinate of its center and the factor of each
// dimension.
#include "component_sums.h"

namespace layerbits::cuda {

// The dimensions of a partial sum, as on the CPU (cpu/simd/log_sum_exp_diagonal.h).
inline constexpr int kScaledPanel = 16;

struct DiagonalLayout {
  static constexpr char kRefusal[] =
      "whose differences from the centers may leave the range of the dtype";

  static __host__ __device__ int64_t component_values(int64_t dim) { return 2 + 2 * dim; }

  template <typename T>
  static __device__ Extent factor_row(const DiagonalComponents<T>& components, int64_t j,
                                      int64_t k) {
    Extent factor;
    factor.add(value_at(components.factors, j, k));
    return factor;
  }

  template <typename T>
  static __device__ void pack_row(const DiagonalComponents<T>& components, int64_t j, int64_t k,
                                  T* component) {
    component[2 + 2 * k] = value_at(components.centers, j, k);
    component[3 + 2 * k] = value_at(components.factors, j, k);
  }

  template <typename T>
  static __device__ __forceinline__ void add_component(const ComponentProblem<T>& problem,
                                                       const T* points, const T* component,
                                                       int lane, RunningSum<T> (&sums)[kPoints]) {
    T distance[kPoints];
#pragma unroll
    for (int i = 0; i < kPoints; ++i) distance[i] = component[0];
    bool any_term = component[0] <= Range<T>::kLargest;
    for (int64_t first = 0; first < problem.dim && any_term; first += kScaledPanel) {
      const int64_t last = first + kScaledPanel < problem.dim ? first + kScaledPanel : problem.dim;
      T partial[kPoints];
#pragma unroll
      for (int i = 0; i < kPoints; ++i) partial[i] = first > 0 ? T(0) : distance[i];
      for (int64_t k = first; k < last; ++k) {
        T value[kPoints], center_and_factor[2];
        load_row<T, kPoints, kLanes>(points + k * kTile, lane, value);
        load_row<T, 2, 1>(component + 2 + 2 * k, 0, center_and_factor);
#pragma unroll
        for (int i = 0; i < kPoints; ++i) {
          const T scaled = (value[i] - center_and_factor[0]) * center_and_factor[1];
          partial[i] = multiply_add(scaled, scaled, partial[i]);
        }
      }
      any_term = false;
#pragma unroll
      for (int i = 0; i < kPoints; ++i) {
        distance[i] = first > 0 ? distance[i] + partial[i] : partial[i];
        any_term |= !(distance[i] > sums[i].ignore_above);
      }
    }
    if (!any_term) return;
#pragma unroll
    for (int i = 0; i < kPoints; ++i) sums[i].add_distance(distance[i], problem.scale);
  }

  // A product of finite numbers, and a sum of squares, may overflow to infinity, but not to NaN.
  template <typename T>
  static __host__ __device__ bool in_range(const ComponentChecks& checks, int64_t) {
    return checks.reach() < Range<T>::kLargest / 2;
  }

 private:
  template <typename T>
  static __device__ T value_at(const Matrix<const T>& matrix, int64_t row, int64_t col) {
    return matrix.data[row * matrix.row_stride + col * matrix.col_stride];
  }
};

template <typename T>
Status log_sum_exp_diagonal(const Matrix<const T>& points, const DiagonalComponents<T>& components,
                            Vector<double> log_sum, const Stream& stream) {
  return component_log_sums<DiagonalLayout>(points, components, log_sum, stream);
}

template Status log_sum_exp_diagonal(const Matrix<const float>&, const DiagonalComponents<float>&,
                                     Vector<double>, const Stream&);
template Status log_sum_exp_diagonal(const Matrix<const double>&, const DiagonalComponents<double>&,
                                     Vector<double>, const Stream&);

}  // namespace layerbits::cuda
