# ndtorch_find_torch([ERROR_VARIABLE <name>]): makes the target ndtorch::torch, LibTorch as a C++
# library, and ndtorch::torch_python where LibTorch has Python's part too.
#
# Takes the first of: a target `torch` that the project has already (its own find_package(Torch));
# Torch_DIR, Torch_ROOT, CMAKE_PREFIX_PATH, and the same in the environment, as find_package(Torch) would;
# the running Python's (Python_EXECUTABLE, or what `python3` starts). Without any there is no target.
# What can't be used stops the configure step, or goes as a text into the variable, and so does what
# was named and isn't there.
#
# The first folder of a project that asks decides for all; each later one is only checked: its flags
# (which are a folder's own), and that it names no other LibTorch.
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

function(_ndtorch_say text)
  if(NOT ndtorch_FIND_QUIETLY)
    message(STATUS "${text}")
  endif()
endfunction()

# The project's Python, under whatever name it was chosen, or what `python3` starts. Leaves in
# _ndtorch_python_error why the one that was named can't be used, or "".
macro(_ndtorch_find_python)
  set(_ndtorch_python_error "")
  # FindPython replaces what it passes over in the variable, though not in the cache.
  foreach(_ndtorch_chosen "$CACHE{Python_EXECUTABLE}" "${Python3_EXECUTABLE}" "$CACHE{Python3_EXECUTABLE}"
          "${PYTHON_EXECUTABLE}")
    if(NOT _ndtorch_chosen OR IS_ABSOLUTE "$CACHE{Python_EXECUTABLE}" AND Python_EXECUTABLE)
      continue()
    elseif(NOT Python_EXECUTABLE OR NOT IS_ABSOLUTE "${_ndtorch_chosen}")
      set(Python_EXECUTABLE "${_ndtorch_chosen}")
    endif()
  endforeach()
  set(_ndtorch_chosen "${Python_EXECUTABLE}")
  if(_ndtorch_chosen AND NOT IS_ABSOLUTE "${_ndtorch_chosen}")
    # To which folder it is relative CMake doesn't say.
    set(Python_Interpreter_FOUND FALSE)
    if(_ndtorch_chosen MATCHES "/")
      set(_ndtorch_chosen "$PWD/${_ndtorch_chosen}")
    else()
      set(_ndtorch_chosen "$(which ${_ndtorch_chosen})")
    endif()
    string(CONCAT _ndtorch_python_error
           "ndtorch: Python_EXECUTABLE is ${Python_EXECUTABLE}, which is no absolute path. Name it with -DPython_EXECUTABLE=${_ndtorch_chosen}.")
  else()
    set(Python_FIND_UNVERSIONED_NAMES FIRST)
    set(Python_FIND_STRATEGY LOCATION)
    # Python's own folders are taken as it names them, also where others are looked for below another
    # root only. Of version 3: FindPython would go on to 2, and forget the one whose headers are missing.
    set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
    set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY BOTH)
    cmake_policy(PUSH)
    if(POLICY CMP0190)
      # Also for another system: it is this interpreter that says where the packages are.
      cmake_policy(SET CMP0190 OLD)
    endif()
    # Where a root is named it comes before an activated environment. Not so one of the system's environment:
    # GitHub's setup-python names one below the virtual environments of its users.
    set(_ndtorch_python_root "")
    foreach(_ndtorch_folder "${Python_ROOT_DIR}" "${Python3_ROOT_DIR}")
      if(_ndtorch_folder AND NOT _ndtorch_chosen AND NOT _ndtorch_python_root)
        get_filename_component(_ndtorch_python_root "${_ndtorch_folder}" ABSOLUTE)
        set(Python_ROOT_DIR "${_ndtorch_python_root}")
        set(Python_FIND_VIRTUALENV STANDARD)
      endif()
    endforeach()
    find_package(Python 3 QUIET ${ARGN})
    cmake_policy(POP)
    if(NOT _ndtorch_chosen)
      set(_ndtorch_chosen "${Python_EXECUTABLE}")
    endif()
    _ndtorch_check_python(_ndtorch_python_error "${_ndtorch_chosen}")
    string(FIND "${_ndtorch_chosen}" "${_ndtorch_python_root}" _ndtorch_folder)
    if(NOT _ndtorch_folder EQUAL 0)
      set(Python_Interpreter_FOUND FALSE)
      string(CONCAT _ndtorch_python_error
             "ndtorch: Python_ROOT_DIR is ${_ndtorch_python_root}, and CMake's FindPython finds none there. "
             "Name a Python with -DPython_EXECUTABLE=<path>.")
    endif()
  endif()
