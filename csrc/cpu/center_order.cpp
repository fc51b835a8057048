#include "center_order.h"

namespace layerbits {
namespace {

// A part of the order; split() halves a part of several leaves.
struct Part {
  int64_t first = 0, count = 0;
  int64_t inner = 0;  // index of the part's node among the inner nodes

  int64_t leaves() const { return divide_up(count, kLeafColumns); }
  // The number of centers in the first half of the leaves; kernel_table.h requires this rounding.
  int64_t half() const { return (leaves() + 1) / 2 * kLeafColumns; }
  Part first_half() const { return {first, half(), inner + 1}; }
  Part second_half() const {
    return {first + half(), count - half(), inner + half() / kLeafColumns};
  }
};

template <typename T>
struct Key {
  T value;
  uint32_t row;
};

template <typename T>
class Ordering {
 public:
  Ordering(const Matrix<const T>& rows, std::vector<uint32_t>& order, std::vector<Plane<T>>& planes)
      : rows_(rows), order_(order), planes_(planes), keys_(order.size()) {}

  Status run(int threads, Cancellation& cancellation) {
    std::vector<Part> parts = {{0, rows_.rows, 0}};
    while (int64_t(parts.size()) < 8 * threads && parts.front().leaves() > 1) {
      std::vector<Part> halves(2 * parts.size());
      Status status = parallel_for(threads, int64_t(parts.size()), cancellation, [&](int64_t i) {
        if (parts[i].leaves() <= 1) {
          halves[2 * i] = parts[i];
          return;
        }
        split(parts[i]);
        halves[2 * i] = parts[i].first_half();
        halves[2 * i + 1] = parts[i].second_half();
      });
      if (!status.ok()) return status;
      parts = std::move(halves);
    }
    return parallel_for(threads, int64_t(parts.size()), cancellation,
                        [&](int64_t i) { descend(parts[i], cancellation); });
  }

 private:
  static constexpr int64_t kSample = 24;

  void descend(const Part& part, Cancellation& cancellation) {
    if (part.leaves() <= 1 || cancellation.requested()) return;
    split(part);
    descend(part.first_half(), cancellation);
    descend(part.second_half(), cancellation);
  }

  void split(const Part& part) {
    const int64_t dim = find_widest_dim(part);
    Key<T>* keys = keys_.data() + part.first;
    uint32_t* order = order_.data() + part.first;
    for (int64_t i = 0; i < part.count; ++i) keys[i] = {rows_(order[i], dim), order[i]};
    Key<T>* const half = keys + part.half();
    std::nth_element(keys, half, keys + part.count,
                     [](const Key<T>& a, const Key<T>& b) { return a.value < b.value; });
    planes_[part.inner] = {dim, half->value};
    for (int64_t i = 0; i < part.count; ++i) order[i] = keys[i].row;
  }

  int64_t find_widest_dim(const Part& part) const {
    const uint32_t* order = order_.data() + part.first;
    const int64_t step = 1 + (part.count - 1) / kSample;
    int64_t widest_dim = 0;
    T width = -1;
    for (int64_t k = 0; k < rows_.cols; ++k) {
      T lower = rows_(order[0], k), upper = lower;
      for (int64_t i = step; i < part.count; i += step) {
        lower = std::min(lower, rows_(order[i], k));
        upper = std::max(upper, rows_(order[i], k));
      }
      if (upper - lower > width) width = upper - lower, widest_dim = k;
    }
    return widest_dim;
  }

  const Matrix<const T>& rows_;
  std::vector<uint32_t>& order_;
  std::vector<Plane<T>>& planes_;
  std::vector<Key<T>> keys_;
};

}  // namespace

template <typename T>
Status order_centers(const Matrix<const T>& centers, int threads, Cancellation& cancellation,
                     std::vector<uint32_t>& order, std::vector<Plane<T>>& planes) {
  order.resize(size_t(centers.rows));
  for (int64_t i = 0; i < centers.rows; ++i) order[i] = uint32_t(i);
  planes.resize(size_t(divide_up(centers.rows, kLeafColumns) - 1));
  return Ordering<T>(centers, order, planes).run(threads, cancellation);
}

template Status order_centers(const Matrix<const float>&, int, Cancellation&,
                              std::vector<uint32_t>&, std::vector<Plane<float>>&);
template Status order_centers(const Matrix<const double>&, int, Cancellation&,
                              std::vector<uint32_t>&, std::vector<Plane<double>>&);

}  // namespace layerbits
