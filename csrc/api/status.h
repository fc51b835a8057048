// Errors of the core are values; the bindings convert a status to a Python exception.
#pragma once

#include <string>
#include <utility>

namespace layerbits {

struct [[nodiscard]] Status {
  enum Code { kOk, kBadValue, kUnavailable, kOutOfMemory, kInterrupted, kInternal };
  Code code = kOk;
  std::string message;

  bool ok() const { return code == kOk; }
  static Status bad_value(std::string message) { return {kBadValue, std::move(message)}; }
};

}  // namespace layerbits
