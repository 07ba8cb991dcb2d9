// What becomes of an object as a typed argument.
#pragma once

#include <gtest/gtest.h>
#include <ndtorch/typed.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <optional>
#include <ostream>
#include <utility>

#include "support/support.h"

namespace test {

enum class outcome { shared, copied, refused };

inline std::ostream& operator<<(std::ostream& stream, outcome result) {
  constexpr const char* names[] = {"shared", "copied", "refused"};
  return stream << names[static_cast<int>(result)];
}

// The argument that a function would get, as pybind11 asks for it.
template <class Tensor>
std::optional<Tensor> load(py::handle object, bool convert) {
  py::detail::make_caster<Tensor> caster;
  const bool taken = caster.load(object, convert);
  EXPECT_EQ(PyErr_Occurred(), nullptr);
  if (!taken) return std::nullopt;
  return py::detail::cast_op<Tensor&&>(std::move(caster));
}

template <class Tensor>
outcome outcome_of(const py::object& object, bool convert) {
  const std::optional<Tensor> taken = load<Tensor>(object, convert);
  if (!taken) return outcome::refused;
  const py::array source =
      array("np.asarray(memoryview(o) if isinstance(o, (bytes, bytearray)) else o)",
            py::arg("o") = object);
  const py::array expected = array("s.astype(d)", py::arg("s") = source,
                                   py::arg("d") = ndtorch::numpy_dtype(taken->scalar_type()));
  EXPECT_TRUE(same_elements(elements(*taken), expected)) << text_of(elements(*taken));
  return taken->storage().data() == source.data() ? outcome::shared : outcome::copied;
}

}  // namespace test
