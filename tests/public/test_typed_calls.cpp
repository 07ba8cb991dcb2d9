// ndtorch/typed.h: calls through pybind11, which overload they pick and what is said where none fits
#include <ATen/ops/ones.h>
#include <ndtorch/exchange.h>
#include <ndtorch/typed.h>
#include <pybind11/operators.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/private_use1.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
namespace device = ndtorch::device;
using ndtorch::c_contig;
using ndtorch::explain_mismatches;
using ndtorch::f_contig;
using ndtorch::ndim;
using ndtorch::shape;
using ndtorch::tensor_t;
using test::array;
using test::eval;
using test::is_true;
using test::message_of;
using test::new_module;
using test::references;

using on_inverted = device::of<at::kPrivateUse1>;  // support/private_use1.h

template <class T>
std::string signature() {
  return ndtorch::detail::plain_text(py::detail::make_caster<T>::name);
}

// Overloads of f() that say which one was called.
template <class T>
void define(py::module_& module) {
  module.def("f", [](const T&) { return signature<T>(); });
}

// A module for each order in which the overloads can be registered.
template <class... Types>
std::vector<py::module_> every_order() {
  std::vector<void (*)(py::module_&)> definitions = {&define<Types>...};
  std::sort(definitions.begin(), definitions.end());
  std::vector<py::module_> modules;
  do {
    modules.push_back(new_module());
    for (const auto definition : definitions) definition(modules.back());
  } while (std::next_permutation(definitions.begin(), definitions.end()));
  return modules;
}

template <class T>
void expect_picked(const std::vector<py::module_>& modules, const py::object& argument) {
  for (const py::module_& module : modules) {
    EXPECT_EQ(py::cast<std::string>(module.attr("f")(argument)), signature<T>())
        << py::str(argument) << " with\n"
        << py::str(module.attr("f").attr("__doc__"));
  }
}

template <class T>
void expect_picked(const std::vector<py::module_>& modules, const char* argument) {
  expect_picked<T>(modules, eval(argument));
}

TEST(overloads, on_dtype_pick_the_exact_match_whatever_the_order) {
  const auto modules = every_order<tensor_t<const float>, tensor_t<const double>,
                                   tensor_t<const std::int64_t>, tensor_t<const bool>>();
  ASSERT_EQ(modules.size(), 24U);
  expect_picked<tensor_t<const float>>(modules, "np.zeros((2, 3), 'f4')");
  expect_picked<tensor_t<const double>>(modules, "np.zeros((2, 3)).T");
  expect_picked<tensor_t<const std::int64_t>>(modules, "np.arange(3)[::2]");
  expect_picked<tensor_t<const bool>>(modules, "np.broadcast_to(True, 3)");
  expect_picked<tensor_t<const float>>(modules, "torch.zeros(2)");
  expect_picked<tensor_t<const std::int64_t>>(modules, "memoryview(np.arange(3))");
}

TEST(overloads, that_write_pick_the_exact_match_whatever_the_order) {
  const auto modules =
      every_order<tensor_t<float>, tensor_t<double>, tensor_t<c10::complex<float>>>();
  expect_picked<tensor_t<float>>(modules, "np.zeros(2, 'f4')");
  expect_picked<tensor_t<double>>(modules, "np.zeros(2)");
  expect_picked<tensor_t<c10::complex<float>>>(modules, "np.zeros(2, 'c8')");
}

TEST(overloads, on_rank_and_shape_pick_the_one_that_fits_whatever_the_order) {
  const auto ranks = every_order<tensor_t<ndim<0>>, tensor_t<ndim<1>>, tensor_t<ndim<2>>>();
  for (const char* dtype : {"f8", ">i4"}) {  // exact, and converted
    expect_picked<tensor_t<ndim<0>>>(ranks, eval("np.zeros((), d)", py::arg("d") = dtype));
    expect_picked<tensor_t<ndim<1>>>(ranks, eval("np.zeros(3, d)", py::arg("d") = dtype));
    expect_picked<tensor_t<ndim<2>>>(ranks, eval("np.zeros((3, 1), d)", py::arg("d") = dtype));
  }
  expect_picked<tensor_t<ndim<1>>>(ranks, "[1, 2]");
  expect_picked<tensor_t<ndim<2>>>(ranks, "[[1], [2]]");

  const auto shapes =
      every_order<tensor_t<const float, shape<-1, 3>>, tensor_t<const float, shape<-1, 4>>>();
  expect_picked<tensor_t<const float, shape<-1, 3>>>(shapes, "np.zeros((2, 3), 'f4')");
  expect_picked<tensor_t<const float, shape<-1, 4>>>(shapes, "np.zeros((2, 4), 'i4')");
}

