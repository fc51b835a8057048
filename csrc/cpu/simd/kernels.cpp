// The table of one ISA level. Compiled once for each, with that level's flags and
// LAYERBITS_LEVEL_<NAME>; exports the table and nothing else (tools/ci/check_symbols.py).
#include "../kernel_table.h"
#include "count_pairs.h"
#include "log_sum_exp_full.h"
#include "log_sum_exp_isotropic.h"
#include "logarithm.h"
#include "multiply_adds.h"
#include "pruned_log_sum_exp.h"
#include "softmax_gradient.h"
#include "unusual.h"

namespace {
template <typename T>
constexpr layerbits::Kernels<T> kKernels = {
    Lanes<T>::kCount,    log_sum_exp_isotropic<T>, pruned_log_sum_exp<T>, log_sum_exp_full<T>,
    softmax_gradient<T>, log_of_sums<T>,           any_unusual<T>,        squared_distances<T>,
    count_pairs<T>,      multiply_adds<T, false>,  multiply_adds<T, true>};
}  // namespace

namespace layerbits {
extern const KernelTable LAYERBITS_TABLE;
const KernelTable LAYERBITS_TABLE = {LAYERBITS_LEVEL, kKernels<float>, kKernels<double>};
}  // namespace layerbits
