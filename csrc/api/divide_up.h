// Integer division, rounded up.
#pragma once

#include <cstdint>

namespace layerbits {

// The least integer that is at least a / b, for a >= 0 and b > 0.
inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace layerbits