TEST(overloads, on_order_pick_the_exact_match_whatever_the_order) {
  const auto modules = every_order<tensor_t<c_contig>, tensor_t<f_contig>>();
  expect_picked<tensor_t<c_contig>>(modules, "np.zeros((2, 3))");
  expect_picked<tensor_t<f_contig>>(modules, "np.zeros((2, 3)).T");
}

TEST(overloads, on_device_pick_the_exact_match_whatever_the_order) {
  const auto modules =
      every_order<tensor_t<const float, device::cpu>, tensor_t<const float, on_inverted>>();
  expect_picked<tensor_t<const float, device::cpu>>(modules, "np.zeros(2, 'f4')");
  expect_picked<tensor_t<const float, device::cpu>>(modules, "torch.zeros(2)");
  const at::Tensor there = at::ones(2).to(at::kPrivateUse1);
  expect_picked<tensor_t<const float, on_inverted>>(modules, ndtorch::to_dlpack(there));
}

TEST(overloads, that_only_read_take_read_only_arrays) {
  const auto modules = every_order<tensor_t<float>, tensor_t<const float>>();
  expect_picked<tensor_t<const float>>(modules, "np.broadcast_to(np.float32(1), 3)");
  expect_picked<tensor_t<const float>>(modules, "np.zeros(2)");
  // Both match, so the first one is called.
  const py::object writable = eval("np.zeros(2, 'f4')");
  EXPECT_NE(py::cast<std::string>(modules[0].attr("f")(writable)),
            py::cast<std::string>(modules[1].attr("f")(writable)));
}

TEST(overloads, that_convert_are_asked_in_the_order_of_registration) {
  py::module_ module = new_module();
  define<tensor_t<const float, on_inverted, ndim<1>>>(module);
  define<tensor_t<const float, device::of<at::kHPU>>>(module);  // no machine has one
  define<tensor_t<const double, ndim<2>>>(module);
  define<tensor_t<const std::int64_t>>(module);
  expect_picked<tensor_t<const double, ndim<2>>>({module}, "np.zeros((2, 2), 'f4')");
  // Floats are no integers, and the first two have no such device and one dimension.
  EXPECT_EQ(test::raised_by([&] { module.attr("f")(eval("np.zeros((2, 2, 2), 'f4')")); }).type,
            "TypeError");
  expect_picked<tensor_t<const std::int64_t>>({module}, "np.zeros(2, 'i8')");
  expect_picked<tensor_t<const float, on_inverted, ndim<1>>>({module}, "np.zeros(2, 'i4')");
}

TEST(overloads, are_not_asked_further_where_a_device_has_no_memory) {
  py::module_ module = new_module();
  define<tensor_t<const float, on_inverted>>(module);
  define<tensor_t<const double>>(module);
  const py::array argument = array("np.zeros(2, 'i4')");
  const Py_ssize_t before = references(argument);
  test::inverted::fail_next_allocation();
  const auto raised = test::raised_by([&] { module.attr("f")(argument); });
  EXPECT_EQ(raised.type, "RuntimeError");
  EXPECT_EQ(raised.text, "inverted out of memory.");
  EXPECT_EQ(references(argument), before);
}

TEST(overloads, leave_other_types_alone) {
  const auto modules = every_order<tensor_t<const double>, double, std::string>();
  expect_picked<tensor_t<const double>>(modules, "np.zeros(2)");
  expect_picked<tensor_t<const double>>(modules, "[1, 2]");
  expect_picked<double>(modules, "1.5");
  expect_picked<std::string>(modules, "'abc'");
}

