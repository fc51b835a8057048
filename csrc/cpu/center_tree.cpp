#include "center_tree.h"

#include <cmath>

namespace layerbits {
namespace {

double square(double x) { return x * x; }

// In an order that compilers can vectorize.
double sum_of(const std::array<double, kLeafColumns>& terms) {
  std::array<double, kBlock> partial{};
  for (int64_t i = 0; i < kLeafColumns; i += kBlock)
    for (int64_t j = 0; j < kBlock; ++j) partial[j] += terms[i + j];
  double sum = 0;
  for (const double x : partial) sum += x;
  return sum;
}

// Are all coordinates finite, and small enough beside sigma? Others have no order, or no box.
template <typename T>
bool all_usual(const Setup<T>& setup) {
  const Matrix<const T>& rows = setup.mixture.centers;
  const double power = setup.scaling.power;
  if (are_usual(*setup.kernels, rows, 0, rows.rows, power)) return true;
  bool usual = true;
  for (int64_t i = 0; i < rows.rows; ++i)
    for (int64_t k = 0; k < rows.cols; ++k)
      usual &= std::abs(rows(i, k) * T(power)) <= std::numeric_limits<T>::max() / 4;
  return usual;
}

// Has a center less than 2^-1022 of the largest weight? Moments would lose it.
template <typename T>
bool any_weight_underflows(const Setup<T>& setup) {
  const Vector<const T>& weights = setup.mixture.weights;
  for (int64_t j = 0; weights && j < weights.size; ++j)
    if (weights[j] > 0 && weights[j] / setup.largest_weight < std::numeric_limits<double>::min())
      return true;
  return false;
}

}  // namespace

// Weight, mean and weighted sum of squared distances from it, of the centers of a node; and their
// scatter, the sums of products for k <= l, where it is of use: it is empty in more than
// kMomentDims dimensions, and where the centers are far apart.
template <typename T>
struct PackedTree<T>::Moments {
  double weight = 0, spread = 0;
  std::vector<double> mean, scatter;

  explicit Moments(int64_t dim = 0)
      : mean(size_t(dim)), scatter(size_t(dim <= kMomentDims ? dim * (dim + 1) / 2 : 0)) {}

