// The log-sum-exp over components with full covariances.
#include "component_sum.h"

namespace layerbits {
namespace {

template <typename T>
struct FullLayout {
  static constexpr char kRefusal[] =
      "whose products with the factors may leave the range of the dtype";
  const Components<T>& components;
  const int64_t dim = components.centers.cols;

  int64_t size() const { return component_size(dim); }

  Extent factor(int64_t j) const {
    Extent factor;
    for (int64_t r = 0; r < dim; ++r)
      for (int64_t k = 0; k <= r; ++k) factor.add(components.factors(j, r, k));
    return factor;
  }

  T* offset(int64_t j, T* block) const { return block + j % kBlock * size(); }

  void pack(int64_t j, T* block) const {
    T* out = offset(j, block) + 1;
    for (int64_t first = 0, last = (dim - 1) % kFactorRows + 1; first < dim;
         first = last, last += kFactorRows)
      for (int64_t k = 0; k < last; ++k) {
        *out++ = components.centers(j, k);
        for (int64_t r = std::max(first, k); r < last; ++r) *out++ = components.factors(j, r, k);
      }
  }

  // Below this limit no sum of products overflows, so infinity is never subtracted from infinity.
  bool in_range(double reach, double largest_factor) const {
    const double limit = std::numeric_limits<T>::max() / 2;
    return reach < limit && reach * largest_factor * double(dim) < limit;
  }

  static auto kernel(const Kernels<T>& kernels) { return kernels.log_sum_exp_full; }
};

}  // namespace

template <typename T>
Status log_sum_exp_full(const Matrix<const T>& points, const Components<T>& components,
                        Vector<double> log_sum, Execution execution) {
  return component_log_sums(points, FullLayout<T>{components}, log_sum, execution);
}

template Status log_sum_exp_full(const Matrix<const float>&, const Components<float>&,
                                 Vector<double>, Execution);
template Status log_sum_exp_full(const Matrix<const double>&, const Components<double>&,
                                 Vector<double>, Execution);

}  // namespace layerbits
