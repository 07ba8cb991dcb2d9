// What the programs share that are processes of their own, without GoogleTest.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

namespace test {

namespace py = pybind11;

inline py::object eval(const std::string& expression) {
  py::dict names;
  names["np"] = py::module_::import("numpy");
  return py::eval(expression, names);
}

// Gives the GIL up until `holds`.
template <class Condition>
void wait_until(const Condition& holds) {
  while (!holds()) {
    const py::gil_scoped_release without_gil;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// What is in memory of this process.
inline double resident_megabytes() {
  long total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

}  // namespace test
