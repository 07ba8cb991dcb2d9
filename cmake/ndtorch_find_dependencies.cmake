# ndtorch_find_dependencies([ERROR_VARIABLE <name>]): makes the target ndtorch::dependencies, all that
# ndtorch's headers include and link: pybind11, Python, NumPy and LibTorch, those of the running Python.
# A missing one stops the configure step with the one command that installs it, or goes as a text into
# the variable.
#
# What the project chose stays: its targets (pybind11's, `torch`), Python_EXECUTABLE, pybind11_DIR,
# Torch_DIR, CMAKE_PREFIX_PATH. The first folder that calls this chooses for all; each later call gives
# its own folder what was found, since targets of others may be local to the folder that found them. Those
# found here are global, so a project that has ndtorch as a subdirectory can use them; no variable leaves
# this file's functions.
include_guard(GLOBAL)
include("${CMAKE_CURRENT_LIST_DIR}/ndtorch_find_torch.cmake")

# The pip requirement of torch in messages: the version that the tests run with, where it is known.
set(_ndtorch_pip_torch torch)
if(EXISTS "${CMAKE_CURRENT_LIST_DIR}/../requirements.txt")
  file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../requirements.txt" _ndtorch_pip_torch REGEX "^torch==")
endif()
set_property(GLOBAL PROPERTY ndtorch_pip_torch "${_ndtorch_pip_torch}")
unset(_ndtorch_pip_torch)

