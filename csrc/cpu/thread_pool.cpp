#include "thread_pool.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace layerbits {
namespace {

// A tenth of the 150 ms in which Ctrl-C must take effect. A poll takes the interpreter's lock, so
// polls should be rare.
constexpr std::int64_t kPollInterval = 15'000'000;  // ns

constexpr std::int64_t kQuotaInterval = 1'000'000'000;  // ns

std::int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

std::uint64_t this_thread() { return std::hash<std::thread::id>{}(std::this_thread::get_id()); }

struct Job {
  const std::function<void(int64_t)>& work;
  const int64_t items;
  Cancellation& cancellation;
  std::atomic<int64_t> next{0};
  int vacancies = 0;  // workers that may still join; guarded by the pool's mutex
  int workers = 0;    // workers that have joined; guarded by the pool's mutex
  std::atomic<Status::Code> failure{Status::kOk};

  void run() {
    try {
      for (int64_t i; (i = next.fetch_add(1)) < items && failure == Status::kOk;) {
        if (cancellation.requested()) break;
        work(i);
      }
    } catch (const std::bad_alloc&) {
      failure = Status::kOutOfMemory;
    } catch (...) {
      failure = Status::kInternal;
    }
  }
};

class ThreadPool {
 public:
  void run(Job& job, int threads) {
    {
      std::lock_guard lock(mutex_);
      grow(threads - 1);
      job.vacancies = threads - 1;
      jobs_.push_back(&job);
    }
    wake_.notify_all();
    job.run();
    std::unique_lock lock(mutex_);
    jobs_.erase(std::find(jobs_.begin(), jobs_.end(), &job));
    done_.wait(lock, [&] { return job.workers == 0; });
  }

  const pid_t owner = getpid();

 private:
  void grow(int workers) {
    try {
      for (; workers_ < workers; ++workers_) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
      // The system starts no more threads; the existing threads do the work.
    }
  }

  Job* open_job() {
    for (Job* job : jobs_)
      if (job->vacancies > 0 && job->next < job->items) return job;
    return nullptr;
  }

  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      Job* job = nullptr;
      wake_.wait(lock, [&] { return (job = open_job()) != nullptr; });
      --job->vacancies;
      ++job->workers;
      lock.unlock();
      job->run();
      lock.lock();
      if (--job->workers == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<Job*> jobs_;
  int workers_ = 0;
};

// The pool is never destroyed, because its threads may still sleep at exit. A forked child has
// neither the threads of its parent's pool nor valid locks, so it starts a new pool.
ThreadPool& process_pool() {
  static std::atomic<ThreadPool*> shared_pool{nullptr};
  ThreadPool* pool = shared_pool.load();
  while (pool == nullptr || pool->owner != getpid()) {
    auto* new_pool = new ThreadPool;
    if (shared_pool.compare_exchange_strong(pool, new_pool)) return *new_pool;
    delete new_pool;
  }
  return *pool;
}

// Returns the quota of the process's cgroup (v2, else v1) in cores, rounded up; 0 without a quota.
int cgroup_quota() {
  const auto read = [](const char* path, auto&... values) {
    std::ifstream file(path);
    return bool((file >> ... >> values));
  };
  std::string quota;
  double limit = 0, period = 0;
  if (read("/sys/fs/cgroup/cpu.max", quota, period)) {
    if (quota == "max") return 0;
    limit = std::atof(quota.c_str());
  } else if (!read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", limit) ||
             !read("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period)) {
    return 0;
  }
  return limit > 0 && period > 0 ? int((limit + period - 1) / period) : 0;
}

// Returns the quota as read in the last second: opening its file takes as long as a small call.
int recent_cgroup_quota() {
  static std::atomic<int> quota{0};
  static std::atomic<std::int64_t> next_read{0};
  if (const std::int64_t time = now(); time >= next_read) {
    quota = cgroup_quota();
    next_read = time + kQuotaInterval;
  }
  return quota;
}

}  // namespace

Cancellation::Cancellation(std::function<bool()> interrupted)
    : interrupted_(std::move(interrupted)),
      caller_(this_thread()),
      next_poll_(now() + kPollInterval) {}

bool Cancellation::requested() {
  if (interrupted_ && this_thread() == caller_ && now() >= next_poll_) {
    if (interrupted_()) requested_ = true;
    next_poll_ = now() + kPollInterval;
  }
  return requested_;
}

Status parallel_for(int threads, int64_t items, Cancellation& cancellation,
                    const std::function<void(int64_t)>& work) {
  Job job{work, items, cancellation};
  threads = int(std::min<int64_t>(std::max(threads, 1), items));
  if (threads <= 1)
    job.run();
  else
    process_pool().run(job, threads);
  if (cancellation.requested()) return {Status::kInterrupted, "interrupted"};
  switch (job.failure.load()) {
    case Status::kOk:
      return {};
    case Status::kOutOfMemory:
      return {Status::kOutOfMemory, "out of memory"};
    default:
      return {Status::kInternal, "a worker thread failed"};
  }
}

int worthwhile_threads(int threads, double pairs, int64_t dim) {
  return int(std::clamp(pairs * double(dim + 8) / (1 << 17), 1.0, double(std::max(threads, 1))));
}

int usable_cores() {
  int cores = 0;
#if defined(__linux__)
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) cores = CPU_COUNT(&mask);
#endif
  if (cores == 0) cores = int(std::thread::hardware_concurrency());
  const int quota = recent_cgroup_quota();
  return std::max(1, quota > 0 ? std::min(cores, quota) : cores);
}

}  // namespace layerbits
