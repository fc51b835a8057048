#include "verbs.h"

namespace py = pybind11;

namespace layerbits {

bool signals_arrive_here() {
  const py::module_ threading = py::module_::import("threading");
  return threading.attr("get_ident")().equal(threading.attr("main_thread")().attr("ident"));
}

bool signalled() {
  py::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

void raise(const Status& status) {
  if (PyErr_Occurred()) throw py::error_already_set();
  switch (status.code) {
    case Status::kOk:
      return;
    case Status::kBadValue:
      throw py::value_error(status.message);
    case Status::kOutOfMemory:
      PyErr_SetString(PyExc_MemoryError, status.message.c_str());
      throw py::error_already_set();
    default:
      throw std::runtime_error(status.message);
  }
}

Metric metric_of(const std::string& name) {
  if (name == "euclidean") return Metric::kEuclidean;
  if (name == "cosine") return Metric::kCosine;
  throw py::value_error("metric: got '" + name + "', wanted one of euclidean, cosine");
}

void check_counts(const Array& counts, const Array& edges) {
  if (counts.size(0) != edges.size(0) + 1 || counts.size(1) != 2)
    throw py::value_error("counts: got shape (" + std::to_string(counts.size(0)) + ", " +
                          std::to_string(counts.size(1)) + "), wanted shape (" +
                          std::to_string(edges.size(0) + 1) + ", 2)");
}

}  // namespace layerbits
