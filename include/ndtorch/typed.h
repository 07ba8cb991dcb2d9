// tensor_t: a tensor whose dtype, shape, order and device its C++ type says, as an argument and a
// result of pybind11 functions.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/TensorAccessor.h>
#include <c10/util/StringUtil.h>
#include <c10/util/complex.h>
#include <ndtorch/detail/arguments/access.h>
#include <ndtorch/detail/arguments/element.h>
#include <ndtorch/detail/arguments/explain_mismatches.h>
#include <ndtorch/detail/arguments/libtorch_templates.h>
#include <ndtorch/detail/arguments/mismatch.h>
#include <ndtorch/detail/arguments/read_argument.h>
#include <ndtorch/detail/arguments/requirements.h>
#include <ndtorch/detail/arguments/result.h>
#include <ndtorch/detail/arguments/returning.h>
#include <ndtorch/detail/arguments/rule.h>
#include <ndtorch/detail/arguments/shape.h>
#include <ndtorch/detail/arguments/signature.h>
#include <ndtorch/detail/memory/strided_iterator.h>
#include <ndtorch/detail/numpy/abi.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/detail/torch/bools.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/expose_tensor.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/storage.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/exchange.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#if __has_include(<mdspan>)
#include <mdspan>
#endif

namespace ndtorch {

// An at::Tensor that met its constraints when it was made. They come in any order:
//   an element type  float, const float, std::int64_t, bool, c10::Half, c10::complex<float>, ...
//   writable         any dtype, memory that may be written
//   shape<-1, 3>     the sizes, -1 for any;  ndim<2>: their number alone
//   c_contig         dense memory in C order;  f_contig: in Fortran order;  any_contig: in either
//   device::cpu      or device::cuda, device::of<at::kXPU>, ...
//   exact_dtype      nothing is cast to the element type;  any_cast: all is, as Tensor.to(dtype) does it
//   returns::torch   a result becomes a torch.Tensor;  returns::dlpack: an object with __dlpack__
//
// tensor_t<> is any tensor. Contradictory ones don't compile.
//
// As an argument it shares the caller's memory. A non-const element type, and writable, mean "I write into
// it": only an array (or other holder of memory) that meets every constraint and may be written is taken.
// A const one, and none, takes read-only memory too, and in pybind11's converting pass what as_tensor()
// takes: other orders and devices, numbers and sequences are copied, and other dtypes where
// np.can_cast(from, to, "same_kind") holds, so not floats to ints nor complex numbers to real ones.
// py::arg().noconvert() forbids all that. The const is your promise: at::Tensor's own functions, such as add_(),
// still write into an array that may be written (else to a copy, see on_read_only).
// A DLPack capsule is taken when the function is called with it, and not where an overload refuses it.
// As a result it becomes a NumPy array, as numpy() makes it, or None where it is undefined; a read-only array
// where the element type is const.
// Bools: C++ knows only the bytes 0 and 1, and NumPy others too, as in a mask of 0 and 255 that is viewed as
// bools. Typed access to CPU memory never meets one: a const bool tensor is made of such an array with a
// copy, and of such a tensor not at all; a tensor of non-const bools, whose function writes into the
// caller's memory, has them made 1 there, where they stand for the same. Whoever changes the memory later
// has to write 0 and 1. That all are looked at, eight at a time, takes a fraction of the time in which a
// function reads them.
template <class... Constraints>
class tensor_t : public at::Tensor {
 public:
  // float, const float, ...; void where no element type was given.
  using element_type = typename detail::element_among<Constraints...>::type;

  static constexpr detail::requirements constraints = detail::fold_constraints<Constraints...>();

  // Undefined, as at::Tensor().
  tensor_t() = default;