endmacro()

# "", or why this Python can't be used. FindPython doesn't say, and neither it nor pybind11 sees that what
# they read isn't the answer.
function(_ndtorch_check_python result python)
  if(NOT python)
    set(${result} "ndtorch: no Python found. Name one with -DPython_EXECUTABLE=<path>." PARENT_SCOPE)
    return()
  endif()
  set(text "ndtorch: ${python} is no Python that runs. Name one with -DPython_EXECUTABLE=<path>.")
  execute_process(
    COMMAND "${python}" -c "import sys; sys.stdout.write('ndtorch %d.%d' % sys.version_info[:2])"
    OUTPUT_VARIABLE printed RESULT_VARIABLE status ERROR_QUIET)
  if(status EQUAL 0 AND printed MATCHES "^(.*)ndtorch ([0-9]+\\.[0-9]+)")
    set(version "${CMAKE_MATCH_2}")
    string(REGEX REPLACE "[ \n]+" " " printed "${CMAKE_MATCH_1}")
    string(SUBSTRING "${printed}" 0 60 printed)
    string(STRIP "${printed}" printed)
    if(printed)
      string(CONCAT text "ndtorch: ${python} prints \"${printed}\" whenever it starts (its sitecustomize, "
                         "usercustomize or a .pth file), which CMake's FindPython takes for an answer. "
                         "Let that go to sys.stderr.")
    elseif(version VERSION_LESS 3.10)
      set(text "ndtorch needs Python 3.10 or newer. Found Python ${version}, ${python}.")
    elseif(Python_Interpreter_FOUND)
      set(text "")
    else()
      string(CONCAT text "ndtorch: CMake's FindPython doesn't take ${python}, Python ${version}. "
                         "Does the project ask for another?")
    endif()
  endif()
  set(${result} "${text}" PARENT_SCOPE)
endfunction()

# As JSON, where that Python has its packages. On a line of its own, after what else is printed.
function(_ndtorch_locate result)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/locate.py"
    OUTPUT_VARIABLE packages ERROR_VARIABLE error RESULT_VARIABLE status)
  if(packages MATCHES "\nndtorch: ({[^\n]*})\n")
    set(packages "${CMAKE_MATCH_1}")
  else()
    # Only what ends the process comes here: numpy's own libraries, say.
    string(REGEX REPLACE "[\"\\\\\t\r]" "'" error "${error}")
    string(REGEX MATCH "[^\n]*\n*$" error "${error}")
    string(STRIP "${error}" error)
    set(packages "{\"numpy\": {\"error\": \"Python ended (${status}) ${error}\"}}")
  endif()
  set(${result} "${packages}" PARENT_SCOPE)
endfunction()

# "", or that the package is there and can't be imported.
function(_ndtorch_broken result packages name)
  set(${result} "" PARENT_SCOPE)
  string(JSON error ERROR_VARIABLE none GET "${packages}" ${name} error)
  if(NOT none)
    string(CONCAT text "ndtorch: ${name} can't be imported in ${Python_EXECUTABLE}:\n  ${error}\n"
                       "Mend it, or name another Python with -DPython_EXECUTABLE=<path>.")
    set(${result} "${text}" PARENT_SCOPE)
  endif()
