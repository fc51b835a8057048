#include "plane_tables.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace layerbits {
namespace {

constexpr double kEps = 0x1p-52;
constexpr double kSlack = 1.01;  // covers the rounding of the bounds themselves
constexpr double kSummands = 4096;
constexpr double kReach = 10;
// With this radius, a sum over near cells is certain for points within 3 sigma of a center.
constexpr double kNearRadius = 6.9;

}  // namespace

PlaneTables::PlaneTables(double fraction, double tolerance, double cell_width)
    : line_(fraction, tolerance, 0, {cell_width, kReach}),
      fraction_(fraction),
      share_(tolerance / (1 + tolerance)),
      radius_(line_.half() / fraction),
      width_(line_.step() / fraction) {
  for (int64_t offset = -reach(); offset <= reach(); ++offset) {
    const double nearest = line_.nearest(double(std::abs(offset)));
    by_offset_[kMoments].push_back(line_.moment_error(offset));
    by_offset_[kNear].push_back(kSlack * std::exp(-nearest * nearest / 2));
    by_offset_[kRounding].push_back(line_.rounding_error(offset));
    by_offset_[kTerms].push_back(line_.largest_row_sum(offset));
  }
  while (near_reach_ < reach() && line_.nearest(double(near_reach_ + 1)) <= kNearRadius)
    ++near_reach_;
  const auto beyond = [&](int64_t cells) {
    const double nearest = line_.nearest(double(cells + 1));
    return kSlack * std::exp(-nearest * nearest / 2);
  };
  beyond_near_ = beyond(near_reach_);
  beyond_reach_ = beyond(reach());
  set_suprema();
}

NamedValues PlaneTables::values() const {
  NamedValues values = line_.values();
  const auto middle = suprema_.begin() + int64_t(suprema_.size() / 2);
  values.push_back({"nearest", by_offset_[kNear]});
  values.push_back({"beyond", {beyond_reach_}});
  values.push_back({"between", {suprema_.begin(), middle}});
  values.push_back({"largest", {middle, suprema_.end()}});
  return values;
}

void PlaneTables::set_suprema() {
  const double p = kOrder, h = radius_;
  const double log_interpolation =
      std::log(2 * kSlack) + p * std::log(h / 2) - std::log(std::tgamma(p + 1));
  for (const Factor factor : {kBetween, kLargest})
    for (int64_t slope = -reach(); slope <= reach(); ++slope) {
      const double y = double(slope) * width_;
      const auto log_value = [&](double x) {
        const double distance = std::abs(x - y), log_b = -x * x / 2 + distance * h;
        return factor == kLargest ? log_b + std::log(kSlack)
                                  : log_b + p * std::log(distance) + log_interpolation;
      };
      // The maxima on both sides of y: (x -+ h)(x - y) = p, and x = +-h.
      const double upper =
          factor == kLargest ? std::max(h, y) : (h + y + std::hypot(h - y, 2 * std::sqrt(p))) / 2;
      const double lower =
          factor == kLargest ? std::min(-h, y) : (y - h - std::hypot(h + y, 2 * std::sqrt(p))) / 2;
      for (int64_t offset = reach(); offset >= -reach(); --offset) {
        const double middle = double(offset) * width_;
        const double a = std::clamp(upper, middle - h, middle + h);
        const double b = std::clamp(lower, middle - h, middle + h);
        suprema_.push_back(std::exp(std::max(log_value(a), log_value(b))));
      }
    }
}

PlanePolynomial PlaneTables::polynomial(const double* weights, double total_weight, double* values,
                                        SumOfProductsKernel sum_of_products, double* coefficients,
                                        double* scratch) const {
  constexpr int kNodes = kOrder * kOrder;
  PlanePolynomial result{coefficients, 0, {0, 0}, 0, std::numeric_limits<double>::infinity()};
  if (!(*std::min_element(values, values + kNodes) > 0)) return result;
  // The slopes of the log-sum along both axes, in cells.
  constexpr int kMiddle = kOrder / 2, kLast = kOrder - 1;
  const int64_t slopes[2] = {
      line_.slope(values[kMiddle], values[kLast * kOrder + kMiddle]),
      line_.slope(values[kMiddle * kOrder], values[kMiddle * kOrder + kLast])};
  const double *tilts_x = line_.tilts(slopes[0]), *tilts_y = line_.tilts(slopes[1]);
  double largest = 0;
  for (int r = 0; r < kOrder; ++r)
    for (int s = 0; s < kOrder; ++s) {
      double& value = values[r * kOrder + s];
      value *= tilts_x[r] * tilts_y[s];
      largest = std::max(largest, value);
    }
  const double *transform = line_.transform(), *before = values;
  sum_of_products(&before, &transform, 1, scratch);
  before = scratch;
  sum_of_products(&before, &transform, 1, coefficients);

  // The factors of a cell's weight, in the order of Factor, along x and along y.
  const double *along_x[kFactors], *along_y[kFactors];
  for (int f = 0; f < kBetween; ++f) along_x[f] = along_y[f] = by_offset_[f].data();
  for (const Factor f : {kBetween, kLargest})
    along_x[f] = suprema(f, slopes[0]), along_y[f] = suprema(f, slopes[1]);
  double at_nodes = 0, rounding = 0, between_nodes = 0;
  for (int64_t b = 0; b < width(); ++b) {
    double row[kFactors] = {};
    for (int64_t a = 0; a < width(); ++a)
      for (int f = 0; f < kFactors; ++f) row[f] += weights[b * width() + a] * along_x[f][a];
    const auto row_error = [&](Factor error, Factor size) {
      return row[error] * (along_y[size][b] + along_y[error][b]) + row[size] * along_y[error][b];
    };
    at_nodes += row_error(kMoments, kNear);
    between_nodes += row_error(kBetween, kLargest);
    rounding +=
        row_error(kRounding, kTerms) + kEps * kSummands / 2 * row[kTerms] * along_y[kTerms][b];
  }
  double evaluation = (144.0 * kNodes + 3) * largest;
  for (int k = 0; k < kOrder; ++k)
    for (int l = 0; l < kOrder; ++l)
      evaluation +=
          ((k + 1) * (k + 1) + (l + 1) * (l + 1) + 32) * std::abs(coefficients[k * kOrder + l]);
  const double tilt =
      std::exp(double(std::abs(slopes[0]) + std::abs(slopes[1])) * width_ * radius_);
  const double lebesgue = line_.lebesgue() * line_.lebesgue();
  const double cell_error =
      std::exp(radius_ * radius_) * (lebesgue * at_nodes + total_weight * beyond_reach_) +
      lebesgue * rounding;
  const double error = tilt * cell_error + between_nodes + kEps * evaluation;
  for (int axis = 0; axis < 2; ++axis)
    result.linear[axis] = -double(slopes[axis]) * width_ / fraction_;
  result.quadratic = -0.5 / (fraction_ * fraction_);
  result.threshold = std::max(kSlack * error / share_, 1e-280);
  return result;
}

}  // namespace layerbits