  // The same tensor: nothing is copied. Throws type_error, with what came and what to do, where a
  // constraint isn't met, the tensor is undefined, or typed access would find no memory, or const bools
  // other than 0 and 1. Needs no GIL.
  explicit tensor_t(at::Tensor tensor) : at::Tensor(std::move(tensor)) {
    if (!defined()) throw py::type_error("expected a tensor (got an undefined one).");
    if (is_nested()) throw py::type_error(detail::nested_is_not_dense);
    const detail::mismatch found = detail::check_argument(constraints, *this, /*writable=*/true);
    if (found != detail::mismatch::none) {
      throw py::type_error(detail::mismatch_text(
          found, constraints, detail::facts_of(constraints, *this, /*writable=*/true),
          detail::came_as::tensor, detail::describe(*this)));
    }
    make_bools_valid();
  }

  // What a function's argument would be, converted where that is allowed (or not: `convert`). Throws
  // type_error with the full reason where the object is refused. Needs the GIL.
  static tensor_t from(py::handle object, bool convert = true) {
    detail::check_gil("tensor_t::from");
    std::string why;
    std::optional<at::Tensor> tensor =
        detail::argument_reader(constraints, convert, &why).read(object);
    if (!tensor) throw py::type_error(why);
    tensor_t result(std::move(*tensor), checked());
    result.make_bools_valid();
    return result;
  }

  // The first element, typed. For a const element type the memory of a read-only array stays shared.
  using at::Tensor::data_ptr;
  auto data_ptr() const {
    if constexpr (std::is_void_v<element_type>) {
      return at::Tensor::data_ptr();
    } else if constexpr (std::is_const_v<element_type>) {
      return static_cast<element_type*>(const_data_ptr());
    } else {
      return static_cast<element_type*>(mutable_data_ptr());
    }
  }

  // LibTorch's accessor, t.view()[i][j], of the type's own element type and number of dimensions and
  // so without a check. It refers to this tensor, which must outlive it; strides are in elements.
  using at::Tensor::view;
  auto view() const& {
    require_element();
    static_assert(constraints.ndim != detail::any_ndim,
                  "ndtorch: view() needs the number of dimensions: add ndim<...> or shape<...>");
    static_assert(constraints.ndim != 0, "ndtorch: a 0-d tensor's element is *t.data_ptr()");
    return at::TensorAccessor<element_type, static_cast<std::size_t>(constraints.ndim)>(
        data_ptr(), sizes().data(), strides().data());
  }
  auto view() && = delete;
  using at::Tensor::accessor;
  auto accessor() const& { return view(); }
  auto accessor() && = delete;

  // The elements of a 1-d tensor, for range-for and the standard algorithms.
  auto begin() const { return iterator(0); }
  auto end() const { return iterator(size(0)); }

#if defined(__cpp_lib_mdspan)
  // The elements as C++23 sees them; sizes and strides in elements. Throws value_error for memory that
  // std::layout_stride has no mapping for: where a step along one axis is less than all of another with
  // smaller steps, as in a broadcast array.
  auto mdspan() const {
    require_element();
    static_assert(constraints.ndim != detail::any_ndim,
                  "ndtorch: mdspan() needs the number of dimensions: add ndim<...> or shape<...>");
    constexpr auto rank = static_cast<std::size_t>(constraints.ndim);
    using extents = std::dextents<std::int64_t, rank>;
    std::array<std::int64_t, rank> sizes_{}, strides_{};
    std::copy(sizes().begin(), sizes().end(), sizes_.begin());
    if (!detail::layout_stride_of(*this, strides_.data())) {
      throw py::value_error(c10::str(
          "mdspan() can't describe axes that reach into each other. Got ", detail::describe(*this),
          ". Use view(), or copy it first with tensor.contiguous()."));
    }
    return std::mdspan<element_type, extents, std::layout_stride>(
        data_ptr(), std::layout_stride::mapping<extents>(extents(sizes_), strides_));
  }
#endif

 private:
  friend struct py::detail::type_caster<tensor_t>;

  // The initializer of `constraints` waits until someone asks; contradictions are to be found at once.
  static_assert((static_cast<void>(detail::fold_constraints<Constraints...>()), true));

