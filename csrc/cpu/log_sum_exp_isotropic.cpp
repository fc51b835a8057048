// Chooses the method of a log-sum-exp.
#include "log_sum_exp_methods.h"

namespace layerbits {
namespace {

bool are_several_small_groups(const Groups& points, const Groups& centers, int64_t dim) {
  const int64_t max_centers = std::min(kSmallGroupCenters, chunk_centers(dim));
  for (int64_t g = 0; g < points.count(); ++g)
    if (points.end(g) - points.begin(g) > kSmallGroupPoints ||
        centers.end(g) - centers.begin(g) > max_centers)
      return false;
  return points.count() > 1;
}

// A tree needs one group with centers, whose indices fit 32 bits.
template <typename T>
bool may_prune(const Mixture<T>& mixture, Method method) {
  return method != Method::kDense && method != Method::kGridded &&
         mixture.point_groups.count() == 1 && mixture.points.rows > 0 && mixture.centers.rows > 0 &&
         mixture.centers.rows <= std::numeric_limits<uint32_t>::max();
}

}  // namespace

template <typename T>
Status log_sum_exp_isotropic(const Mixture<T>& mixture, const Accuracy& accuracy,
                             Vector<double> log_sum, Execution execution, Method& used_method) {
  MixtureProblem<T> problem{mixture};
  if (Status status = problem.prepare(execution); !status.ok()) return status;
  if (accuracy.method == Method::kGridded || accuracy.method == Method::kAuto) {
    bool done = false;
    Status status = gridded_log_sum_exp(problem, accuracy, log_sum, execution, done);
    used_method = Method::kGridded;
    if (!status.ok() || done) return status;
  }
  if (may_prune(mixture, accuracy.method)) {
    bool done = false;
    Status status = pruned_log_sum_exp(problem, accuracy, log_sum, execution.cancellation, done);
    used_method = Method::kPruned;
    if (!status.ok() || done) return status;
  }
  used_method = Method::kDense;
  return are_several_small_groups(mixture.point_groups, mixture.center_groups, mixture.points.cols)
             ? small_groups_log_sum_exp(problem, log_sum, execution.cancellation)
             : dense_log_sum_exp(problem, log_sum, execution.cancellation);
}

template <typename T>
Status choose_method(const Mixture<T>& mixture, const Accuracy& accuracy, Execution execution,
                     Method& method) {
  method = Method::kDense;
  MixtureProblem<T> problem{mixture};
  if (Status status = problem.prepare(execution); !status.ok()) return status;
  bool worthwhile = false;
  if (may_prune(mixture, Method::kAuto)) {
    Status status = estimate_pruning(problem, accuracy, execution.cancellation, worthwhile);
    if (!status.ok()) return status;
  }
  if (worthwhile) method = Method::kPruned;
  return {};
}

template Status choose_method(const Mixture<float>&, const Accuracy&, Execution, Method&);
template Status choose_method(const Mixture<double>&, const Accuracy&, Execution, Method&);

template Status log_sum_exp_isotropic(const Mixture<float>&, const Accuracy&, Vector<double>,
                                      Execution, Method&);
template Status log_sum_exp_isotropic(const Mixture<double>&, const Accuracy&, Vector<double>,
                                      Execution, Method&);

}  // namespace layerbits
