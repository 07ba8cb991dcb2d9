// The one place that holds ndtorch's version; CMake reads it from here.
#pragma once

#define NDTORCH_VERSION_MAJOR 0
#define NDTORCH_VERSION_MINOR 1
#define NDTORCH_VERSION_PATCH 0
