#include "grid_tables.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace layerbits {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kEps = 0x1p-52;
constexpr double kSlack = 1.01;  // covers the rounding of the bounds themselves
constexpr double kIndexSlack = 0x1p-10;

// Cells of both kinds were measured on Zen 4. With a tolerance of at least kCoarse, cells are wide;
// otherwise rounding, which grows with exp(|delta| step), needs narrow cells.
constexpr double kCoarse = 1e-8;

// T_k at the Chebyshev nodes.
struct Cosines {
  long double at[kOrder][kOrder];  // [k][node]
  Cosines() {
    for (int k = 0; k < kOrder; ++k)
      for (int s = 0; s < kOrder; ++s)
        at[k][s] = std::cos(3.14159265358979323846264338L * k * (2 * s + 1) / (2 * kOrder));
  }
};

}  // namespace

GridCells GridTables::line_cells(double tolerance) {
  return tolerance >= kCoarse ? GridCells{1.5, 10} : GridCells{0.375, 12};
}

GridTables::GridTables(double fraction, double tolerance, double roundoff, const GridCells& cells)
    : fraction_(fraction), tolerance_(tolerance / (1 + tolerance)), roundoff_(roundoff) {
  const double wanted = fraction * cells.width;
  int exponent = 0;
  const double mantissa = std::frexp(wanted, &exponent);
  step_ = std::ldexp(std::round(std::ldexp(mantissa, 7)), exponent - 7);
  half_ = step_ / 2 * (1 + kIndexSlack);
  width_ = step_ / fraction;
  radius_ = half_ / fraction;
  reach_ = int64_t(std::ceil(cells.reach / width_));
  set_translations();
  set_bounds();
}

// In long double, so that the values have no rounding error but that of their double.
void GridTables::set_translations() {
  static const Cosines cosine;
  transform_.resize(kOrder * kOrder);
  long double cosines[kOrder][kOrder];   // [k][node]
  long double products[kOrder][kOrder];  // [r][s]: exp of the product of two nodes
  long double nodes[kOrder];             // in units of sigma
  for (int s = 0; s < kOrder; ++s) {
    const long double node = cosine.at[1][s];
    nodes_[s] = double(node);
    nodes[s] = node * half_ / fraction_;
  }
  for (int k = 0; k < kOrder; ++k)
    for (int s = 0; s < kOrder; ++s) {
      cosines[k][s] = cosine.at[k][s] * (k == 0 ? 1 : 2) / kOrder;
      transform_[s * kOrder + k] = double(cosines[k][s]);
      products[k][s] = std::exp(nodes[k] * nodes[s]);
    }
  translations_.resize(size_t(2 * reach_ + 1) * kOrder * kOrder);
  // The translation by -offset mirrors points and centers: node r becomes kOrder - 1 - r, and T_k
  // changes its sign for odd k.
  for (int64_t offset = 0; offset <= reach_; ++offset) {
    double* forward = translations_.data() + shift(offset) * kOrder * kOrder;
    double* backward = translations_.data() + shift(-offset) * kOrder * kOrder;
    const long double delta = (long double)(offset)*step_ / fraction_;
    // With the nodes v of points and u of centers, the kernel, relative to that of v alone, is
    // exp((v^2 - (delta + v - u)^2) / 2) = exp(-(delta - u)^2 / 2) exp(-v delta) exp(v u).
    long double center_factors[kOrder], point_factors[kOrder];
    for (int s = 0; s < kOrder; ++s) {
      center_factors[s] = std::exp(-(delta - nodes[s]) * (delta - nodes[s]) / 2);
      point_factors[s] = std::exp(-nodes[s] * delta);
    }
    for (int r = 0; r < kOrder; ++r) {
      long double kernel[kOrder];
      for (int s = 0; s < kOrder; ++s)
        kernel[s] = center_factors[s] * point_factors[r] * products[r][s];
      for (int k = 0; k < kOrder; ++k) {
        long double sum = 0;
        for (int s = 0; s < kOrder; ++s) sum += cosines[k][s] * kernel[s];
        forward[k * kOrder + r] = double(sum);
        backward[k * kOrder + kOrder - 1 - r] = double(k % 2 ? -sum : sum);
      }
    }
  }
}

