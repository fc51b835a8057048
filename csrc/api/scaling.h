// Scaling by powers of two, and the errors for bad sigmas, weights and coordinates.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "status.h"

namespace layerbits {

inline constexpr double kLog2E = 1.4426950408889634074;

// The power of two that scales the largest absolute value into [1/2, 1). Its exponent is limited;
// beyond the limit, values are scaled into [1, 4) or below 1/2. Squares of scaled differences do
// not overflow, and underflow only if they are negligible beside the square of the largest value.
template <typename T>
double scaling_power(double largest) {
  constexpr int kLimit = std::numeric_limits<T>::max_exponent - 2;
  int exponent = 0;
  std::frexp(largest, &exponent);
  return std::ldexp(1.0, -std::clamp(exponent, -kLimit, kLimit));
}

// sigma = fraction / power, with 1/2 <= fraction < 1 and power a power of two. Packed coordinates
// are multiplied by `power`, which adds no rounding error to coordinates that stay in the normal
// range, and the square of the scaled sigma neither over- nor underflows.
template <typename T>
struct Scaling {
  double sigma = 0, fraction = 0, power = 0;
  T exponent_scale = 0;  // log2(e) / (2 fraction^2)

  Status set(double value) {
    sigma = value;
    if (!(sigma > 0) || !std::isfinite(sigma))
      return Status::bad_value("sigma: got " + number_text(sigma) + ", wanted a finite number > 0");
    int exponent = 0;
    fraction = std::frexp(sigma, &exponent);
    const int limit = std::numeric_limits<T>::max_exponent - 3;
    if (exponent < -limit || exponent > limit)
      return Status::bad_value("sigma: got " + number_text(sigma) + ", wanted at least 2^-" +
                               std::to_string(limit + 1) + " and below 2^" + std::to_string(limit) +
                               " for the dtype of the arrays");
    power = std::ldexp(1.0, -exponent);
    exponent_scale = T(kLog2E / (2 * fraction * fraction));
    return {};
  }
};

inline Status bad_weight(double weight, int64_t index) {
  return Status::bad_value("weights: got " + number_text(weight) + " at index " +
                           std::to_string(index) + ", wanted finite numbers >= 0");
}

inline Status too_far_from_zero(const std::string& name) {
  return Status::bad_value(
      name +
      ": got a finite value too large relative to sigma, wanted |x| < sigma * max / 4 with max the "
      "largest number of the array's dtype; shift the data towards 0, or use float64");
}

}  // namespace layerbits
