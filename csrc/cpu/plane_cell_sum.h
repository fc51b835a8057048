// Sums the points of a cell of the plane: by a polynomial if many centers are within the reach of
// the cell. Otherwise, and where the polynomial is not certain, sums over the near cells; where
// this sum is not certain either, over all cells that are not negligible. Used by one thread, for
// cells in their order.
#pragma once

#include <cmath>

#include "far_plane.h"
#include "plane_window.h"

namespace layerbits {

template <typename T>
class PlaneCellSum {
 public:
  // Expansions serve cells of points with more centers within their reach. With this number, equal
  // numbers of points and centers take about as long either way (Zen 4, AVX2 and AVX-512).
  static constexpr int64_t kFewCenters = 4000;

  PlaneCellSum(const MixtureProblem<T>& problem, const PlaneCenters<T>& centers)
      : problem_(problem),
        kernels_(*problem.kernels),
        centers_(centers),
        tables_(centers.tables()),
        window_(centers),
        far_(problem, centers),
        columns_(size_t(window_.slots() * kMatrix)),
        cell_weights_(size_t(window_.slots() * tables_.width())) {}

  // Computes the log-sums of `count` scaled points of a cell.
  void sum(const PlaneCell& cell, const PlanePoints<T>& points, int64_t count) {
    logs_.assign(size_t(count), kNan);
    pairs_ = 0;
    center_count_ = window_.move_to(cell);
    if (center_count_ > kFewCenters) evaluate(cell, points, count);
    sum_uncertain(points);
  }

  const std::vector<double>& logs() const { return logs_; }
  int64_t pairs() const { return pairs_; }  // pairs of the last sum without expansions

 private:
  static constexpr int kMatrix = kOrder * kOrder;

  // Evaluates the polynomial of the cell; leaves NaN where its sum is not certain.
  void evaluate(const PlaneCell& cell, const PlanePoints<T>& points, int64_t count) {
    const int64_t width = tables_.width(), lowest = window_.middle() - tables_.reach();
    if (band_ != window_.band()) {
      band_ = window_.band();
      column_of_.assign(size_t(window_.slots()), -1);
    }
    const double *left[PlaneTables::kMaxWidth], *right[PlaneTables::kMaxWidth];
    int64_t rows = 0;
    for (int64_t s = lowest; s < lowest + width; ++s) {
      if (column_of_[s] != cell.x) translate_row(s, cell.x);
      if (window_.row(s).first == window_.row(s).end) continue;
      left[rows] = columns_.data() + s * kMatrix;
      right[rows++] = tables_.line().translation(window_.middle() - s);
    }
    double values[kMatrix], coefficients[kMatrix], scratch[kMatrix];
    kernels_.sum_of_products(left, right, rows, values);
    const PlanePolynomial polynomial =
        tables_.polynomial(cell_weights_.data() + lowest * width, centers_.total_weight(), values,
                           kernels_.sum_of_products, coefficients, scratch);
    kernels_.evaluate_plane(points, count, centers_.frame_of(cell), polynomial, logs_.data());
  }

  // Translates the moments of a row of cells to column x.
  void translate_row(int64_t slot, int64_t x) {
    column_of_[slot] = x;
    double* const weights = cell_weights_.data() + slot * tables_.width();
    std::fill(weights, weights + tables_.width(), 0.0);
    const double *left[PlaneTables::kMaxWidth], *right[PlaneTables::kMaxWidth];
    const auto& row = window_.row(slot);
    for (int64_t c = row.first; c < row.end; ++c) {
      const int64_t offset = x - centers_.x(c);
      left[c - row.first] = centers_.moments(c);
      right[c - row.first] = tables_.line().translation(offset);
      weights[tables_.reach() - offset] = centers_.weight(c);
    }
    if (row.first < row.end)
      kernels_.sum_of_products(left, right, row.end - row.first, columns_.data() + slot * kMatrix);
  }

  // Sums the points without a certain log-sum.
  void sum_uncertain(const PlanePoints<T>& points) {
    uncertain_.clear(), x_.clear(), y_.clear();
    for (size_t i = 0; i < logs_.size(); ++i)
      if (std::isnan(logs_[i])) {
        uncertain_.push_back(i);
        x_.push_back(points.x[i]);
        y_.push_back(points.y[i]);
      }
    const auto count = int64_t(uncertain_.size());
    if (count == 0) return;
    sums_.resize(size_t(count));
    const int64_t near_rows = 2 * tables_.near_reach() + 1;
    const CenterRun* const runs = window_.near_runs();
    kernels_.sum_near_plane(centers_.points(), runs, near_rows, {x_.data(), y_.data(), nullptr},
                            count, problem_.scaling.exponent_scale, T(0), sums_.data());
    const double threshold = tables_.near_threshold(weight_within_reach(), centers_.total_weight());
    kernels_.certain_logs(sums_.data(), count, threshold);
    for (int64_t r = 0; r < near_rows; ++r) pairs_ += count * (runs[r].end - runs[r].first);
    for (int64_t i = 0; i < count; ++i) {
      double log = sums_[i];
      if (std::isnan(log)) log = log_within_reach(x_[i], y_[i]);
      if (std::isnan(log)) {
        log = far_.sum(x_[i], y_[i]);
        pairs_ += far_.pairs();
      }
      logs_[uncertain_[i]] = log;
    }
  }

  double weight_within_reach() const {
    if (!problem_.mixture.weights) return double(center_count_);
    double weight = 0;
    const int64_t lowest = window_.middle() - tables_.reach();
    for (int64_t s = lowest; s < lowest + tables_.width(); ++s)
      for (int64_t c = window_.row(s).first; c < window_.row(s).end; ++c)
        weight += centers_.weight(c);
    return weight;
  }

  // Returns the log-sum of a point over the centers within the reach; NaN if it is not certain.
  double log_within_reach(T x, T y) {
    pairs_ += center_count_;
    double sum = 0;
    kernels_.sum_near_plane(centers_.points(), window_.runs(), tables_.width(), {&x, &y, nullptr},
                            1, problem_.scaling.exponent_scale, T(0), &sum);
    return sum > tables_.reach_threshold(centers_.total_weight()) ? std::log(sum) : kNan;
  }

  const MixtureProblem<T>& problem_;
  const Kernels<T>& kernels_;
  const PlaneCenters<T>& centers_;
  const PlaneTables& tables_;
  PlaneWindow<T> window_;
  FarPlane<T> far_;
  int64_t center_count_ = 0, pairs_ = 0, band_ = -1;
  std::vector<double> columns_;       // [slot], the translations along x: [l][x node]
  std::vector<double> cell_weights_;  // [slot][cell of the row within the reach]
  std::vector<int64_t> column_of_;    // [slot], the column of its translations
  std::vector<double> logs_, sums_;
  std::vector<size_t> uncertain_;
  std::vector<T> x_, y_;
};

}  // namespace layerbits
