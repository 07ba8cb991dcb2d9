// ndtorch: NumPy arrays and LibTorch tensors on the same memory. This umbrella only includes.
#pragma once

#include <ndtorch/dtype.h>
#include <ndtorch/exchange.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <ndtorch/to_numpy_async.h>
#include <ndtorch/typed.h>
#include <ndtorch/version.h>
