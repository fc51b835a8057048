// The log-sum-exp over components with diagonal covariances.
#include "component_sum.h"

namespace layerbits {
namespace {

template <typename T>
struct DiagonalLayout {
  static constexpr char kRefusal[] =
      "whose differences from the centers may leave the range of the dtype";
  const DiagonalComponents<T>& components;
  const int64_t dim = components.centers.cols;

  int64_t size() const { return 1 + 2 * dim; }

  Extent factor(int64_t j) const {
    Extent factor;
    for (int64_t k = 0; k < dim; ++k) factor.add(components.factors(j, k));
    return factor;
  }

  T* offset(int64_t j, T* block) const { return block + j % kBlock; }

  void pack(int64_t j, T* block) const {
    T* out = offset(j, block) + kBlock;
    for (int64_t k = 0; k < dim; ++k, out += 2 * kBlock) {
      out[0] = components.centers(j, k);
      out[kBlock] = components.factors(j, k);
    }
  }

  // A product of finite numbers, and a sum of squares, may overflow to infinity, but not to NaN.
  bool in_range(double reach, double) const { return reach < std::numeric_limits<T>::max() / 2; }

  static auto kernel(const Kernels<T>& kernels) { return kernels.log_sum_exp_diagonal; }
};

}  // namespace

template <typename T>
Status log_sum_exp_diagonal(const Matrix<const T>& points, const DiagonalComponents<T>& components,
                            Vector<double> log_sum, Execution execution) {
  return component_log_sums(points, DiagonalLayout<T>{components}, log_sum, execution);
}

template Status log_sum_exp_diagonal(const Matrix<const float>&, const DiagonalComponents<float>&,
                                     Vector<double>, Execution);
template Status log_sum_exp_diagonal(const Matrix<const double>&, const DiagonalComponents<double>&,
                                     Vector<double>, Execution);

}  // namespace layerbits
