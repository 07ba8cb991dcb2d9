# ndtorch_find_benchmark(): the target benchmark::benchmark, the system's Google Benchmark. Where there
# is none, the configure step downloads it.
include_guard(GLOBAL)

function(ndtorch_find_benchmark)
  set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)
  find_package(benchmark 1.6 QUIET)
  if(NOT TARGET benchmark::benchmark)
    message(STATUS "No Google Benchmark found (Debian's package is libbenchmark-dev): downloading it")
    include(FetchContent)
    set(BENCHMARK_ENABLE_TESTING OFF)
    set(BENCHMARK_ENABLE_INSTALL OFF)
    set(CMAKE_COMPILE_WARNING_AS_ERROR OFF)
    FetchContent_Declare(benchmark
      GIT_REPOSITORY https://github.com/google/benchmark.git
      GIT_TAG eddb0241389718a23a42db6af5f0164b6e0139af)  # v1.9.4
    FetchContent_MakeAvailable(benchmark)
  endif()
endfunction()
