// The same faults in an extension module, for a Python that knows nothing of sanitizers.
#include <pybind11/pybind11.h>

#include <cstdlib>
#include <string>

#include "sanitizers/faults.h"

PYBIND11_MODULE(canary_module, module) {
  module.def("commit", &faults::commit);
  const char* const fault = std::getenv("NDTORCH_FAULT_AT_IMPORT");
  if (fault != nullptr) faults::commit(fault);
}