TEST(noconvert, takes_what_matches_and_nothing_else) {
  py::module_ module = new_module();
  module.def(
      "f", [](const tensor_t<const float, ndim<1>>& x) { return x; }, py::arg("x").noconvert());
  const py::array same = array("np.arange(3, dtype='f4')[::2]");
  EXPECT_EQ(py::array(module.attr("f")(same)).data(), same.data());
  EXPECT_EQ(py::array(module.attr("f")(py::arg("x") = same)).data(), same.data());
  for (const char* other : {"np.zeros(2)", "np.zeros(2, 'f4')[::-1]", "[1.]", "np.zeros(2, '>f4')",
                            "torch.zeros(2).double()", "np.zeros((1, 1), 'f4')"}) {
    SCOPED_TRACE(other);
    const py::object object = eval(other);
    const Py_ssize_t before = references(object);
    const auto raised = test::raised_by([&] { module.attr("f")(object); });
    EXPECT_EQ(raised.type, "TypeError");
    EXPECT_CONTAINS(raised.text, "f(): incompatible function arguments");
    EXPECT_EQ(references(object), before);
  }
}

TEST(call, writes_into_the_callers_array) {
  py::module_ module = new_module();
  module.def("fill", [](const tensor_t<float, ndim<2>>& x) { x.fill_(1); });
  const py::array source = array("np.zeros((4, 6), 'f4')");
  module.attr("fill")(eval("s[1:3, ::2].T", py::arg("s") = source));
  EXPECT_TRUE(is_true("s.sum() == 6 and (s[1:3, ::2] == 1).all()", py::arg("s") = source));
}

// What the tests of explain_mismatches() call. There are two of everything, so that one can be
// explained and the other can say what pybind11 alone does.

int calls = 0;  // that reached a function

template <bool Explained>
struct box {};

template <bool Explained>
struct derived_box : box<Explained> {};

[[noreturn]] void raise_an_error(const tensor_t<const float, ndim<1>>& x) {
  ++calls;
  if (x.numel() == 3) throw py::value_error("from the function itself");
  throw py::type_error("from the function itself");
}

template <bool Explained>
py::module_ example() {
  using box_t = box<Explained>;
  py::module_ module = new_module();
  module.def(
      "single", [](const tensor_t<const float, shape<2>>&) { ++calls; }, py::arg("x"),
      "What single does.");
  module.def("overloaded", [](const tensor_t<float>&) { return "float"; });
  module.def("overloaded", [](const tensor_t<double>&, int) { return "double"; }, "The second.");
  module.def("two", [](const tensor_t<const float>&, const tensor_t<const float, ndim<2>>&) {});
  module.def("fixed", [](const tensor_t<const float>&) {}, py::arg("x").noconvert());
  module.def("batch", [](const std::vector<tensor_t<float>>&) {});
  using rows = std::vector<tensor_t<const float, ndim<1>>>;
  module.def("rows", [](const rows&) { ++calls; });
  module.def("tables", [](const std::vector<rows>&) { ++calls; });
  module.def("raises", &raise_an_error);
  module.def("number", [](int x) { return x; }, py::arg("x"));
  module.def(
      "mixed", [](const tensor_t<const float>&, int, const std::string&) {}, py::arg("image"),
      py::arg("count"), py::arg("name") = "none");
  module.def("alike", [](const tensor_t<const float, ndim<2>>&) {}, py::arg("image"));
  module.def("alike", [](const tensor_t<const double, ndim<2>>&) {}, py::arg("image"));
  module.def("alike", [](const tensor_t<const float, ndim<3>>&) {}, py::arg("image"));

  py::class_<box_t>(module, "box", py::module_local())
      .def(py::init<>())
      .def(py::init([](const tensor_t<const float, ndim<1>>&) { return box_t(); }))
      .def(
          "method", [](box_t&, const tensor_t<float>&) { ++calls; }, py::arg("x"), "A method.")
      .def_static("fixed", [](const tensor_t<float>&) { ++calls; })
      .def(
          "__add__", [](box_t&, const tensor_t<float>&) { return 1; }, py::is_operator())
      .def("__next__", [](box_t&) { ++calls; })  // an iterator, whose methods are explained too
      .def("__repr__", [](box_t&) { return "box()"; });
  py::class_<derived_box<Explained>, box_t>(module, "derived", py::module_local())
      .def(py::init<>());
  module.def(
      "of_box", [](const tensor_t<const float>&, const box_t&) {}, py::arg("image"),
      py::arg("box"));
  if (Explained) explain_mismatches(module);
  return module;
}

