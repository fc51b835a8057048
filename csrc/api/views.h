// Views of the caller's arrays. They own no memory; strides are in elements and may be zero or
// negative.
#pragma once

#include <cstdint>

namespace layerbits {

template <typename T>
struct Vector {
  T* data = nullptr;  // null: the argument is absent, or has no elements
  int64_t size = 0, stride = 1;

  T& operator[](int64_t i) const { return data[i * stride]; }
  explicit operator bool() const { return data != nullptr; }
};

template <typename T>
struct Matrix {
  T* data = nullptr;
  int64_t rows = 0, cols = 0, row_stride = 0, col_stride = 1;

  T& operator()(int64_t i, int64_t k) const { return data[i * row_stride + k * col_stride]; }
  explicit operator bool() const { return data != nullptr; }
};

// A stack of matrices of equal shape. The view holds no sizes: other arguments give them.
template <typename T>
struct Matrices {
  T* data = nullptr;
  int64_t stride = 0, row_stride = 0, col_stride = 1;

  T& operator()(int64_t j, int64_t i, int64_t k) const {
    return data[j * stride + i * row_stride + k * col_stride];
  }
};

// Rows [begin(g), end(g)) form group g; without offsets all rows are group 0.
struct Groups {
  Vector<const int64_t> offsets;
  int64_t rows = 0;

  int64_t count() const { return offsets ? offsets.size - 1 : 1; }
  int64_t begin(int64_t g) const { return offsets ? offsets[g] : 0; }
  int64_t end(int64_t g) const { return offsets ? offsets[g + 1] : rows; }
};

}  // namespace layerbits
