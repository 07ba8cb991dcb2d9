// ndtorch: NumPy arrays and LibTorch tensors on the same memory. This umbrella only includes.
//
// Every function that meets Python throws import_error where NumPy is missing, in a subinterpreter,
// and in a second interpreter of the process (docs/lifetime.md).
#pragma once

#include <ndtorch/dtype.h>
#include <ndtorch/errors.h>
#include <ndtorch/exchange.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <ndtorch/to_numpy_async.h>
#include <ndtorch/typed.h>
#include <ndtorch/version.h>
