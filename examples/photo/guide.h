#pragma once

#include <pybind11/pybind11.h>

// Adds the functions that demo.py's table of conversions calls.
void define_guide(pybind11::module_& guide);
