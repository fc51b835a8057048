#include "center_tree.h"

#include <cmath>

namespace layerbits {
namespace {

double square(double x) { return x * x; }

// Returns the sum of terms, in an order that compilers can vectorize.
double sum_of(const std::array<double, kLeafColumns>& terms) {
  std::array<double, kBlock> partial{};
  for (int64_t i = 0; i < kLeafColumns; i += kBlock)
    for (int64_t j = 0; j < kBlock; ++j) partial[j] += terms[i + j];
  double sum = 0;
  for (const double x : partial) sum += x;
  return sum;
}

// Returns whether all coordinates are finite and small enough relative to sigma, as the order and
// the boxes of the tree require.
template <typename T>
bool are_all_usual(const MixtureProblem<T>& problem) {
  const Matrix<const T>& rows = problem.mixture.centers;
  const double power = problem.scaling.power;
  if (are_usual(*problem.kernels, rows, 0, rows.rows, power)) return true;
  bool usual = true;
  for (int64_t i = 0; i < rows.rows; ++i)
    for (int64_t k = 0; k < rows.cols; ++k)
      usual &= std::abs(rows(i, k) * T(power)) <= std::numeric_limits<T>::max() / 4;
  return usual;
}

// Returns whether a positive weight is below 2^-1022 of the largest weight, too small for moments.
template <typename T>
bool any_weight_underflows(const MixtureProblem<T>& problem) {
  const Vector<const T>& weights = problem.mixture.weights;
  for (int64_t j = 0; weights && j < weights.size; ++j)
    if (weights[j] > 0 && weights[j] / problem.largest_weight < std::numeric_limits<double>::min())
      return true;
  return false;
}

}  // namespace

template <typename T>
Status PackedTree<T>::build(const MixtureProblem<T>& problem, Cancellation& cancellation) {
  const Matrix<const T>& centers = problem.mixture.centers;
  usable_ = are_all_usual(problem) && !any_weight_underflows(problem);
  if (!usable_) return {};
  dim_ = centers.cols;
  count_ = centers.rows;
  blocks_ = divide_up(count_, kBlock);
  leaves_ = divide_up(count_, kLeafColumns);
  centers_ = std::make_unique_for_overwrite<T[]>(size_t(blocks_ * kBlock * (1 + dim_)));
  nodes_.resize(size_t((2 * leaves_ - 1) * node_size(dim_)));

  std::vector<uint32_t> order;
  Status status = order_centers(centers, problem.threads, cancellation, order, planes_);
  if (!status.ok()) return status;
  power_ = T(problem.scaling.power);
  std::vector<NodeMoments> moments(static_cast<size_t>(leaves_), NodeMoments(dim_));
  constexpr int64_t kGrain = 64;
  status =
      parallel_for(problem.threads, divide_up(leaves_, kGrain), cancellation, [&](int64_t item) {
        for (int64_t leaf = item * kGrain; leaf < std::min(leaves_, (item + 1) * kGrain); ++leaf) {
          pack_leaf(leaf, problem, order);
          finish_leaf(leaf, problem, moments[leaf]);
        }
      });
  if (!status.ok()) return status;
  bounding_variance_ = T(16 * square(problem.scaling.fraction));
  total_weight_ = finish_inner_nodes(nodes_.data(), 0, leaves_, problem, moments).weight;
  return {};
}

template <typename T>
void PackedTree<T>::pack_leaf(int64_t leaf, const MixtureProblem<T>& problem,
                              const std::vector<uint32_t>& order) {
  const int64_t first = leaf * kLeafColumns;
  const auto row_of = [&](int64_t i) { return order[first + i]; };
  const Packer<NotFinite::kKeep, T, 1> packer{
      *problem.kernels, problem.mixture.centers, kBlock, problem.scaling.power, {T(kInfinity)}};
  packer.pack_selected(
      row_of, std::min(kLeafColumns, count_ - first), [&](int64_t j) { return problem.offset(j); },
      centers_.get() + first * (1 + dim_));
}

// Computes box, moments and merged center of a leaf.
template <typename T>
void PackedTree<T>::finish_leaf(int64_t leaf, const MixtureProblem<T>& problem,
                                NodeMoments& moments) {
  T* node = nodes_.data();
  for (int64_t first = 0, leaves = leaves_; leaves > 1;) {
    const int64_t half = (leaves + 1) / 2;
    const bool in_second_half = leaf - first >= half;
    node += (in_second_half ? 2 * half : 1) * node_size(dim_);
    if (in_second_half) first += half;
    leaves = in_second_half ? leaves - half : half;
  }
  T* sides = node + kNodeExtras;
  const int64_t first_center = leaf * kLeafColumns;
  const int64_t count = std::min(kLeafColumns, count_ - first_center);
  const T* blocks = centers_.get() + first_center * (1 + dim_);
  std::array<double, kLeafColumns> weights{};
  for (int64_t i = 0; i < count; ++i) {
    const double offset = blocks[i / kBlock * kBlock * (1 + dim_) + i % kBlock];
    weights[i] =
        problem.mixture.weights ? std::exp2(-problem.scaling.exponent_scale * offset) : 1.0;
    moments.weight += weights[i];
  }
  // Differences from a center, so that equal centers have an exact mean and no spread. The heaviest
  // center is at most sqrt(kLeafColumns - 1) standard deviations from the mean, a light one at any
  // distance.
  const int64_t heaviest = std::max_element(weights.begin(), weights.end()) - weights.begin();
  const auto coordinate = [&](int64_t i, int64_t k) {
    return blocks[(i / kBlock * (1 + dim_) + 1 + k) * kBlock + i % kBlock];
  };
  std::vector<std::array<double, kLeafColumns>> differences(static_cast<size_t>(dim_));
  std::array<double, kLeafColumns> terms;
  const double total = moments.weight > 0 ? moments.weight : 1;
  for (int64_t k = 0; k < dim_; ++k) {
    const double origin = coordinate(heaviest, k);
    T lower = T(origin), upper = lower;
    for (int64_t i = 0; i < kLeafColumns; ++i) {
      const T x = i < count ? coordinate(i, k) : lower;
      lower = std::min(lower, x);
      upper = std::max(upper, x);
      differences[k][i] = x - origin;
    }
    sides[kNodeSides * k + kSideLower] = lower;
    sides[kNodeSides * k + kSideUpper] = upper;
    for (int64_t i = 0; i < kLeafColumns; ++i) terms[i] = weights[i] * differences[k][i];
    const double shift = sum_of(terms) / total;
    moments.mean[k] = origin + shift;
    for (int64_t i = 0; i < kLeafColumns; ++i) differences[k][i] -= shift;
    for (int64_t i = 0; i < kLeafColumns; ++i)
      terms[i] = weights[i] * differences[k][i] * differences[k][i];
    moments.spread += sum_of(terms);
  }
  if (!(moments.spread < total * square(problem.scaling.fraction))) moments.scatter.clear();
  for (size_t k = 0, s = 0; s < moments.scatter.size(); ++k)
    for (size_t l = k; l < differences.size(); ++l, ++s) {
      for (int64_t i = 0; i < kLeafColumns; ++i)
        terms[i] = weights[i] * differences[k][i] * differences[l][i];
      moments.scatter[s] = sum_of(terms);
    }
  set_merged_center(node, problem, moments);
}

// The replacement of centers by one center at their mean changes their sum, per unit of weight and
// with distances in units of sigma, by at most half of their mean squared distance from the mean:
// the first order of a Taylor series vanishes, and no second derivative of exp(-|u|^2/2) exceeds 1.
// With the second order included, the change is at most 1.381/6 of the mean squared distance times
// the largest distance: no third derivative exceeds 1.381, the largest one of exp(-t^2/2), at
// t^2 = 3 - sqrt 6.
//
// The rounding error of the mean m is multiplied by the largest slope, exp(-1/2). Let s be the root
// of the mean squared distance from m. A leaf adds to its heaviest center a mean difference of at
// most sqrt(31) s, the mean of distances of at most sqrt(32) s, with fewer than 45 roundings of
// eps / 2. At most 27 inner nodes follow: each adds at most s to the mean of its heavier child,
// with 4 roundings, and rounds a mean and a weight. On average over the nodes of a level, means are
// at most |m| + s. So m is wrong by at most (14 |m| + 206 s) eps, its two parts of type float by 16
// |m| eps more. The errors of the means of children change s^2 by at most 83 |m| s eps.
template <typename T>
void PackedTree<T>::set_merged_center(T* node, const MixtureProblem<T>& problem,
                                      const NodeMoments& moments) {
  const double sigma = problem.scaling.fraction, variance = sigma * sigma;
  const double total = moments.weight > 0 ? moments.weight : 1;
  double largest_square = 0, mean_square = 0;
  T* sides = node + kNodeExtras;
  for (int64_t k = 0; k < dim_; ++k, sides += kNodeSides) {
    const double mean = moments.mean[k];
    sides[kSideMean] = T(mean);
    sides[kSideMeanError] = T(mean - sides[kSideMean]);
    const double reach = std::max(sides[kSideUpper] - mean, mean - sides[kSideLower]);
    largest_square += reach * reach;
    mean_square += mean * mean;
  }
  const double half_trace = moments.spread / total / (2 * variance);
  const double second_order = 1.381 / 3 * half_trace * std::sqrt(largest_square) / sigma;
  const bool uses_moments =
      !moments.scatter.empty() && second_order < half_trace && half_trace < 0.5;
  const double deviation = std::sqrt(2 * half_trace);
  const double mean_error = std::numeric_limits<double>::epsilon() *
                            (32 * std::sqrt(mean_square) / sigma + 256 * deviation);
  const double error =
      (uses_moments ? second_order : half_trace) + (std::exp(-0.5) + 2 * deviation) * mean_error;
  node[kNodeError] = half_trace == 0        ? T(0)
                     : std::isfinite(error) ? T(error * (1 + 0x1p-20))
                                            : T(kInfinity);
  // A weight above 1 is a factor: as an offset its logarithm would be rounded to T.
  const double offset = -std::log2(moments.weight) / problem.scaling.exponent_scale;
  const double factor = std::max(moments.weight, 1.0);
  node[kNodeOffset] = T(std::max(offset, 0.0));
  node[kNodeFactor] = T(factor * (uses_moments ? 1 - half_trace : 1));
  node[kNodeVariance] = T(moments.spread / total);
  node[kNodeBoundOffset] = T(offset + moments.spread / total);
  std::fill(sides, node + node_size(dim_), T(0));
  if (!uses_moments) return;
  for (int64_t k = 0, i = 0; k < dim_; ++k)
    for (int64_t l = k; l < dim_; ++l, ++i)
      sides[i] = T((k == l ? 1 : 2) * factor * moments.scatter[i] / total / (2 * square(variance)));
}

// Computes the inner nodes of a subtree whose leaves are finished.
template <typename T>
NodeMoments PackedTree<T>::finish_inner_nodes(T* node, int64_t first, int64_t leaves,
                                              const MixtureProblem<T>& problem,
                                              const std::vector<NodeMoments>& leaf_moments) {
  if (leaves == 1) return leaf_moments[first];
  const int64_t half = (leaves + 1) / 2;
  T* first_child = node + node_size(dim_);
  T* second_child = node + 2 * half * node_size(dim_);
  NodeMoments moments = finish_inner_nodes(first_child, first, half, problem, leaf_moments);
  moments.add(finish_inner_nodes(second_child, first + half, leaves - half, problem, leaf_moments));
  for (int64_t k = kNodeExtras; k < kNodeExtras + kNodeSides * dim_; k += kNodeSides) {
    node[k + kSideLower] = std::min(first_child[k + kSideLower], second_child[k + kSideLower]);
    node[k + kSideUpper] = std::max(first_child[k + kSideUpper], second_child[k + kSideUpper]);
  }
  set_merged_center(node, problem, moments);
  return moments;
}

template <typename T>
typename PackedTree<T>::Position PackedTree<T>::find_position(const T* query) const {
  const T* node = nodes_.data();
  const Plane<T>* plane = planes_.data();
  int64_t first = 0, leaves = leaves_;
  T bound = T(kInfinity);
  for (;;) {
    // By Jensen's inequality the sum over the centers of a node is at least their total weight
    // times the kernel value at their mean squared distance, which is the squared distance of their
    // mean plus their variance.
    if (leaves == leaves_ || node[kNodeVariance] < bounding_variance_)
      bound = std::min(bound, distance_to_mean(node, query) + node[kNodeBoundOffset]);
    if (leaves == 1) break;
    const int64_t half = (leaves + 1) / 2;
    const bool in_second_half = query[plane->dim] > plane->value * power_;
    node += (in_second_half ? 2 * half : 1) * node_size(dim_);
    plane += in_second_half ? half : 1;
    if (in_second_half) first += half;
    leaves = in_second_half ? leaves - half : half;
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
    const T difference = query[k] - sides[kSideMean] - sides[kSideMeanError];
    distance += difference * difference;
  }
  return distance;
}

template <typename T>
double PackedTree<T>::evaluated_centers(const T* query, T cutoff, T allowance) const {
  struct Subtree {
    const T* node;
    int64_t leaves;
  };
  std::vector<Subtree> stack = {{nodes_.data(), leaves_}};
  double evaluated = 0;
  while (!stack.empty()) {
    const Subtree subtree = stack.back();
    stack.pop_back();
    T distance = 0;
    for (int64_t k = 0; k < dim_; ++k) {
      const T* sides = subtree.node + kNodeExtras + kNodeSides * k;
      const T outside =
          std::max(std::max(sides[kSideLower] - query[k], query[k] - sides[kSideUpper]), T(0));
      distance += outside * outside;
    }
    evaluated += 1;
    if (!(distance < cutoff) || subtree.node[kNodeError] <= allowance) continue;
    if (subtree.leaves == 1) {
      evaluated += kLeafColumns;
      continue;
    }
    const int64_t half = (subtree.leaves + 1) / 2;
    stack.push_back({subtree.node + 2 * half * node_size(dim_), subtree.leaves - half});
    stack.push_back({subtree.node + node_size(dim_), half});
  }
  return evaluated;
}

template class PackedTree<float>;
template class PackedTree<double>;

}  // namespace layerbits
