// The preparation that the log-sum-exp and its gradient share: find the kernels of the ISA level,
// check and scale sigma, check the weights, choose the number of threads.
#pragma once

#include "cpu_operations.h"
#include "dispatch.h"
#include "packing.h"

namespace layerbits {

template <typename T>
struct MixtureProblem {
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

  // log2 of the weight over the largest weight: never positive. The ratio itself might underflow.
  double exponent(int64_t center) const {
    return mixture.weights ? exponent_of(double(mixture.weights[center])) : 0;
  }
  double exponent_of(double weight) const {
    int weight_exponent = 0, largest_exponent = 0;
    const double ratio =
        std::frexp(weight, &weight_exponent) / std::frexp(largest_weight, &largest_exponent);
    return std::log2(ratio) + (weight_exponent - largest_exponent);
  }

  // The weight as an offset of squared distances.
  std::array<T, 1> offset(int64_t center) const {
    return {T(-exponent(center) / scaling.exponent_scale)};
  }
  T offset_of(double weight) const { return T(-exponent_of(weight) / scaling.exponent_scale); }
};

}  // namespace layerbits