function(ndtorch_find_dependencies)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "ERROR_VARIABLE" "")
  if(arg_ERROR_VARIABLE)
    set(${arg_ERROR_VARIABLE} "" PARENT_SCOPE)
  endif()
  if(TARGET ndtorch::dependencies)
    ndtorch_find_torch(ERROR_VARIABLE error)
    if(NOT error)
      _ndtorch_find_in_this_folder(error)
    endif()
    if(error)
      _ndtorch_fail("${error}")
    endif()
    return()
  endif()
  set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)
  if(ndtorch_FIND_QUIETLY)
    set(CMAKE_REQUIRED_QUIET ON)
  endif()

  _ndtorch_find_python(COMPONENTS Interpreter Development.Module
                       OPTIONAL_COMPONENTS Development.Embed)
  if(_ndtorch_python_error)
    _ndtorch_fail("${_ndtorch_python_error}")
  elseif(NOT Python_Development.Module_FOUND)
    _ndtorch_fail("ndtorch: ${Python_EXECUTABLE} has no Python.h. Install Python's headers:\n"
                  "  apt-get install python3-dev\n"
                  "or your system's equivalent (python3-devel).")
  endif()
  _ndtorch_say("Found Python: ${Python_EXECUTABLE} (found version \"${Python_VERSION}\")")
  _ndtorch_locate(packages)
  set(missing "")

  string(JSON numpy_include ERROR_VARIABLE error GET "${packages}" numpy include)
  _ndtorch_broken(broken "${packages}" numpy)
  if(broken)
    _ndtorch_fail("${broken}")
  elseif(error)
    list(APPEND missing numpy)
  else()
    string(JSON version GET "${packages}" numpy version)
    _ndtorch_say("Found NumPy: ${numpy_include} (found version \"${version}\")")
  endif()

  ndtorch_find_torch(ERROR_VARIABLE error)
  if(error)
    _ndtorch_fail("${error}")
  elseif(NOT TARGET ndtorch::torch)
    get_property(pip_torch GLOBAL PROPERTY ndtorch_pip_torch)
    list(APPEND missing ${pip_torch})
  endif()

  set(pybind11_found_in "")
  if(NOT TARGET pybind11::headers)
    string(JSON pybind11_hint ERROR_VARIABLE error GET "${packages}" pybind11 cmake)
    if(error)
      set(pybind11_hint "")
    endif()
    set(chosen "${pybind11_DIR}")
    # What Python named is taken as it is, also where packages are looked for below another root only.
    set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
    if(SKBUILD AND pybind11_hint AND NOT chosen)
      # scikit-build-core's CMAKE_PREFIX_PATH is nobody's choice: in an isolated build it has the folder
      # of the environment around it, and what lies there may be of another version.
      find_package(pybind11 CONFIG QUIET PATHS ${pybind11_hint} NO_DEFAULT_PATH)
    endif()
    find_package(pybind11 CONFIG QUIET HINTS ${pybind11_hint})
    set(pybind11_found_in "${pybind11_DIR}")
    if(NOT chosen)
      unset(pybind11_DIR CACHE)  # or the next configure step would not ask its Python again
    endif()
  endif()
  if(NOT TARGET pybind11::headers)
    _ndtorch_broken(broken "${packages}" pybind11)
    if(broken)
      _ndtorch_fail("${broken}")
    endif()
    list(APPEND missing pybind11)
  endif()

  if(missing)
    list(JOIN missing " " missing)
    _ndtorch_fail("ndtorch: not installed: ${missing}. Install with\n"
                  "  ${Python_EXECUTABLE} -m pip install ${missing}\n"
                  "or name a Python that has them with -DPython_EXECUTABLE=<path>.")
  endif()

  # LibTorch's include directory has a copy of pybind11, mostly of another version. The order of the
  # links puts pybind11's own before it, and the compiler's own directories after it: a pybind11
  # that lies there (/usr/include) needs a second name.
  _ndtorch_pybind11_folder(folder)
  if(folder IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
    file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/pybind11_first")
    file(CREATE_LINK "${folder}/pybind11" "${CMAKE_BINARY_DIR}/pybind11_first/pybind11" SYMBOLIC)
    list(PREPEND numpy_include "${CMAKE_BINARY_DIR}/pybind11_first")
  endif()
  if(folder)
    _ndtorch_pybind11_version(version "${folder}")
    if(version VERSION_LESS 2.13)
      _ndtorch_fail("ndtorch needs pybind11 2.13 or newer. Found pybind11 ${version} in ${folder}.")
    endif()
    _ndtorch_say("Found pybind11: ${folder} (found version \"${version}\")")
  else()
    _ndtorch_say("Found pybind11: the project's own target `pybind11::headers`")
  endif()

  if(NOT pybind11_found_in)
    set(pybind11_found_in "${pybind11_DIR}")
  endif()
  set_property(GLOBAL PROPERTY ndtorch_python "${Python_EXECUTABLE}")
  set_property(GLOBAL PROPERTY ndtorch_python_includes "${Python_INCLUDE_DIRS}")
  set_property(GLOBAL PROPERTY ndtorch_pybind11_dir "${pybind11_found_in}")
  _ndtorch_find_in_this_folder(error)
  if(error)
    _ndtorch_fail("${error}")
  endif()

  add_library(ndtorch::dependencies INTERFACE IMPORTED GLOBAL)
  target_include_directories(ndtorch::dependencies INTERFACE ${numpy_include})
  target_link_libraries(ndtorch::dependencies INTERFACE pybind11::pybind11 ndtorch::torch ${CMAKE_DL_LIBS})
endfunction()

# The targets that pybind11_add_module takes, which an imported package leaves to the folder that found
# it, and those below: of the Python and the pybind11 that were found first. "", or why they can't be.
function(_ndtorch_find_in_this_folder result)
  set(${result} "" PARENT_SCOPE)
  get_property(python GLOBAL PROPERTY ndtorch_python)
  get_property(_ndtorch_includes GLOBAL PROPERTY ndtorch_python_includes)
  get_property(_ndtorch_pybind11_dir GLOBAL PROPERTY ndtorch_pybind11_dir)
  set(finder Python)
  if(_Python MATCHES "^Python3?$")
    set(finder "${_Python}")  # pybind11's own note of the targets that its functions take
  endif()
  if(NOT TARGET ${finder}::Module)
    set(${finder}_EXECUTABLE "${python}")
    find_package(${finder} QUIET COMPONENTS Interpreter Development.Module
                 OPTIONAL_COMPONENTS Development.Embed)
  endif()
  if(NOT TARGET pybind11::headers AND _ndtorch_pybind11_dir)
    # It chooses between its two ways to find Python by what it sees here: the same way again.
    set(Python_FOUND FALSE)
    set(Python3_FOUND FALSE)
    if(_Python STREQUAL finder)
      set(${finder}_FOUND TRUE)
      set(PYBIND11_FINDPYTHON ON)
    else()
      set(PYBIND11_FINDPYTHON OFF)
      set(PYTHON_EXECUTABLE "${python}")
    endif()
    set(chosen "${pybind11_DIR}")
    find_package(pybind11 CONFIG QUIET PATHS "${_ndtorch_pybind11_dir}" NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH)
    if(NOT chosen)
      unset(pybind11_DIR CACHE)
    endif()
  endif()
  if(TARGET ${finder}::Module)
    get_target_property(here ${finder}::Module INTERFACE_INCLUDE_DIRECTORIES)
    if(here AND _ndtorch_includes AND NOT here STREQUAL _ndtorch_includes)
      string(CONCAT text "ndtorch: one part of the project uses ${python}, and this one has a target "
                         "${finder}::Module whose headers are in ${here}. Name one Python for all with "
                         "-DPython_EXECUTABLE=<path>.")
      set(${result} "${text}" PARENT_SCOPE)
    endif()
  endif()
endfunction()

# From the targets, since a project may have brought its own in a directory whose variables aren't seen
# here. A package has the folder in the second target, to which the first one links.
function(_ndtorch_pybind11_folder result)
  set(${result} "" PARENT_SCOPE)
  foreach(target pybind11::headers pybind11::pybind11_headers)
    if(TARGET ${target})
      get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
      # A folder may stand in $<BUILD_INTERFACE:...>, and others beside it.
      list(TRANSFORM folders REPLACE "^\\$<.*:|>+$" "")
      foreach(folder IN LISTS folders)
        if(EXISTS "${folder}/pybind11/detail/common.h")
          set(${result} "${folder}" PARENT_SCOPE)
          return()
        endif()
      endforeach()
    endif()
  endforeach()
endfunction()

# From the header, since a target says no version.
function(_ndtorch_pybind11_version result include_dir)
  set(parts "")
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS "${include_dir}/pybind11/detail/common.h" line
         REGEX "^# *define PYBIND11_VERSION_${part} " LIMIT_COUNT 1)
    string(REGEX REPLACE ".*${part} +" "" line "${line}")
    list(APPEND parts "${line}")
  endforeach()
  list(JOIN parts "." parts)
  set(${result} "${parts}" PARENT_SCOPE)
endfunction()
