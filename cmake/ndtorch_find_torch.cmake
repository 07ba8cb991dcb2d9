# ndtorch_find_torch([CONFIG_DIR <dir>]): makes the target ndtorch::torch, LibTorch as a C++ library.
#
# Takes the first of: a target `torch` that the project has already (its own find_package(Torch));
# Torch_DIR; CMAKE_PREFIX_PATH; CONFIG_DIR. Without any, there is no target.
#
# LibTorch's own TorchConfig.cmake is read but not run. It warns about libraries that no wheel has
# (kineto), stops where a CUDA build has no CUDA toolkit beside it, although building against its
# C++ API needs none, looks for MKL, and leaves variables and targets with common names behind. All
# wheels and archives have one layout, so only two facts in it count: the C++ standard and the ABI.
include_guard(GLOBAL)

function(ndtorch_find_torch)
  if(TARGET ndtorch::torch)
    return()
  endif()
  if(TARGET torch)
    add_library(ndtorch::torch INTERFACE IMPORTED GLOBAL)
    target_link_libraries(ndtorch::torch INTERFACE torch)
    get_target_property(standard torch CXX_STANDARD)
    if(standard)
      target_compile_features(ndtorch::torch INTERFACE cxx_std_${standard})
    endif()
    message(STATUS "Found LibTorch: the project's own target `torch`")
    return()
  endif()

  cmake_parse_arguments(PARSE_ARGV 0 arg "" "CONFIG_DIR" "")
  find_path(config_dir TorchConfig.cmake
    HINTS ${Torch_DIR} ${CMAKE_PREFIX_PATH} ENV CMAKE_PREFIX_PATH
    PATHS ${arg_CONFIG_DIR}
    PATH_SUFFIXES Torch share/cmake/Torch
    NO_DEFAULT_PATH NO_CACHE)
  if(NOT config_dir)
    return()
  endif()
  get_filename_component(prefix "${config_dir}/../../.." ABSOLUTE)
  foreach(name c10 torch_cpu torch)
    find_library(${name} ${name} PATHS "${prefix}/lib" NO_DEFAULT_PATH NO_CACHE)
    if(NOT ${name})
      message(FATAL_ERROR "ndtorch: LibTorch in ${prefix} has no shared library `${name}`.")
    endif()
  endforeach()

  file(READ "${config_dir}/TorchConfig.cmake" config)
  string(REGEX MATCH "_GLIBCXX_USE_CXX11_ABI=[01]" abi "${config}")
  # As a property up to LibTorch 2.13, later as a compile feature.
  string(REGEX MATCH "(CXX_STANDARD |cxx_std_)([0-9]+)" _ "${config}")
  set(standard "${CMAKE_MATCH_2}")
  file(READ "${config_dir}/TorchConfigVersion.cmake" config)
  string(REGEX MATCH "PACKAGE_VERSION \"([^\"]+)\"" _ "${config}")
  set(version "${CMAKE_MATCH_1}")
  if(version VERSION_LESS 2.10)
    message(FATAL_ERROR "ndtorch needs LibTorch 2.10 or newer, whose ATen/dlpack.h is that of DLPack "
                        "1.3. Found LibTorch ${version} in ${prefix}.")
  endif()

  add_library(ndtorch::torch INTERFACE IMPORTED GLOBAL)
  target_include_directories(ndtorch::torch INTERFACE
    "${prefix}/include" "${prefix}/include/torch/csrc/api/include")
  target_compile_definitions(ndtorch::torch INTERFACE ${abi})
  if(standard)
    target_compile_features(ndtorch::torch INTERFACE cxx_std_${standard})
  endif()
  target_link_libraries(ndtorch::torch INTERFACE "${torch_cpu}" "${c10}")
  # Nothing refers to a symbol of libtorch itself: its work is to load the libraries that hold a
  # device's kernels (libtorch_cuda), so the linker has to be told to keep it.
  if(APPLE)
    target_link_libraries(ndtorch::torch INTERFACE "${torch}")
  else()
    target_link_libraries(ndtorch::torch INTERFACE
      "-Wl,--push-state,--no-as-needed,\"${torch}\",--pop-state")
  endif()
  find_library(torch_python torch_python PATHS "${prefix}/lib" NO_DEFAULT_PATH NO_CACHE)
  if(torch_python)  # an archive for C++ alone has none
    set_property(GLOBAL PROPERTY ndtorch_torch_python "${torch_python}")
  endif()
  message(STATUS "Found LibTorch: ${prefix} (found version \"${version}\")")
endfunction()
