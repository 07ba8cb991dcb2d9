# _ndtorch_same_version(<version> <result>): takes note of the version that the project uses, and gives "", or
# the error that one of another version is used already: the first one's functions and targets are there.
include_guard(GLOBAL)

function(_ndtorch_same_version version result)
  set(${result} "" PARENT_SCOPE)
  # A long name, which no project has in its cache: a property that isn't set leaves the variable unset.
  get_property(_ndtorch_used GLOBAL PROPERTY ndtorch_version)
  if(_ndtorch_used AND NOT _ndtorch_used STREQUAL version)
    string(CONCAT text "ndtorch ${_ndtorch_used} is used by one part of the project, and this one brings ndtorch "
                       "${version}. Bring one for all.")
    set(${result} "${text}" PARENT_SCOPE)
  elseif(NOT _ndtorch_used)
    set_property(GLOBAL PROPERTY ndtorch_version "${version}")
  endif()
endfunction()
