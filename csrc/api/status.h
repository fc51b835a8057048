// Errors of the core are values; the bindings convert a status to a Python exception.
#pragma once

#include <cstdio>
#include <string>
#include <utility>

namespace layerbits {

// The text of a number in a message: std::to_string would print 1e-9 as 0.000000.
inline std::string number_text(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%g", value);
  return digits;
}

struct [[nodiscard]] Status {
  enum Code { kOk, kBadValue, kUnavailable, kOutOfMemory, kInterrupted, kInternal };
  Code code = kOk;
  std::string message;

  bool ok() const { return code == kOk; }
  static Status bad_value(std::string message) { return {kBadValue, std::move(message)}; }
};

}  // namespace layerbits