endfunction()

# A shared library's path, in the variable of its name; also in a project that looks for static ones, or
# for those of another system.
function(_ndtorch_find_library name folder)
  set(CMAKE_FIND_LIBRARY_PREFIXES lib)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .so)
  if(APPLE)
    set(CMAKE_FIND_LIBRARY_SUFFIXES .dylib)
  endif()
  find_library(_ndtorch_library ${name} PATHS "${folder}"
    NO_DEFAULT_PATH NO_CACHE NO_CMAKE_FIND_ROOT_PATH)
  set(${name} "${_ndtorch_library}" PARENT_SCOPE)
endfunction()

# The prefix of the LibTorch that the target `torch` of the project is, or "": others have targets of that
# name too (programs, commands), and only an imported one with ATen's headers is LibTorch.
function(_ndtorch_target_torch result)
  set(${result} "" PARENT_SCOPE)
  if(TARGET torch)
    get_target_property(imported torch IMPORTED)
    get_target_property(folders torch INTERFACE_INCLUDE_DIRECTORIES)
    if(imported)
      foreach(folder IN LISTS folders)
        if(EXISTS "${folder}/ATen/ATen.h")
          get_filename_component(folder "${folder}" DIRECTORY)
          set(${result} "${folder}" PARENT_SCOPE)
          return()
        endif()
      endforeach()
    endif()
  endif()
endfunction()

# The folder of the TorchConfig.cmake that the project or its user names, in find_package's order, or
# "". A name of LibTorch alone that leads to none is an error: another one isn't what was asked for.
function(_ndtorch_named_torch result error)
  set(${result} "" PARENT_SCOPE)
  set(${error} "" PARENT_SCOPE)
  foreach(name Torch_DIR Torch_ROOT ENV{Torch_ROOT} CMAKE_PREFIX_PATH ENV{Torch_DIR} ENV{CMAKE_PREFIX_PATH})
    if(name MATCHES "^ENV{(.*)}$")
      set(folders "$ENV{${CMAKE_MATCH_1}}")
      string(REPLACE ":" ";" folders "${folders}")
    else()
      set(folders "${${name}}")
    endif()
    if(folders)
      list(TRANSFORM folders REPLACE "^([^/])" "${CMAKE_CURRENT_SOURCE_DIR}/\\1")
      # A long name: nothing is searched for where the variable is set, and a project's are seen here.
      unset(_ndtorch_config_dir)
      find_path(_ndtorch_config_dir TorchConfig.cmake
        PATHS ${folders} PATH_SUFFIXES Torch share/cmake/Torch
        NO_DEFAULT_PATH NO_CACHE CMAKE_FIND_ROOT_PATH_BOTH)
      if(_ndtorch_config_dir)
        set(${result} "${_ndtorch_config_dir}" PARENT_SCOPE)
        return()
      elseif(NOT name MATCHES "PREFIX")
        string(REGEX REPLACE "^ENV{(.*)}$" "\\1 of the environment" name "${name}")
        string(CONCAT text "ndtorch: ${name} is ${folders}, where no TorchConfig.cmake is. Let it name the "
                           "folder of one (<prefix>/share/cmake/Torch), or unset it.")
        set(${error} "${text}" PARENT_SCOPE)
        return()
      endif()
    endif()
  endforeach()
endfunction()

