# Compiles SOURCE, and fails unless the compiler refuses it with an error that matches the pattern
# in the file's first line: // error: <regular expression>
# A second line, // and: <regular expression>, is for what else the compiler is to print.
file(STRINGS "${SOURCE}" lines LIMIT_COUNT 2)
list(GET lines 0 first)
list(GET lines 1 second)
if(NOT first MATCHES "^// error: (.+)$")
  message(FATAL_ERROR "The first line of ${SOURCE} must be: // error: <regular expression>")
endif()
set(pattern "error:[^\n]*${CMAKE_MATCH_1}")
set(rest "")
if(second MATCHES "^// and: (.+)$")
  set(rest "${CMAKE_MATCH_1}")
endif()

execute_process(
  COMMAND "${COMPILER}" "@${FLAGS}" -std=c++17 "${SOURCE}"
  RESULT_VARIABLE status ERROR_VARIABLE output)
if(status EQUAL 0)
  message(FATAL_ERROR "It compiles: ${SOURCE}")
endif()
foreach(wanted IN LISTS pattern rest)
  if(NOT output MATCHES "${wanted}")
    message(FATAL_ERROR "Nothing matches \"${wanted}\" in\n${output}")
  endif()
endforeach()