void GridTables::set_bounds() {
  const double p = kOrder, log_factorial = std::log(std::tgamma(p + 1));
  const double interpolation = 2 * std::pow(radius_ / 2, p) * kSlack;
  lebesgue_ = 2 / kPi * std::log(p) + 1;
  beyond_ = kSlack * std::exp(-std::pow(nearest(double(reach_ + 1)), 2) / 2);
  for (int s = 0; s < kOrder; ++s) {
    double sum = 0;
    for (int k = 0; k < kOrder; ++k) sum += std::abs(transform_[s * kOrder + k]);
    column_sum_ = std::max(column_sum_, sum);
  }
  for (int64_t offset = -reach_; offset <= reach_; ++offset) {
    const double distance = double(std::abs(offset)) * width_;
    const double near = std::max(0.0, distance - 2 * radius_);
    moment_errors_.push_back(interpolation * 1.0865 *
                             std::exp(-near * near / 4 - log_factorial / 2));
    const double nearer = std::max(0.0, distance - radius_);
    decays_.push_back(interpolation * std::exp(-nearer * nearer / 2 - log_factorial));
    double largest = 0, largest_row = 0;
    for (int r = 0; r < kOrder; ++r) {
      double sum = 0, row = 0;
      for (int k = 0; k < kOrder; ++k) {
        const double size =
            std::abs(translations_[size_t((shift(offset) * kOrder + k) * kOrder + r)]);
        sum += (2 + k + 0.75 * k * (k - 1)) * size;
        row += size;
      }
      largest = std::max(largest, sum);
      largest_row = std::max(largest_row, row);
    }
    rounding_errors_.push_back(largest * kEps * kSlack);
    row_sums_.push_back(largest_row * kSlack);
    for (int r = 0; r < kOrder; ++r) {
      const long double v = (long double)(nodes_[r]) * half_ / fraction_;
      tilts_.push_back(double(std::exp((long double)(offset)*step_ / fraction_ * v)));
    }
  }
  for (int64_t offset = -2 * reach_; offset <= 2 * reach_; ++offset) {
    const double y = double(std::abs(offset)) * width_ + radius_;
    growths_.push_back(std::pow(y, p) * std::exp(y * radius_));
  }
}

NamedValues GridTables::values() const {
  return {{"step", {step_}},
          {"half", {half_}},
          {"width", {width_}},
          {"radius", {radius_}},
          {"reach", {double(reach_)}},
          {"lebesgue", {lebesgue_}},
          {"beyond", {beyond_}},
          {"column_sum", {column_sum_}},
          {"nodes", {nodes_, nodes_ + kOrder}},
          {"transform", transform_},
          {"translations", translations_},
          {"tilts", tilts_},
          {"moment_errors", moment_errors_},
          {"rounding_errors", rounding_errors_},
          {"row_sums", row_sums_},
          {"decays", decays_},
          {"growths", growths_}};
}

int64_t GridTables::slope(double first, double last) const {
  const double rise = std::log(first / last);
  const double cells = -rise / ((nodes_[0] - nodes_[kOrder - 1]) * radius_ * width_);
  return int64_t(std::clamp(std::round(cells), -double(reach_), double(reach_)));
}

CellPolynomial GridTables::polynomial(const Neighbor* neighbors, int64_t count, double total_weight,
                                      double* values, InterpolateKernel interpolate,
                                      double* coefficients) const {
  if (!(*std::min_element(values, values + kOrder) > 0))
    return {coefficients, 0, 0, 0, std::numeric_limits<double>::infinity()};
  const int64_t y = slope(values[0], values[kOrder - 1]);
  double largest = 0, differences = 0;
  for (int r = 0; r < kOrder; ++r) {
    values[r] *= tilts(y)[r];
    largest = std::max(largest, values[r]);
    differences += std::abs(values[r] - values[0]);
  }
  interpolate(values, transform_.data(), coefficients);

  double at_nodes = 0, rounding = 0, between_nodes = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t shifted = shift(neighbors[i].offset);
    at_nodes += neighbors[i].weight * moment_errors_[shifted];
    rounding += neighbors[i].weight * rounding_errors_[shifted];
    between_nodes += neighbors[i].weight * decays_[shifted] * growths_[shifted - y + reach_];
  }
  const double tilt = std::exp(std::abs(double(y)) * width_ * radius_);
  const double truncation =
      tilt * std::exp(radius_ * radius_ / 2) * (lebesgue_ * at_nodes + total_weight * beyond_) +
      between_nodes;
  const double roundings = y == 0 ? 0.5 : 1.5;  // of a value; a factor of 1 rounds nothing
  double evaluation = roundings * lebesgue_ * largest + 2 * column_sum_ * differences +
                      1.5 * std::abs(coefficients[0]);
  double variation = 0, derivative = 0;
  for (int k = 1; k < kOrder; ++k) {
    evaluation += (k + 1) * (k + 1) * std::abs(coefficients[k]);
    variation += std::abs(coefficients[k]);
    derivative += k * k * std::abs(coefficients[k]);
  }
  rounding = tilt * lebesgue_ * rounding + kEps * evaluation;
  // The mean of x is y + v - G'/G.
  const double least = coefficients[0] - variation;
  const double slack = radius_ + (least > 0 ? derivative / (radius_ * least) : 1e300);
  const double mean = std::max(0.0, std::abs(double(y)) * width_ - kSlack * slack);
  const double allowed = roundoff_ * (1 + mean * mean / 2) + tolerance_ / 2;
  const double threshold = kSlack * std::max(2 * truncation / tolerance_, rounding / allowed);
  return {.coefficients = coefficients,
          .constant = 0,
          .linear = -double(y) * width_ / fraction_,
          .quadratic = -0.5 / (fraction_ * fraction_),
          .threshold = std::max(threshold, 1e-280)};
}

}  // namespace layerbits
