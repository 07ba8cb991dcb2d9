// A module that knows NumPy through ndtorch only.
#include <pybind11/pybind11.h>

void bind_import(pybind11::module_& module);
void bind_export(pybind11::module_& module);

PYBIND11_MODULE(plain_module, module) {
  bind_import(module);
  bind_export(module);
}
