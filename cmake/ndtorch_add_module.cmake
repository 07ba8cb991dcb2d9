# ndtorch_add_module(<name> <source>...): a Python extension module that uses ndtorch. Arguments are
# those of pybind11_add_module, which it calls: hidden symbols, Python's own file name, and LTO in an
# optimised build. Without a CMAKE_BUILD_TYPE it says that nothing is optimised. The module finds LibTorch
# through its RPATH, so Python need not import torch first:
#
# - in the folder `torch` beside the module or beside the package that holds it (two levels of packages at
#   most), which is where pip puts it on whatever machine;
# - else through LibTorch's path here, in the build tree and after `cmake --install`. Not in a wheel that
#   scikit-build-core builds, nor where LibTorch lies in the environment of an isolated build: there the path
#   is temporary, and would be no good on another machine, nor safe, as anyone may make it again.
include_guard(GLOBAL)

function(ndtorch_add_module name)
  get_property(several GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
  if(NOT CMAKE_BUILD_TYPE AND NOT several AND NOT CMAKE_CXX_FLAGS MATCHES "-O")
    message(STATUS "${name} is built without optimisation: add -DCMAKE_BUILD_TYPE=Release")
  endif()
  ndtorch_find_dependencies()  # pybind11_add_module needs targets that another folder may keep to itself
  pybind11_add_module(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE ndtorch::ndtorch)
  set(here "$ORIGIN")
  if(APPLE)
    set(here "@loader_path")
  endif()
  foreach(property BUILD_RPATH INSTALL_RPATH)
    set_property(TARGET ${name} APPEND PROPERTY
      ${property} "${here}/torch/lib" "${here}/../torch/lib" "${here}/../../torch/lib")
  endforeach()
  get_property(prefix GLOBAL PROPERTY ndtorch_torch_prefix)
  # Those of pip, of build (and Poetry) and of uv.
  if(prefix MATCHES "/(pip-build-env-|build-env-)[^/]*/|/builds-v[0-9]+/")
    # Setuptools takes the module from the build tree (pybind11's cmake_example).
    set_target_properties(${name} PROPERTIES BUILD_WITH_INSTALL_RPATH ON)
  elseif(NOT SKBUILD)
    # CMake sets the RPATH in the build tree; this keeps it through `cmake --install`.
    set_target_properties(${name} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  endif()
endfunction()
