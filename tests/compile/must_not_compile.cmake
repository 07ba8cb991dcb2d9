# Compiles SOURCE, and fails unless the compiler refuses it with an error that matches the pattern
# in the file's first line: // error: <regular expression>
file(STRINGS "${SOURCE}" pattern LIMIT_COUNT 1)
if(NOT pattern MATCHES "^// error: (.+)$")
  message(FATAL_ERROR "The first line of ${SOURCE} must be: // error: <regular expression>")
endif()
set(pattern "${CMAKE_MATCH_1}")

execute_process(
  COMMAND "${COMPILER}" "@${FLAGS}" -std=c++17 "${SOURCE}"
  RESULT_VARIABLE status ERROR_VARIABLE output)
if(status EQUAL 0)
  message(FATAL_ERROR "It compiles: ${SOURCE}")
elseif(NOT output MATCHES "error:[^\n]*${pattern}")
  message(FATAL_ERROR "No error matches \"${pattern}\" in\n${output}")
endif()
