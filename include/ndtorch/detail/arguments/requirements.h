// What all template arguments of a tensor_t ask for together.
#pragma once

#include <ndtorch/detail/arguments/access.h>
#include <ndtorch/detail/arguments/cast.h>
#include <ndtorch/detail/arguments/device.h>
#include <ndtorch/detail/arguments/element.h>
#include <ndtorch/detail/arguments/order.h>
#include <ndtorch/detail/arguments/result.h>
#include <ndtorch/detail/arguments/rule.h>
#include <ndtorch/detail/arguments/shape.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <type_traits>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

template <class... Rules>
struct rules : Rules... {};

// In the order in which they are checked, and in which a signature has them. The shape comes before all
// that a copy may mend.
using requirements =
    rules<shape_rule, element_rule, cast_rule, device_rule, access_rule, order_rule, result_rule>;

template <class Rule, class... Constraints>
inline constexpr std::size_t count_of =
    (std::size_t{0} + ... + std::is_same_v<typename constraint<Constraints>::rule, Rule>);

template <class... Constraints, class... Rules>
constexpr rules<Rules...> fold(rules<Rules...> wants) {
  (Rules::template check_count<count_of<Rules, Constraints...>>(), ...);
  (constraint<Constraints>::add_to(wants), ...);
  return wants;
}

template <class... Constraints>
constexpr requirements fold_constraints() {
  static_assert(
      count_of<cast_rule, Constraints...> == 0 || count_of<element_rule, Constraints...> != 0,
      "ndtorch: exact_dtype and any_cast need an element type");
  return fold<Constraints...>(requirements());
}

// The requirements as a type, whose constants a signature's text is made of.
template <class... Constraints>
struct folded {
  static constexpr requirements wants = fold_constraints<Constraints...>();
};

inline constexpr int no_rule = -1;

// The number of the first rule that isn't met; no_rule where all are.
// (Inlined, since the requirements are constants to a caster: what isn't asked isn't checked.)
template <class... Rules>
[[gnu::always_inline]] inline int first_unmet(const rules<Rules...>& wants, const facts& came) {
  int number = 0;
  static_cast<void>(((static_cast<const Rules&>(wants).is_met(came) && (++number, true)) && ...));
  return number == int{sizeof...(Rules)} ? no_rule : number;
}

// The same, of a copy that is made of what came.
template <class... Rules>
int first_unmet_by_copy(const rules<Rules...>& wants, const facts& came) {
  int number = 0;
  static_cast<void>((((static_cast<const Rules&>(wants).is_met(came) ||
                       static_cast<const Rules&>(wants).a_copy_meets(wants, came)) &&
                      (++number, true)) &&
                     ...));
  return number == int{sizeof...(Rules)} ? no_rule : number;
}

template <class... Rules>
complaint complain(const rules<Rules...>& wants, int number, const facts& came, came_as form) {
  complaint made;
  static_cast<void>(
      ((number-- == 0 && (made = static_cast<const Rules&>(wants).complain(came, form), true)) ||
       ...));
  return made;
}

template <class Folded, class... Rules>
constexpr auto notes_of(const rules<Rules...>&) {
  return (Rules::template note<Folded>() + ...);
}

}  // namespace detail
}  // namespace ndtorch