  struct checked {};
  tensor_t(at::Tensor tensor, checked) : at::Tensor(std::move(tensor)) {}

  void make_bools_valid() const {
    if constexpr (std::is_same_v<element_type, bool>) detail::make_bools_valid(*this);
  }

  static constexpr void require_element() {
    static_assert(!std::is_void_v<element_type>,
                  "ndtorch: typed access needs an element type, as in tensor_t<const float>");
  }

  auto iterator(std::int64_t index) const {
    require_element();
    static_assert(constraints.ndim == 1,
                  "ndtorch: iteration needs one dimension: add ndim<1> or shape<-1>");
    return detail::strided_iterator<element_type>(data_ptr(), stride(0),
                                                  static_cast<std::ptrdiff_t>(index));
  }
};

namespace [[gnu::visibility("hidden")]] detail {

template <class T>
inline constexpr bool is_tensor_t = false;
template <class... Constraints>
inline constexpr bool is_tensor_t<tensor_t<Constraints...>> = true;

}  // namespace detail

// Lets failing calls of pybind11 functions say why: after this, the TypeError begins with the argument that was
// refused, what came, and what to do. Call it last in PYBIND11_MODULE, for all functions of the module and of
// the classes and modules in it: static methods, constructors and the setters of properties too. Calls that
// succeed pay nothing. Needs the GIL.
inline void explain_mismatches(const py::module_& module) { detail::explain_all(module); }

// The same for one function, of a module or a class; call it after the function's last overload. Throws
// type_error where pybind11 made no such function in `scope`.
inline void explain_mismatches(py::handle scope, const char* name) {
  // In a module that is being made Python says of a missing name that its import is circular.
  const py::object entries = scope.attr("__dict__");
  const py::object entry = entries.attr("get")(name);
  if (!detail::explain_entry(scope, entry)) {
    throw py::type_error(std::string("ndtorch::explain_mismatches: ") + name +
                         " is no function that pybind11 made in this scope. Define it first.");
  }
}

}  // namespace ndtorch

namespace pybind11::detail {

template <class... Constraints>
struct type_caster<ndtorch::tensor_t<Constraints...>> {
  using type = ndtorch::tensor_t<Constraints...>;

  static constexpr auto name = ndtorch::detail::signature_of<Constraints...>();

  // Never throws for a mismatch, so that the next overload is tried.
  bool load(handle source, bool convert) {
    ndtorch::detail::explanation* const asked = ndtorch::detail::explanation::current();
    if (asked == nullptr && ndtorch::detail::share_exact_array(source, type::constraints, value_)) {
      const auto* const array = reinterpret_cast<ndtorch::detail::array_object*>(source.ptr());
      if (array->base != nullptr) watch_return();
      return true;
    }
    capsule_ = object();
    std::string why;
    std::optional<at::Tensor> tensor =
        ndtorch::detail::argument_reader(type::constraints, convert, asked ? &why : nullptr,
                                         ndtorch::detail::capsules::leave)
            .read(source);
    if (asked != nullptr) {
      const std::string signature = ndtorch::detail::plain_text(name);
      if (tensor) {
        asked->accepted(source, signature);
      } else {
        asked->refused(source, signature,
                       ndtorch::detail::plain_text(name, ndtorch::detail::text_form::result),
                       std::move(why));
      }
    }
    if (!tensor) return false;
    if (!tensor->defined()) {
      capsule_ = reinterpret_borrow<object>(source);
      return true;
    }
    value_ = type(std::move(*tensor), typename type::checked());
    watch_return();
    return true;
  }