// They stay for good: the interpreter ends before static objects do.
const py::module_& plain() {
  static auto* const module = new py::module_(example<false>());
  return *module;
}
const py::module_& explained() {
  static auto* const module = new py::module_(example<true>());
  return *module;
}

// The overloads in pybind11's words, which the explanation has too.
std::string overloads_in(const std::string& text) {
  const std::size_t begin = text.find("The following argument types are supported:");
  return text.substr(begin, text.find("\nInvoked with: ") - begin);
}

// The reasons first, then the overloads as pybind11 lists them, then what came.
void expect_explained(const std::string& call, const std::string& reasons,
                      const std::string& invoked_with = "") {
  SCOPED_TRACE(call);
  const auto without = test::raised_by([&] { eval(call, py::arg("m") = plain()); });
  const auto with = test::raised_by([&] { eval(call, py::arg("m") = explained()); });
  EXPECT_EQ(without.type, "TypeError");
  EXPECT_EQ(with.type, "TypeError");
  const std::string start = without.text.substr(0, without.text.find(" arguments.")) + " arguments";
  EXPECT_EQ(with.text.substr(0, with.text.find("\n\nThe following")), start + reasons);
  EXPECT_EQ(overloads_in(with.text), overloads_in(without.text));
  EXPECT_CONTAINS(with.text, "\nInvoked with: " + invoked_with);
  EXPECT_EQ(ndtorch::detail::explanation::current(), nullptr);
}

TEST(explain_mismatches, says_first_why_a_single_function_refused) {
  const std::string shape_of_three =
      "expected shape (2,) (got (3,)). Got an array of shape (3,), strides (8,) bytes, dtype "
      "float64. Reshape or slice it first.";
  expect_explained("m.single(np.zeros(3))", ": argument 'x': " + shape_of_three,
                   "an array of shape (3,), dtype float64");
  expect_explained("m.single(x=np.zeros(3))", ": argument 'x': " + shape_of_three,
                   "x=an array of shape (3,), dtype float64");
  expect_explained("m.single('text')",
                   ": argument 'x': can't convert an object of type 'str' to a tensor. Pass an "
                   "array, a number, or a nested sequence of these.",
                   "'text'");
  expect_explained("m.single(None)", ": argument 'x': expected an array (got None)", "None");
  expect_explained("m.fixed(np.zeros(2))",
                   ": argument 'x': expected dtype float32 (got float64). Got an array of shape "
                   "(2,), strides (8,) bytes, dtype float64. Cast it first, for example with "
                   "array.astype('float32').");
}

TEST(explain_mismatches, tells_overloads_apart_where_their_reasons_differ) {
  const std::string got =
      ". Got an array of shape (2,), strides (8,) bytes, dtype int64. Cast it first, for example "
      "with array.astype(";
  // The second takes one argument more.
  expect_explained("m.overloaded(np.arange(2))",
                   ":\n    argument 1: expected dtype float32 (got int64)" + got +
                       "'float32'). The function writes into that copy: use it afterwards. "
                       "(overload 1)");
  expect_explained("m.overloaded(np.arange(2), 3)",
                   ":\n    argument 1: expected dtype float64 (got int64)" + got +
                       "'float64'). The function writes into that copy: use it afterwards. "
                       "(overload 2)");
  expect_explained(
      "m.alike(np.zeros(2))",
      ":\n    argument 'image': expected 2 dimensions (got 1). Got an array of shape "
      "(2,), strides (8,) bytes, dtype float64. Reshape it first. (overloads 1, 2)\n"
      "    argument 'image': expected 3 dimensions (got 1). Got an array of shape (2,), "
      "strides (8,) bytes, dtype float64. Reshape it first. (overload 3)");
}

