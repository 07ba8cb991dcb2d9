# ndtorch_find_torch([ERROR_VARIABLE <name>]): makes the target ndtorch::torch, LibTorch as a C++
# library, and ndtorch::torch_python where LibTorch has Python's part too.
#
# Takes the first of: a target `torch` that the project has already (its own find_package(Torch));
# Torch_DIR; CMAKE_PREFIX_PATH; the running Python's (Python_EXECUTABLE, or what `python3` starts).
# Without any there is no target. What can't be used stops the configure step, or goes as a text into
# the variable.
#
# LibTorch's own TorchConfig.cmake is read but not run. It warns about libraries that no wheel has
# (kineto), stops where a CUDA build has no CUDA toolkit beside it, although building against its
# C++ API needs none, looks for MKL, and leaves variables and targets with common names behind. All
# wheels and archives have one layout, so only two facts in it count: the C++ standard and the ABI.
include_guard(GLOBAL)

# In a function that takes ERROR_VARIABLE: leaves it with this text.
macro(_ndtorch_fail)
  string(CONCAT text ${ARGN})
  if(NOT arg_ERROR_VARIABLE)
    message(FATAL_ERROR "${text}")
  endif()
  set(${arg_ERROR_VARIABLE} "${text}" PARENT_SCOPE)
  return()
endmacro()

# The project's Python, under whatever name it was chosen, or what `python3` starts.
macro(_ndtorch_find_python)
  foreach(chosen "${Python3_EXECUTABLE}" "${PYTHON_EXECUTABLE}")
    if(NOT Python_EXECUTABLE AND chosen)
      set(Python_EXECUTABLE "${chosen}")
    endif()
  endforeach()
  set(Python_FIND_UNVERSIONED_NAMES FIRST)
  set(Python_FIND_STRATEGY LOCATION)
  find_package(Python QUIET ${ARGN})
endmacro()

# As JSON, where that Python has its packages.
function(_ndtorch_locate result)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/locate.py"
    OUTPUT_VARIABLE packages COMMAND_ERROR_IS_FATAL ANY)
  set(${result} "${packages}" PARENT_SCOPE)
endfunction()

# A shared library's path, in the variable of its name; also in a project that looks for static ones.
function(_ndtorch_find_library name folder)
  set(CMAKE_FIND_LIBRARY_PREFIXES lib)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .so)
  if(APPLE)
    set(CMAKE_FIND_LIBRARY_SUFFIXES .dylib)
  endif()
  find_library(_ndtorch_library ${name} PATHS "${folder}" NO_DEFAULT_PATH NO_CACHE)
  set(${name} "${_ndtorch_library}" PARENT_SCOPE)
endfunction()

function(ndtorch_find_torch)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "ERROR_VARIABLE" "")
  if(arg_ERROR_VARIABLE)
    set(${arg_ERROR_VARIABLE} "" PARENT_SCOPE)
  endif()
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
    get_target_property(location torch LOCATION)
    get_filename_component(location "${location}" DIRECTORY)
    _ndtorch_find_torch_python("${location}")
    message(STATUS "Found LibTorch: the project's own target `torch`")
    return()
  endif()

  # A long name, as above: nothing is searched for where the variable is set, and a project's are seen here.
  find_path(_ndtorch_config_dir TorchConfig.cmake
    HINTS ${Torch_DIR} ${CMAKE_PREFIX_PATH} ENV CMAKE_PREFIX_PATH
    PATH_SUFFIXES Torch share/cmake/Torch
    NO_DEFAULT_PATH NO_CACHE)
  if(NOT _ndtorch_config_dir)
    if(NOT Python_Interpreter_FOUND)
      _ndtorch_find_python(COMPONENTS Interpreter)
    endif()
    if(NOT Python_Interpreter_FOUND)
      return()
    endif()
    _ndtorch_locate(packages)
    string(JSON _ndtorch_config_dir ERROR_VARIABLE error GET "${packages}" torch cmake)
    if(error)
      return()
    endif()
  endif()
  get_filename_component(prefix "${_ndtorch_config_dir}/../../.." ABSOLUTE)
  foreach(name c10 torch_cpu torch)
    _ndtorch_find_library(${name} "${prefix}/lib")
    if(NOT ${name})
      _ndtorch_fail("ndtorch: LibTorch in ${prefix} has no shared library `${name}`.")
    endif()
  endforeach()

  file(READ "${_ndtorch_config_dir}/TorchConfig.cmake" config)
  set(abi "_GLIBCXX_USE_CXX11_ABI=1")  # that of the wheels, which no longer say so
  if(config MATCHES "_GLIBCXX_USE_CXX11_ABI=[01]")
    set(abi "${CMAKE_MATCH_0}")
  endif()
  # As a property up to LibTorch 2.13, later as a compile feature.
  string(REGEX MATCH "(CXX_STANDARD |cxx_std_)([0-9]+)" _ "${config}")
  set(standard "${CMAKE_MATCH_2}")
  file(READ "${_ndtorch_config_dir}/TorchConfigVersion.cmake" config)
  string(REGEX MATCH "PACKAGE_VERSION \"([^\"]+)\"" _ "${config}")
  set(version "${CMAKE_MATCH_1}")
  if(version VERSION_LESS 2.10)
    _ndtorch_fail("ndtorch needs LibTorch 2.10 or newer, whose ATen/dlpack.h is that of DLPack 1.3. "
                  "Found LibTorch ${version} in ${prefix}.")
  endif()
  # Advice of old, still in many projects; such an extension fails only when Python imports it.
  get_directory_property(definitions COMPILE_DEFINITIONS)
  get_directory_property(options COMPILE_OPTIONS)
  string(REGEX MATCHALL "_GLIBCXX_USE_CXX11_ABI=[01]" chosen
         "${CMAKE_CXX_FLAGS} ${definitions} ${options}")
  list(REMOVE_ITEM chosen "${abi}")
  if(chosen)
    _ndtorch_fail("ndtorch: the project is compiled with -D${chosen}, and LibTorch in ${prefix} with "
                  "-D${abi}: its functions with std::string would not be found. Remove it.")
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

  _ndtorch_find_torch_python("${prefix}/lib")
  message(STATUS "Found LibTorch: ${prefix} (found version \"${version}\")")
endfunction()

# For authors who link libtorch_python anyway: as_tensor and to_torch then keep autograd and identity.
function(_ndtorch_find_torch_python folder)
  _ndtorch_find_library(torch_python "${folder}")
  if(torch_python)  # an archive for C++ alone has none
    set_property(GLOBAL PROPERTY ndtorch_torch_python "${torch_python}")
    add_library(ndtorch::torch_python INTERFACE IMPORTED GLOBAL)
    target_link_libraries(ndtorch::torch_python INTERFACE ndtorch::ndtorch "${torch_python}")
    target_compile_definitions(ndtorch::torch_python INTERFACE NDTORCH_TORCH_PYTHON)
  endif()
endfunction()