  // A new array on the tensor's memory, which lives on with it: that serves every policy but two. None
  // for an undefined tensor, as in PyTorch.
  static handle cast(const type& tensor, return_value_policy policy, handle parent) {
    namespace nd = ndtorch::detail;
    if (!tensor.defined()) return none().release();
    if (policy == return_value_policy::copy) {
      nd::check_layout(tensor);
      nd::check_stands_for_itself(tensor);
      nd::check_storage(tensor);
      const auto clone = [&] {
        const nd::gil_release without_gil;
        const nd::own_work unseen(tensor);
        return nd::clone_tensor(tensor);
      };
      return result_of(nd::with_python_errors(clone));
    }
    if (policy == return_value_policy::reference_internal && parent) {
      nd::check_layout(tensor);
      nd::check_shareable(tensor);
      const array held = nd::expose_tensor(tensor, parent);
      return type::constraints.result == nd::result_form::numpy
                 ? array_result(held)
                 : result_of(ndtorch::from_numpy(held));
    }
    return result_of(tensor);
  }
  // pybind11's default for a pointer is to take it over.
  static handle cast(const type* tensor, return_value_policy policy, handle parent) {
    const bool takes =
        policy == return_value_policy::take_ownership || policy == return_value_policy::automatic;
    const std::unique_ptr<const type> owner(takes ? tensor : nullptr);
    return tensor != nullptr ? cast(*tensor, policy, parent) : none().release();
  }

  template <class T>
  using cast_op_type = movable_cast_op_type<T>;
  operator type*() { return &value(); }
  operator type&() { return value(); }
  operator type&&() && { return std::move(value()); }

 private:
  static handle result_of(const at::Tensor& tensor) {
    constexpr ndtorch::detail::result_form form = type::constraints.result;
    if constexpr (form == ndtorch::detail::result_form::torch) {
      return ndtorch::to_torch(tensor).release();
    } else if constexpr (form == ndtorch::detail::result_form::dlpack) {
      return ndtorch::to_dlpack(tensor).release();
    } else {
      return array_result(ndtorch::numpy(tensor));
    }
  }
  // The memory of a const element type may be that of constants.
  static handle array_result(array made) {
    if (type::constraints.reads_only) {
      reinterpret_cast<ndtorch::detail::array_object*>(made.ptr())->flags &=
          ~ndtorch::detail::array_flag::writeable;
    }
    return made.release();
  }

  // The function may make it a member of the object that its memory is part of.
  void watch_return() {
    namespace nd = ndtorch::detail;
    nd::returning_tensor::watch(value_, &nd::count_in_instance<type, at::Tensor>);
  }

  // Asked for when the function is called with it. Only then is a capsule taken: had another argument been
  // refused, the next overload would have found it used. (std::optional and containers ask at once.) Throws
  // type_error where it has been taken since.
  // And only the overload that is called writes into its arguments.
  type& value() {
    if (capsule_) take_capsule();
    value_.make_bools_valid();
    return value_;
  }
  [[gnu::noinline]] void take_capsule() {
    const gil_scoped_acquire gil;  // a call_guard has given it up by then
    value_ = type::from(std::exchange(capsule_, object()));
  }

  type value_;
  object capsule_;
};

// LibTorch's == gives a tensor and no answer: py::bind_vector leaves out what would need one.
template <class T>
struct container_traits;

template <class... Constraints>
struct container_traits<ndtorch::tensor_t<Constraints...>> {
  static constexpr bool is_comparable = false;
  static constexpr bool is_pair = false;
  static constexpr bool is_vector = false;
  static constexpr bool is_element = true;
};

}  // namespace pybind11::detail

namespace pybind11 {

// py::isinstance<ndtorch::tensor_t<...>>(object): whether the object is taken as it is, without conversion.
// pybind11 would look for a class that was bound, and find none.
#if defined(__cpp_concepts)
template <typename T, detail::enable_if_t<!std::is_base_of<object, T>::value, int> = 0>
  requires ndtorch::detail::is_tensor_t<T>
bool isinstance(handle obj) {
  return detail::make_caster<T>().load(obj, /*convert=*/false);
}
#else  // ambiguous with pybind11's, and so an error: before C++20 ask a caster
template <typename T, detail::enable_if_t<ndtorch::detail::is_tensor_t<T>, int> = 0>
bool isinstance(handle obj) = delete;
#endif

}  // namespace pybind11
