// What the constraints of tensor_t are made of.
#pragma once

#include <ATen/core/Tensor.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

#include <string>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// What came, as far as a constraint asks.
struct facts {
  at::ScalarType dtype;
  at::Device device;
  int_list sizes;
  int_list strides;  // in elements; empty where no order is asked for
  bool writable;
};

// The remedies are NumPy's words for arrays, and PyTorch's for tensors.
enum class came_as { array, tensor };

// What an error says of a rule that isn't met.
struct complaint {
  std::string expected;  // "expected …"
  std::string remedy;
  bool by_copy = false;  // the remedy makes a copy
};

// To add a constraint: a file beside this one with its tag, its rule and its constraint<>, and the rule's
// name in requirements.h.
//
// A rule's fields say what is required; their defaults require nothing. Beside these it has
//   is_met(facts)              whether what came will do
//   complain(facts, came_as)   the complaint, where it won't
//   check_count<N>()           a static_assert on how many constraints may set the rule
struct rule {
  // Whether a copy meets the rule where what came doesn't.
  template <class Requirements>
  bool a_copy_meets(const Requirements&, const facts&) const {
    return true;
  }

  // What a signature says of it.
  template <class Folded>
  static constexpr auto note() {
    return py::detail::const_name("");
  }
};

// Which rule a template argument of tensor_t is of, and how add_to() sets its fields. An element type is
// what has no specialisation (element.h).
template <class Argument>
struct constraint;

// A constraint that sets one field of its rule.
template <auto Field, auto Value>
struct sets;
template <class Rule, class T, T Rule::* Field, auto Value>
struct sets<Field, Value> {
  using rule = Rule;
  template <class Requirements>
  static constexpr void add_to(Requirements& wants) {
    wants.*Field = Value;
  }
};

}  // namespace detail
}  // namespace ndtorch
