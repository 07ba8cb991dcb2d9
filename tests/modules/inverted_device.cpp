// The tests' device for a whole Python: it is there once this is imported.
#include <pybind11/pybind11.h>

#include "support/private_use1.h"

PYBIND11_MODULE(inverted_device, module) { module.attr("name") = test::inverted::name; }