  // The mean of equal centers is theirs to the bit, and their spread 0.
  void add(const Moments& other) {
    if (other.weight == 0) return;
    if (weight == 0) {
      *this = other;
      return;
    }
    const double share = other.weight / (weight + other.weight);
    std::vector<double> apart(mean.size());
    for (size_t k = 0; k < mean.size(); ++k) apart[k] = other.mean[k] - mean[k];
    spread += other.spread;
    for (const double x : apart) spread += weight * share * x * x;
    if (other.scatter.empty()) scatter.clear();
    for (size_t k = 0, i = 0; i < scatter.size(); ++k)
      for (size_t l = k; l < mean.size(); ++l, ++i)
        scatter[i] += other.scatter[i] + weight * share * apart[k] * apart[l];
    for (size_t k = 0; k < mean.size(); ++k) mean[k] += share * apart[k];
    weight += other.weight;
  }
};

template <typename T>
Status PackedTree<T>::build(const Setup<T>& setup, Cancellation& cancellation) {
  const Matrix<const T>& centers = setup.mixture.centers;
  usable_ = all_usual(setup) && !any_weight_underflows(setup);
  if (!usable_) return {};
  dim_ = centers.cols;
  count_ = centers.rows;
  blocks_ = divide_up(count_, kBlock);
  leaves_ = divide_up(count_, kLeafColumns);
  centers_ = std::make_unique_for_overwrite<T[]>(size_t(blocks_ * kBlock * (1 + dim_)));
  nodes_.resize(size_t((2 * leaves_ - 1) * node_size(dim_)));

  std::vector<uint32_t> order;
  Status status = order_centers(centers, setup.threads, cancellation, order, planes_);
  if (!status.ok()) return status;
  power_ = T(setup.scaling.power);
  std::vector<Moments> moments(static_cast<size_t>(leaves_), Moments(dim_));
  constexpr int64_t kGrain = 64;
  status = parallel_for(setup.threads, divide_up(leaves_, kGrain), cancellation, [&](int64_t item) {
    for (int64_t leaf = item * kGrain; leaf < std::min(leaves_, (item + 1) * kGrain); ++leaf) {
      pack_leaf(leaf, setup, order);
      finish_leaf(leaf, setup, moments[leaf]);
    }
  });
  if (!status.ok()) return status;
  nearby_ = T(16 * square(setup.scaling.fraction));
  total_weight_ = finish_below(nodes_.data(), 0, leaves_, setup, moments).weight;
  return {};
}

template <typename T>
void PackedTree<T>::pack_leaf(int64_t leaf, const Setup<T>& setup,
                              const std::vector<uint32_t>& order) {
  const int64_t first = leaf * kLeafColumns;
  const auto row_of = [&](int64_t i) { return order[first + i]; };
  pack_rows<NotFinite::kKeep>(
      *setup.kernels, setup.mixture.centers, row_of, std::min(kLeafColumns, count_ - first), kBlock,
      setup.scaling.power, std::array<T, 1>{T(kInfinity)},
      [&](int64_t j) { return setup.offset(j); }, centers_.get() + first * (1 + dim_));
}

// Box and moments of a leaf.
template <typename T>
void PackedTree<T>::finish_leaf(int64_t leaf, const Setup<T>& setup, Moments& moments) {
  T* node = nodes_.data();
  for (int64_t first = 0, leaves = leaves_; leaves > 1;) {
    const int64_t half = (leaves + 1) / 2;
    const bool second = leaf - first >= half;
    node += (second ? 2 * half : 1) * node_size(dim_);
    if (second) first += half;
    leaves = second ? leaves - half : half;
  }
  T* sides = node + kNodeExtras;
  const int64_t first_center = leaf * kLeafColumns;
  const int64_t count = std::min(kLeafColumns, count_ - first_center);
  const T* blocks = centers_.get() + first_center * (1 + dim_);
  std::array<double, kLeafColumns> weights{};
  for (int64_t i = 0; i < count; ++i) {
    const double offset = blocks[i / kBlock * kBlock * (1 + dim_) + i % kBlock];
    weights[i] = setup.mixture.weights ? std::exp2(-setup.scaling.scale * offset) : 1.0;
    moments.weight += weights[i];
  }
  // About the first center, so that equal centers have their own mean to the bit, and no spread.
  std::vector<std::array<double, kLeafColumns>> apart(static_cast<size_t>(dim_));
  std::array<double, kLeafColumns> terms;
  const double total = moments.weight > 0 ? moments.weight : 1;
  for (int64_t k = 0; k < dim_; ++k) {
    const double origin = blocks[(1 + k) * kBlock];
    T low = T(origin), high = low;
    for (int64_t i = 0; i < kLeafColumns; ++i) {
      const T x = i < count ? blocks[(i / kBlock * (1 + dim_) + 1 + k) * kBlock + i % kBlock] : low;
      low = std::min(low, x);
      high = std::max(high, x);
      apart[k][i] = x - origin;
    }
    sides[kNodeSides * k] = low;
    sides[kNodeSides * k + 1] = high;
    for (int64_t i = 0; i < kLeafColumns; ++i) terms[i] = weights[i] * apart[k][i];
    const double shift = sum_of(terms) / total;
    moments.mean[k] = origin + shift;
    for (int64_t i = 0; i < kLeafColumns; ++i) apart[k][i] -= shift;
    for (int64_t i = 0; i < kLeafColumns; ++i) terms[i] = weights[i] * apart[k][i] * apart[k][i];
    moments.spread += sum_of(terms);
  }
  if (!(moments.spread < total * square(setup.scaling.fraction))) moments.scatter.clear();
  for (size_t k = 0, s = 0; s < moments.scatter.size(); ++k)
    for (size_t l = k; l < apart.size(); ++l, ++s) {
      for (int64_t i = 0; i < kLeafColumns; ++i) terms[i] = weights[i] * apart[k][i] * apart[l][i];
      moments.scatter[s] = sum_of(terms);
    }
  take_as_one(node, setup, moments);
}

// Taking centers as one at their mean changes their sum, per unit of weight and with distances in
// sigmas, by at most half of their mean squared distance from it: the first order of a Taylor
// series vanishes, and no second derivative of exp(-|u|^2/2) exceeds 1. With the second order taken
// in, by at most 1.381/6 of that times the largest distance: no third derivative exceeds 1.381, at
// t^2 = 3 - sqrt 6. What rounding moves the mean by counts with the largest slope, exp(-1/2).
template <typename T>
void PackedTree<T>::take_as_one(T* node, const Setup<T>& setup, const Moments& moments) {
  const double sigma = setup.scaling.fraction, variance = sigma * sigma;
  const double total = moments.weight > 0 ? moments.weight : 1;
  double largest = 0, length = 0;
  T* sides = node + kNodeExtras;
  for (int64_t k = 0; k < dim_; ++k, sides += kNodeSides) {
    const double mean = moments.mean[k];
    sides[2] = T(mean);
    sides[3] = T(mean - sides[2]);
    const double reach = std::max(sides[1] - mean, mean - sides[0]);
    largest += reach * reach;
    length += mean * mean;
  }
  const double half_trace = moments.spread / total / (2 * variance);
  const double second_order = 1.381 / 3 * half_trace * std::sqrt(largest) / sigma;
  const bool with_moments =
      !moments.scatter.empty() && second_order < half_trace && half_trace < 0.5;
  const double moved = 16 * std::numeric_limits<double>::epsilon() * std::sqrt(length) / sigma;
  const double error = (with_moments ? second_order : half_trace) + std::exp(-0.5) * moved;
  node[0] = half_trace == 0 ? T(0) : std::isfinite(error) ? T(error * (1 + 0x1p-20)) : T(kInfinity);
  // A weight over 1 is a factor: as an offset its logarithm would have to be rounded to T.
  const double offset = -std::log2(moments.weight) / setup.scaling.scale;
  const double factor = std::max(moments.weight, 1.0);
  node[1] = T(std::max(offset, 0.0));
  node[2] = T(factor * (with_moments ? 1 - half_trace : 1));
  node[3] = T(moments.spread / total);
  node[4] = T(offset + moments.spread / total);
  std::fill(sides, node + node_size(dim_), T(0));
  if (!with_moments) return;
  for (int64_t k = 0, i = 0; k < dim_; ++k)
    for (int64_t l = k; l < dim_; ++l, ++i)
      sides[i] = T((k == l ? 1 : 2) * factor * moments.scatter[i] / total / (2 * square(variance)));
}

// Fills in the inner nodes of a subtree, after its leaves.
template <typename T>
typename PackedTree<T>::Moments PackedTree<T>::finish_below(T* node, int64_t first, int64_t leaves,
                                                            const Setup<T>& setup,
                                                            const std::vector<Moments>& of_leaves) {
  if (leaves == 1) return of_leaves[first];
  const int64_t half = (leaves + 1) / 2;
  T* a = node + node_size(dim_);
  T* b = node + 2 * half * node_size(dim_);
  Moments moments = finish_below(a, first, half, setup, of_leaves);
  moments.add(finish_below(b, first + half, leaves - half, setup, of_leaves));
  for (int64_t k = kNodeExtras; k < kNodeExtras + kNodeSides * dim_; k += kNodeSides) {
    node[k] = std::min(a[k], b[k]);
    node[k + 1] = std::max(a[k + 1], b[k + 1]);
  }
  take_as_one(node, setup, moments);
  return moments;
}

template <typename T>
typename PackedTree<T>::Place PackedTree<T>::place(const T* query) const {
  const T* node = nodes_.data();
  const Plane<T>* plane = planes_.data();
  int64_t first = 0, leaves = leaves_;
  T bound = T(kInfinity);
  for (;;) {
    // By Jensen's inequality the centers of a node weigh as much as all of them would at the mean
    // of their squared distances, which is that of their mean and their variance.
    if (leaves == leaves_ || node[3] < nearby_)
      bound = std::min(bound, distance_to_mean(node, query) + node[4]);
    if (leaves == 1) break;
    const int64_t half = (leaves + 1) / 2;
    const bool second = query[plane->dim] > plane->value * power_;
    node += (second ? 2 * half : 1) * node_size(dim_);
    plane += second ? half : 1;
    if (second) first += half;
    leaves = second ? leaves - half : half;
  }
  const int64_t end = std::min((first + 1) * int64_t(kLeafBlocks), blocks_);
  for (int64_t b = first * kLeafBlocks; b < end; ++b) {
    const T* block = centers_.get() + b * kBlock * (1 + dim_);
    T distance[kBlock];
    for (int j = 0; j < kBlock; ++j) distance[j] = block[j];
    for (int64_t k = 0; k < dim_; ++k)
      for (int j = 0; j < kBlock; ++j) {
        const T difference = query[k] - block[(1 + k) * kBlock + j];
        distance[j] += difference * difference;
      }
    for (int j = 0; j < kBlock; ++j) bound = std::min(bound, distance[j]);
  }
  return {first, bound};
}

template <typename T>
T PackedTree<T>::distance_to_mean(const T* node, const T* query) const {
  T distance = 0;
  for (int64_t k = 0; k < dim_; ++k) {
    const T* sides = node + kNodeExtras + kNodeSides * k;
    const T difference = query[k] - sides[2] - sides[3];
    distance += difference * difference;
  }
  return distance;
}

template <typename T>
double PackedTree<T>::centers_taken(const T* query, T cutoff, T allowance) const {
  struct Waiting {
    const T* node;
    int64_t leaves;
  };
  std::vector<Waiting> waiting = {{nodes_.data(), leaves_}};
  double taken = 0;
  while (!waiting.empty()) {
    const Waiting at = waiting.back();
    waiting.pop_back();
    T distance = 0;
    for (int64_t k = 0; k < dim_; ++k) {
      const T* sides = at.node + kNodeExtras + kNodeSides * k;
      const T outside = std::max(std::max(sides[0] - query[k], query[k] - sides[1]), T(0));
      distance += outside * outside;
    }
    taken += 1;  // a look at a node costs about as much as a center
    if (!(distance < cutoff) || at.node[0] <= allowance) continue;
    if (at.leaves == 1) {
      taken += kLeafColumns;
      continue;
    }
    const int64_t half = (at.leaves + 1) / 2;
    waiting.push_back({at.node + 2 * half * node_size(dim_), at.leaves - half});
    waiting.push_back({at.node + node_size(dim_), half});
  }
  return taken;
}

template class PackedTree<float>;
template class PackedTree<double>;

}  // namespace layerbits
