// Sums (high + low) 2^reference on their way to the kernel that takes their logarithms.
#pragma once

#include <vector>

#include "kernel_table.h"

namespace layerbits {

class Logarithms {
 public:
  explicit Logarithms(int64_t count) : count_(count), stride_(count + kMaxLanes) {
    values_.resize(size_t(4 * stride_), 1.0);
  }

  void set(int64_t i, double reference, double high, double low) {
    values_[i] = reference;
    values_[stride_ + i] = high;
    values_[2 * stride_ + i] = low;
  }

  // Sets `count` sums from i on out of a tile that a kernel left.
  template <typename T>
  void set_tile(int64_t i, const T* state, int lanes, int64_t count) {
    for (int64_t part = 0; part < 3; ++part)
      for (int64_t lane = 0; lane < count; ++lane)
        values_[part * stride_ + i + lane] = state[part * lanes + lane];
  }

  const double* evaluate(const KernelTable& table) {
    double* out = values_.data() + 3 * stride_;
    table.log_of_sums(values_.data(), values_.data() + stride_, values_.data() + 2 * stride_,
                      count_, out);
    return out;
  }

 private:
  int64_t count_, stride_;
  std::vector<double> values_;
};

}  // namespace layerbits