TEST(explain_mismatches, names_only_the_arguments_that_were_refused) {
  // The first is converted, so what kept it from an exact match is no reason.
  expect_explained(
      "m.two(np.zeros(2), np.float32([1, 2]))",
      ": argument 2: expected 2 dimensions (got 1). Got an array of shape (2,), strides "
      "(4,) bytes, dtype float32. Reshape it first.");
  expect_explained(
      "m.batch([np.zeros(2, 'f4'), [1]])",
      ": an item of argument 1: expected an array (got list): the function writes into "
      "its memory. Pass one.",
      "a list of length 2");
}

TEST(explain_mismatches, is_not_followed_by_all_that_came) {
  const auto raised =
      test::raised_by([] { explained().attr("single")(eval("list(range(100_000))")); });
  EXPECT_LT(raised.text.size(), 600U);
  EXPECT_CONTAINS(raised.text, "Invoked with: a list of length 100000");
}

// The second call would find it empty, and the function would run with nothing.
TEST(explain_mismatches, does_not_read_an_iterator_twice) {
  calls = 0;
  for (const char* call : {"m.rows(r for r in [[1, 2], [3, [4]]])", "m.rows(zip([1, 'x'], [2, 3]))",
                           "m.rows(map(list, ['ab']))", "m.tables([iter([[1], ['x']])])",
                           "m.tables(([[1]], (row for row in [[1], ['x']])))"}) {
    SCOPED_TRACE(call);
    const auto with = test::raised_by([&] { eval(call, py::arg("m") = explained()); });
    EXPECT_EQ(with.type, "TypeError");
    EXPECT_CONTAINS(with.text,
                    "Pass a list, list(iterator), to hear what is wrong with its items.");
  }
  EXPECT_EQ(calls, 0);
  const std::string text =
      test::raised_by([] { eval("m.single(x for x in [1, 2])", py::arg("m") = explained()); }).text;
  EXPECT_CONTAINS(text, "argument 'x': ");
  EXPECT_CONTAINS(text, "can't convert an object of type 'generator (read already)' to a tensor.");
}

TEST(explain_mismatches, says_what_is_wrong_with_the_call_itself) {
  expect_explained("m.single()", ": argument 'x' is missing.", "nothing");
  expect_explained("m.single(np.zeros(2), 1)", ": it takes 1 positional argument (got 2).");
  expect_explained("m.single(y=np.zeros(2))", ": it has no argument 'y'.");
  expect_explained("m.single(np.zeros(2), x=1)", ": argument 'x' was given twice.");
  expect_explained("m.overloaded()", ": argument 1 is missing.");
}

TEST(explain_mismatches, names_an_argument_that_is_no_tensor) {
  const auto reason = [](const char* call) {
    const std::string text = test::raised_by([&] { eval(call, py::arg("m") = explained()); }).text;
    return text.substr(0, text.find("\n"));
  };
  EXPECT_CONTAINS(reason("m.number('x')"), "argument 'x': expected ");
  EXPECT_CONTAINS(reason("m.number('x')"), " (got 'x').");
  EXPECT_CONTAINS(reason("m.mixed(np.zeros(2), 'x')"), "argument 'count': expected ");
  EXPECT_CONTAINS(reason("m.mixed(np.zeros(2), 1, 2)"), "argument 'name': expected str (got 2).");
  EXPECT_CONTAINS(reason("m.of_box(np.zeros(2), 1)"), "argument 'box': expected ");
  EXPECT_CONTAINS(reason("m.of_box(np.zeros(2), 1)"), "(got 1).");
}

