// The table of kernels of one ISA level. Compiled once for each level, with its flags and
// LAYERBITS_LEVEL_<NAME>; exports the table and nothing else (tools/ci/check_symbols.py).
#include "../kernel_table.h"
#include "cell_expansions.h"
#include "count_pairs.h"
#include "log_sum_exp_diagonal.h"
#include "log_sum_exp_full.h"
#include "log_sum_exp_isotropic.h"
#include "logarithm.h"
#include "multiply_adds.h"
#include "near_plane.h"
#include "plane_expansions.h"
#include "pruned_log_sum_exp.h"
#include "softmax_gradient.h"
#include "unusual.h"

namespace {
template <typename T>
constexpr layerbits::Kernels<T> kKernels = {
    .lanes = Lanes<T>::kCount,
    .log_sum_exp_isotropic = log_sum_exp_isotropic<T>,
    .pruned_log_sum_exp = pruned_log_sum_exp<T>,
    .log_sum_exp_full = log_sum_exp_full<T>,
    .log_sum_exp_diagonal = log_sum_exp_diagonal<T>,
    .softmax_gradient = softmax_gradient<T>,
    .log_of_sums = log_of_sums<T>,
    .cell_moments = cell_moments<T>,
    .translate_moments = translate_moments,
    .interpolate = interpolate,
    .evaluate_cell = evaluate_cell<T>,
    .plane_moments = plane_moments<T>,
    .sum_of_products = sum_of_products,
    .evaluate_plane = evaluate_plane<T>,
    .nearest_square = nearest_square<T>,
    .sum_near_plane = sum_near_plane<T>,
    .certain_logs = certain_logs,
    .any_unusual = any_unusual<T>,
    .squared_distances = squared_distances<T>,
    .count_pairs = count_pairs<T>,
    .multiply_adds = multiply_adds<T, false>,
    .multiply_adds_and_additions = multiply_adds<T, true>,
};
}  // namespace

namespace layerbits {
extern const KernelTable LAYERBITS_TABLE;
const KernelTable LAYERBITS_TABLE = {
    .level = LAYERBITS_LEVEL, .f32 = kKernels<float>, .f64 = kKernels<double>};
}  // namespace layerbits
