# What `cmake --install` puts under a prefix, and a wheel under its package: headers and text files,
# the same for every system, which name no folder of the machine that they were installed on.
include(CMakePackageConfigHelpers)

set(cmake_dir share/cmake/ndtorch)
set(include_dir include)
if(CMAKE_INSTALL_INCLUDEDIR)
  set(include_dir "${CMAKE_INSTALL_INCLUDEDIR}")
endif()

install(DIRECTORY include/ndtorch DESTINATION "${include_dir}" FILES_MATCHING PATTERN "*.h")
install(TARGETS ndtorch EXPORT ndtorchTargets INCLUDES DESTINATION "${include_dir}")
install(EXPORT ndtorchTargets NAMESPACE ndtorch:: DESTINATION ${cmake_dir})
configure_package_config_file(cmake/ndtorchConfig.cmake.in ndtorchConfig.cmake
  INSTALL_DESTINATION ${cmake_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(ndtorchConfigVersion.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(
  FILES
    "${CMAKE_CURRENT_BINARY_DIR}/ndtorchConfig.cmake"
    "${CMAKE_CURRENT_BINARY_DIR}/ndtorchConfigVersion.cmake"
    cmake/locate.py
    cmake/ndtorch_add_module.cmake
    cmake/ndtorch_find_dependencies.cmake
    cmake/ndtorch_find_torch.cmake
    cmake/ndtorch_same_version.cmake
  DESTINATION ${cmake_dir})
install(FILES LICENSE DESTINATION share/licenses/ndtorch)