TEST(explain_mismatches, works_for_methods) {
  const std::string why =
      ": expected an array (got int): the function writes into its memory. Pass one.";
  expect_explained("m.box().method(1)", ": argument 'x'" + why, "1");
  expect_explained("m.box().method(x=1)", ": argument 'x'" + why, "x=1");
  expect_explained("m.box.method(m.box(), 1)", ": argument 'x'" + why);
  expect_explained("m.derived().method(1)", ": argument 'x'" + why);
  expect_explained("m.box.fixed(1)", ": argument 1" + why);
  expect_explained("m.box().fixed(1)", ": argument 1" + why);
  expect_explained("m.box(np.zeros((1, 2)))",
                   ":\n    argument 1: expected 1 dimension (got 2). Got an array of shape (1, 2), "
                   "strides (16, 8) bytes, dtype float64. Reshape it first. (overload 2)");
  expect_explained("m.box().method()", ": argument 'x' is missing.");
  expect_explained("m.box().method(1, 2)", ": it takes 1 positional argument (got 2).");
  expect_explained("m.box.fixed()", ": argument 1 is missing.");
  // An operator leaves it to the other operand.
  EXPECT_CONTAINS(test::raised_by([] { eval("m.box() + 1", py::arg("m") = explained()); }).text,
                  "unsupported operand type(s) for +");
}

TEST(explain_mismatches, leaves_calls_that_succeed_as_they_are) {
  for (const py::module_& module : {plain(), explained()}) {
    calls = 0;
    eval("m.single(np.zeros(2, 'f4'))", py::arg("m") = module);
    eval("m.single(x=[1, 2])", py::arg("m") = module);
    eval("m.box().method(np.zeros(2, 'f4'))", py::arg("m") = module);
    eval("m.box.fixed(x)", py::arg("m") = module, py::arg("x") = eval("np.zeros(2, 'f4')"));
    EXPECT_EQ(calls, 4);
    EXPECT_TRUE(
        is_true("m.overloaded(np.zeros(2, 'f4')) == 'float' and m.overloaded(np.zeros(2), 1) == "
                "'double' and m.number(x=3) == 3 and isinstance(m.box([1.]), m.box) and m.box() + "
                "np.zeros(2, 'f4') == 1",
                py::arg("m") = module));
  }
}

TEST(explain_mismatches, leaves_a_type_error_of_the_function_itself_as_it_is) {
  for (const char* argument : {"np.zeros(2, 'f4')", "np.zeros(2)", "[1]"}) {
    calls = 0;
    const auto raised = test::raised_by([&] { explained().attr("raises")(eval(argument)); });
    EXPECT_EQ(raised.type, "TypeError");
    EXPECT_EQ(raised.text, "from the function itself");
    EXPECT_EQ(calls, 1) << "called again";
  }
}

TEST(explain_mismatches, leaves_alone_what_comes_of_asking_again) {
  const py::object changing = test::exec(R"(
class Changing:
  reads = 0
  def __init__(self, count): self.count = count
  def __len__(self): return self.count
  def __getitem__(self, index):
    if index == 0: self.reads += 1
    if self.reads == 1: raise ValueError
    if index == self.count: raise IndexError
    return index
)")["Changing"];
  calls = 0;
  explained().attr("single")(changing(2));
  EXPECT_EQ(calls, 1);
  for (const auto& [count, type] : {std::pair(2, "TypeError"), std::pair(3, "ValueError")}) {
    const py::object argument = changing(count);
    const auto raised = test::raised_by([&] { explained().attr("raises")(argument); });
    EXPECT_EQ(raised.type, type);
    EXPECT_EQ(raised.text, "from the function itself");
  }
  EXPECT_EQ(calls, 3);
}

TEST(explain_mismatches, leaves_the_docstrings_as_they_are) {
  for (const char* function :
       {"m.single", "m.overloaded", "m.raises", "m.box.__init__", "m.box.method", "m.box.fixed"}) {
    SCOPED_TRACE(function);
    const py::object doc = eval(function, py::arg("m") = plain()).attr("__doc__");
    EXPECT_FALSE(doc.is_none());
    const py::object same = eval(function, py::arg("m") = explained()).attr("__doc__");
    EXPECT_EQ(py::cast<std::string>(same), py::cast<std::string>(doc));
  }
}

