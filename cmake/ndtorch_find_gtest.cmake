# ndtorch_find_gtest(): the target GTest::gtest, the system's. Where there is none, it is the one
# thing that a configure step downloads.
include_guard(GLOBAL)

function(ndtorch_find_gtest)
  set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)
  find_package(GTest 1.11 QUIET)
  if(NOT TARGET GTest::gtest)
    message(STATUS "No GoogleTest found (Debian's package is libgtest-dev): downloading it")
    include(FetchContent)
    set(BUILD_GMOCK OFF)
    set(INSTALL_GTEST OFF)
    set(CMAKE_COMPILE_WARNING_AS_ERROR OFF)
    FetchContent_Declare(googletest
      URL https://github.com/google/googletest/releases/download/v1.17.0/googletest-1.17.0.tar.gz
      URL_HASH SHA256=65fab701d9829d38cb77c14acdc431d2108bfdbf8979e40eb8ae567edf10b27c
      DOWNLOAD_EXTRACT_TIMESTAMP ON)
    FetchContent_MakeAvailable(googletest)
  endif()
endfunction()
