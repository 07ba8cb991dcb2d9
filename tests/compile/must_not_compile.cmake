# Compiles SOURCE, and fails unless the compiler refuses it and prints what the file's first lines say:
#   // error: <regular expression>   an error that matches; several lines for several errors
#   // and: <regular expression>     anything else
file(STRINGS "${SOURCE}" lines)
set(patterns "")
foreach(line IN LISTS lines)
  if(line MATCHES "^// error: (.+)$")
    list(APPEND patterns "error:[^\n]*${CMAKE_MATCH_1}")
  elseif(line MATCHES "^// and: (.+)$")
    list(APPEND patterns "${CMAKE_MATCH_1}")
  else()
    break()
  endif()
endforeach()
if(NOT patterns)
  message(FATAL_ERROR "The first line of ${SOURCE} must be: // error: <regular expression>")
endif()

execute_process(
  COMMAND "${COMPILER}" "@${FLAGS}" -std=c++17 "${SOURCE}"
  RESULT_VARIABLE status ERROR_VARIABLE output)
if(status EQUAL 0)
  message(FATAL_ERROR "It compiles: ${SOURCE}")
endif()
foreach(pattern IN LISTS patterns)
  if(NOT output MATCHES "${pattern}")
    message(FATAL_ERROR "Nothing matches \"${pattern}\" in\n${output}")
  endif()
endforeach()
