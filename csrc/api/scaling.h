// The scaling by a power of two that brings sigma into [1/2, 1) when rows are packed. The scaling
// adds no rounding error to coordinates that stay in the normal range, and the square of the scaled
// sigma neither over- nor underflows. Also makes the errors for bad sigmas, weights and
// coordinates.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "status.h"

namespace layerbits {

inline constexpr double kLog2E = 1.4426950408889634074;

// sigma = fraction / power, with 1/2 <= fraction < 1 and power a power of two.
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
