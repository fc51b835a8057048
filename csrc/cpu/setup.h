// What the verbs of mixture.h prepare alike: the choice of kernels, sigma and weights made ready.
#pragma once

#include "cpu_operations.h"
#include "dispatch.h"
#include "packing.h"

namespace layerbits {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <typename T>
const Kernels<T>& kernels_of(const KernelTable& table) {
  if constexpr (sizeof(T) == sizeof(float))
    return table.f32;
  else
    return table.f64;
}

// A thread more for every 2^17 operations: waking one costs about as much.
inline int worthwhile_threads(int threads, double pairs, int64_t dim) {
  return int(std::clamp(pairs * double(dim + 8) / (1 << 17), 1.0, double(std::max(threads, 1))));
}

// Kernels, scaling, the largest weight.
template <typename T>
struct Setup {
  const Mixture<T>& mixture;
  const KernelTable* table = nullptr;
  const Kernels<T>* kernels = nullptr;
  Scaling<T> scaling{};
  double largest_weight = 1;
  int threads = 1;

  Status prepare(const Execution& execution) {
    if (Status status = find_level(execution.level, table); !status.ok()) return status;
    if (Status status = scaling.set(mixture.sigma); !status.ok()) return status;
    if (Status status = check_weights(); !status.ok()) return status;
    kernels = &kernels_of<T>(*table);
    double pairs = 0;
    for (int64_t g = 0; g < mixture.point_groups.count(); ++g)
      pairs += double(mixture.point_groups.end(g) - mixture.point_groups.begin(g)) *
               double(mixture.center_groups.end(g) - mixture.center_groups.begin(g));
    threads = worthwhile_threads(execution.threads, pairs, mixture.points.cols);
    return {};
  }

  Status check_weights() {
    if (!mixture.weights || mixture.weights.size == 0) return {};
    double largest = 0;
    for (int64_t j = 0; j < mixture.weights.size; ++j) {
      const double weight = mixture.weights[j];
      if (!(weight >= 0) || std::isinf(weight)) return bad_weight(weight, j);
      largest = std::max(largest, weight);
    }
    if (largest == 0) return Status::bad_value("weights: got all 0, wanted a positive total");
    largest_weight = largest;
    return {};
  }

  // log2 of the weight beside the largest one: never positive. Their ratio itself might underflow.
  double exponent(int64_t center) const {
    if (!mixture.weights) return 0;
    int mine = 0, of_largest = 0;
    const double ratio = std::frexp(double(mixture.weights[center]), &mine) /
                         std::frexp(largest_weight, &of_largest);
    return std::log2(ratio) + (mine - of_largest);
  }

  // The same as an offset of squared distances.
  std::array<T, 1> offset(int64_t center) const { return {T(-exponent(center) / scaling.scale)}; }
};

}  // namespace layerbits