TEST(explain_mismatches, may_be_called_twice_and_before_the_last_overload) {
  py::module_ module = new_module();
  define<tensor_t<float>>(module);
  explain_mismatches(module, "f");
  define<tensor_t<double>>(module);
  explain_mismatches(module, "f");
  EXPECT_EQ(py::cast<std::string>(module.attr("f")(eval("np.zeros(2)"))),
            signature<tensor_t<double>>());
  const std::string text = test::raised_by([&] { module.attr("f")(1); }).text;
  EXPECT_EQ(text.find("last_resort"), std::string::npos) << text;
  EXPECT_CONTAINS(text, "argument 1: expected an array (got int)");
}

TEST(explain_mismatches, keeps_no_references) {
  const py::object argument = eval("np.zeros((7, 7))");
  const Py_ssize_t before = references(argument);
  test::raised_by([&] { explained().attr("single")(argument); });
  EXPECT_EQ(references(argument), before);

  py::module_ module = new_module();
  define<tensor_t<float>>(module);
  explain_mismatches(module, "f");
  const py::object function = eval("__import__('weakref').ref(m.f)", py::arg("m") = module);
  module = py::module_();
  EXPECT_TRUE(function().is_none()) << "the function holds itself";
}

struct settings {
  tensor_t<const float> gain;
};

TEST(explain_mismatches, of_a_module_reaches_all_that_is_in_it) {
  py::module_ module = new_module();
  py::module_ inner = module.def_submodule("inner");
  inner.def("f", [](const tensor_t<float>&) {}, py::arg("x"));
  py::class_<settings> bound(module, "settings", py::module_local());
  bound.def(py::init<>())
      .def_static(
          "fixed", [](const tensor_t<float>&) {}, py::arg("x"))
      .def_readwrite("gain", &settings::gain);
  bound.def_property_static(
      "all", [](const py::object&) { return 0; }, [](const py::object&, const tensor_t<float>&) {});
  module.attr("other") = py::module_::import("math");
  module.attr("function") = py::module_::import("numpy").attr("array");
  explain_mismatches(module);
  for (const char* call : {"m.inner.f(1)", "m.settings.fixed(1)",
                           "setattr(m.settings(), 'gain', 'x')", "setattr(m.settings, 'all', 1)"}) {
    SCOPED_TRACE(call);
    const auto raised = test::raised_by([&] { eval(call, py::arg("m") = module); });
    EXPECT_EQ(raised.type, "TypeError");
    EXPECT_CONTAINS(raised.text, "(): incompatible function arguments: argument ");
  }
  const auto of_setter =
      test::raised_by([&] { eval("setattr(m.settings(), 'gain', 'x')", py::arg("m") = module); });
  EXPECT_EQ(of_setter.text.find("settings.gain(): incompatible"), 0U) << of_setter.text;
  eval("setattr(m.settings(), 'gain', [1, 2])", py::arg("m") = module);
}

TEST(explain_mismatches, refuses_what_pybind11_did_not_make) {
  const py::module_ numpy = py::module_::import("numpy");
  const py::object doc = numpy.attr("array").attr("__doc__");
  const auto refused = [](const py::object& scope, const char* name) {
    return message_of<py::type_error>([&] { explain_mismatches(scope, name); });
  };
  EXPECT_EQ(refused(numpy, "ones"),
            "ndtorch::explain_mismatches: ones is no function that pybind11 made in this scope. "
            "Define it first.");
  EXPECT_CONTAINS(refused(numpy, "array"), "array is no function that pybind11 made");
  EXPECT_TRUE(doc.equal(numpy.attr("array").attr("__doc__")));
  EXPECT_CONTAINS(refused(explained().attr("box"), "__str__"), "__str__ is no function");
  EXPECT_CONTAINS(refused(explained().attr("derived"), "method"), "method is no function");
  EXPECT_CONTAINS(refused(explained(), "not_there"), "not_there is no function");
}

}  // namespace
