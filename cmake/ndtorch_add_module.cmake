# ndtorch_add_module(<name> <source>...): a Python extension module that uses ndtorch. Arguments are
# those of pybind11_add_module, which it calls: hidden symbols, Python's own file name, and LTO in an
# optimised build. It finds LibTorch through its RPATH, so Python need not import torch first.
include_guard(GLOBAL)

function(ndtorch_add_module name)
  pybind11_add_module(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE ndtorch::ndtorch)
  # CMake sets the RPATH in the build tree; this keeps it through `cmake --install`.
  set_target_properties(${name} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
endfunction()