# "", or why the flags of this folder don't go with LibTorch. Each folder has its own, and such an
# extension fails only when Python imports it.
function(_ndtorch_check_flags result)
  set(${result} "" PARENT_SCOPE)
  get_property(prefix GLOBAL PROPERTY ndtorch_torch_prefix)
  get_property(abi GLOBAL PROPERTY ndtorch_torch_abi)
  # A long name, as one that isn't set here may be a project's.
  get_property(_ndtorch_libcxx GLOBAL PROPERTY ndtorch_torch_libcxx)
  get_directory_property(definitions COMPILE_DEFINITIONS)
  get_directory_property(options COMPILE_OPTIONS)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
  string(CONCAT flags "${CMAKE_CXX_COMPILER_ARG1} ${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${type}} "
                      "${definitions} ${options}")
  # Advice of old, still in many projects.
  string(REGEX MATCHALL "_GLIBCXX_USE_CXX11_ABI=[01]" chosen "${flags}")
  list(REMOVE_ITEM chosen "${abi}")
  if(chosen)
    list(GET chosen 0 chosen)
    string(CONCAT text "ndtorch: the project is compiled with -D${chosen}, and LibTorch in ${prefix} with "
                       "-D${abi}: its functions with std::string would not be found. Remove it.")
    set(${result} "${text}" PARENT_SCOPE)
    return()
  endif()
  string(REGEX MATCHALL "-stdlib=[a-z+]+" chosen "${flags}")
  if(chosen)
    list(GET chosen -1 chosen)  # the last one counts
  endif()
  if(chosen STREQUAL "-stdlib=libc++" AND NOT APPLE AND NOT _ndtorch_libcxx)
    string(CONCAT text "ndtorch: the project is compiled with ${chosen}, and LibTorch in ${prefix} with "
                       "libstdc++: its functions with std::string would not be found. Remove it.")
    set(${result} "${text}" PARENT_SCOPE)
  endif()
endfunction()

