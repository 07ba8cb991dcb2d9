#include "bind_export.h"

void bind_export(pybind11::module_& module) { test::bind_both_exports(module); }
