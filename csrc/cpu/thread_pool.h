// A small pool of our own: OpenMP's child hangs after fork, and torch brings another OpenMP runtime
// along.
//
// Workers are made at first need and sleep between jobs. After fork the child finds that the pool
// belongs to its parent, leaves it alone and makes its own. The caller always works on its own job,
// so that calls from many threads, and calls inside a machine without spare cores, go on. Which
// thread runs an item never affects a result.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "../api/status.h"

namespace layerbits {

// Asked between pieces of work. Only the calling thread polls `interrupted` (Python may answer only
// there); the others see the flag that it leaves.
class Cancellation {
 public:
  explicit Cancellation(std::function<bool()> interrupted);
  bool requested();

 private:
  std::function<bool()> interrupted_;
  const std::uint64_t caller_;
  std::int64_t next_poll_;
  std::atomic<bool> requested_{false};
};

// Calls work(i) once for every i in [0, items), on up to `threads` threads; stops early when
// cancelled.
Status parallel_for(int threads, int64_t items, Cancellation& cancellation,
                    const std::function<void(int64_t)>& work);

// Cores that the affinity mask and the cgroup's quota leave to this process, at least 1.
int usable_cores();

}  // namespace layerbits
