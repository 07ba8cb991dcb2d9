# ndtorch_add_module(<name> <source>...): a Python extension module that uses ndtorch. Arguments are
# those of pybind11_add_module, which it calls: hidden symbols, Python's own file name, and LTO in an
# optimised build. Without a CMAKE_BUILD_TYPE it says that nothing is optimised. The module finds LibTorch
# through its RPATH, so Python need not import torch first:
#
# - in the build tree, and after `cmake --install`, through LibTorch's path;
# - in a wheel that scikit-build-core builds, in the folder `torch` beside the module or beside the
#   package that holds it (two levels of packages at most), which is where pip puts it on whatever
#   machine. The path here would be no good there, nor safe: that of an isolated build is temporary,
#   and anyone may make it again.
include_guard(GLOBAL)

function(ndtorch_add_module name)
  get_property(several GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
  if(NOT CMAKE_BUILD_TYPE AND NOT several AND NOT CMAKE_CXX_FLAGS MATCHES "-O")
    message(STATUS "${name} is built without optimisation: add -DCMAKE_BUILD_TYPE=Release")
  endif()
  ndtorch_find_dependencies()  # pybind11_add_module needs targets that another folder may keep to itself
  pybind11_add_module(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE ndtorch::ndtorch)
  if(SKBUILD)
    set(here "$ORIGIN")
    if(APPLE)
      set(here "@loader_path")
    endif()
    set_property(TARGET ${name} APPEND PROPERTY
      INSTALL_RPATH "${here}/torch/lib" "${here}/../torch/lib" "${here}/../../torch/lib")
  else()
    # CMake sets the RPATH in the build tree; this keeps it through `cmake --install`.
    set_target_properties(${name} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  endif()
endfunction()