function(ndtorch_find_torch)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "ERROR_VARIABLE" "")
  if(arg_ERROR_VARIABLE)
    set(${arg_ERROR_VARIABLE} "" PARENT_SCOPE)
  endif()
  _ndtorch_target_torch(own)
  set(named "${own}/share/cmake/Torch")
  set(error "")
  if(NOT own)
    _ndtorch_named_torch(named error)
    if(error)
      _ndtorch_fail("${error}")
    endif()
  endif()
  if(TARGET ndtorch::torch)
    _ndtorch_check_same("${named}" error)
    if(NOT error)
      _ndtorch_check_flags(error)
    endif()
    if(error)
      _ndtorch_fail("${error}")
    endif()
    return()
  endif()

  set(config_dir "${named}")
  if(NOT config_dir)
    if(NOT Python_Interpreter_FOUND)
      _ndtorch_find_python(COMPONENTS Interpreter)
    endif()
    if(NOT Python_Interpreter_FOUND)
      if(_ndtorch_chosen)
        _ndtorch_fail("${_ndtorch_python_error}")
      endif()
      return()
    endif()
    _ndtorch_locate(packages)
    string(JSON config_dir ERROR_VARIABLE error GET "${packages}" torch cmake)
    if(error)
      return()
    endif()
  endif()
  get_filename_component(prefix "${config_dir}/../../.." ABSOLUTE)
  set(lib "${prefix}/lib")
  if(own)
    get_target_property(type torch TYPE)
    if(NOT type STREQUAL "INTERFACE_LIBRARY")
      get_target_property(lib torch LOCATION)
      get_filename_component(lib "${lib}" DIRECTORY)
    endif()
  endif()
  foreach(name c10 torch_cpu torch)
    _ndtorch_find_library(${name} "${lib}")
    if(NOT ${name} AND NOT own)
      _ndtorch_fail("ndtorch: LibTorch in ${prefix} has no shared library `${name}`.")
    endif()
  endforeach()

  set(config "")
  set(config_version "")
  if(EXISTS "${config_dir}/TorchConfig.cmake")
    file(READ "${config_dir}/TorchConfig.cmake" config)
  endif()
  if(EXISTS "${config_dir}/TorchConfigVersion.cmake")
    file(READ "${config_dir}/TorchConfigVersion.cmake" config_version)
  endif()
  if(own)
    get_target_property(options torch INTERFACE_COMPILE_OPTIONS)
    string(APPEND config " ${options}")
  endif()
  set(abi "_GLIBCXX_USE_CXX11_ABI=1")  # that of the wheels, which no longer say so
  if(config MATCHES "_GLIBCXX_USE_CXX11_ABI=[01]")
    set(abi "${CMAKE_MATCH_0}")
  endif()
  # As a property up to LibTorch 2.13, later as a compile feature.
  string(REGEX MATCH "(CXX_STANDARD |cxx_std_)([0-9]+)" _ "${config}")
  set(standard "${CMAKE_MATCH_2}")
  string(REGEX MATCH "PACKAGE_VERSION \"([^\"]+)\"" _ "${config_version}")
  set(version "${CMAKE_MATCH_1}")
  if(version AND version VERSION_LESS 2.10)
    _ndtorch_fail("ndtorch needs LibTorch 2.10 or newer, whose ATen/dlpack.h is that of DLPack 1.3. "
                  "Found LibTorch ${version} in ${prefix}.")
  endif()
  # Names of libc++ in a library that has strings in its functions.
  set(libcxx "")
  if(c10)
    file(STRINGS "${c10}" libcxx REGEX "NSt3__1" LIMIT_COUNT 1)
  endif()
  set_property(GLOBAL PROPERTY ndtorch_torch_prefix "${prefix}")
  set_property(GLOBAL PROPERTY ndtorch_torch_abi "${abi}")
  set_property(GLOBAL PROPERTY ndtorch_torch_libcxx "${libcxx}")
  _ndtorch_check_flags(error)
  if(error)
    _ndtorch_fail("${error}")
  endif()

  add_library(ndtorch::torch INTERFACE IMPORTED GLOBAL)
  target_compile_definitions(ndtorch::torch INTERFACE ${abi})
  if(libcxx)
    target_compile_definitions(ndtorch::torch INTERFACE NDTORCH_LIBTORCH_HAS_LIBCXX)
  endif()
  if(own)
    get_target_property(own_standard torch CXX_STANDARD)
    if(own_standard)
      set(standard "${own_standard}")
    endif()
  endif()
  if(standard)
    target_compile_features(ndtorch::torch INTERFACE cxx_std_${standard})
  endif()
  if(own)
    target_link_libraries(ndtorch::torch INTERFACE torch)
  else()
    target_include_directories(ndtorch::torch INTERFACE
      "${prefix}/include" "${prefix}/include/torch/csrc/api/include")
    target_link_libraries(ndtorch::torch INTERFACE "${torch_cpu}" "${c10}")
    # Nothing refers to a symbol of libtorch itself: its work is to load the libraries that hold a
    # device's kernels (libtorch_cuda), so the linker has to be told to keep it.
    if(APPLE)
      target_link_libraries(ndtorch::torch INTERFACE "${torch}")
    else()
      # As an option, since Meson drops flags among the libraries.
      target_link_options(ndtorch::torch INTERFACE
        "-Wl,--push-state,--no-as-needed,${torch},--pop-state")
    endif()
  endif()
  _ndtorch_find_torch_python("${lib}")
  if(own)
    _ndtorch_say("Found LibTorch: the project's own target `torch`")
  else()
    _ndtorch_say("Found LibTorch: ${prefix} (found version \"${version}\")")
  endif()
endfunction()

# "", or that this folder names another LibTorch than the one in use, of which a program can have one.
function(_ndtorch_check_same config_dir result)
  set(${result} "" PARENT_SCOPE)
  get_property(used GLOBAL PROPERTY ndtorch_torch_prefix)
  get_filename_component(used "${used}" REALPATH)
  get_filename_component(prefix "${config_dir}/../../.." REALPATH)
  if(config_dir AND NOT prefix STREQUAL used)
    string(CONCAT text "ndtorch: one part of the project uses LibTorch in ${used}, and this one "
                       "names that in ${prefix}. Name one for all with -DTorch_DIR=<prefix>/share/cmake/Torch.")
    set(${result} "${text}" PARENT_SCOPE)
  endif()
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
