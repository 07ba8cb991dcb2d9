// Tensors as members of classes, and in bound containers: nothing is kept for ever
#include <ATen/ATen.h>  // all of LibTorch's operators, == among them
#include <ndtorch/ndtorch.h>
#include <ndtorch/tensor_caster.h>
#include <pybind11/stl.h>
#include <pybind11/stl_bind.h>

#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

PYBIND11_MAKE_OPAQUE(std::vector<at::Tensor>)
PYBIND11_MAKE_OPAQUE(std::vector<ndtorch::tensor_t<>>)
PYBIND11_MAKE_OPAQUE(std::map<std::string, at::Tensor>)
PYBIND11_MAKE_OPAQUE(std::map<std::string, ndtorch::tensor_t<>>)

namespace {

namespace py = pybind11;
using policy = py::return_value_policy;
using test::eval;
using test::exec;
using test::is_true;
using test::watched;

// A class with members of every kind. `Tensor` is at::Tensor or tensor_t<>.
template <class Tensor>
struct layer {
  float numbers[3] = {1, 2, 3};
  Tensor weight = Tensor(at::ones({3}));
  Tensor other = Tensor(at::zeros({3}));
  std::optional<Tensor> maybe = Tensor(at::ones({3}));
  Tensor undefined;
  // On memory that no tensor owns.
  Tensor view = Tensor(at::from_blob(numbers, {3}));
  Tensor second_view = Tensor(at::from_blob(numbers, {2}));
  std::optional<Tensor> maybe_view = Tensor(at::from_blob(numbers, {3}));
  std::optional<Tensor> empty;
  std::vector<Tensor> list{Tensor(at::ones({3})), Tensor(at::zeros({3}))};
  std::map<std::string, Tensor> named{{"a", Tensor(at::ones({3}))}, {"b", Tensor(at::zeros({3}))}};

  layer() = default;
  layer(const layer&) = delete;
  layer& operator=(const layer&) = delete;
};

template <class Tensor>
class member : public testing::Test {
 public:
  using type = layer<Tensor>;

  static py::object make() {
    // It stays for good: the interpreter ends before static objects do.
    static const py::module_& made = *new py::module_(define());
    return made.attr("layer")();
  }

  // A tensor that C++ alone has.
  static Tensor& kept() {
    static auto& only = *new Tensor;
    return only;
  }
  static void forget() { kept() = Tensor(); }

 private:
  static py::module_ define() {
    auto scope = test::new_module();
    py::bind_vector<std::vector<Tensor>>(scope, "list", py::module_local());
    py::bind_map<std::map<std::string, Tensor>>(scope, "map", py::module_local());
    py::class_<type>(scope, "layer", py::module_local())
        .def(py::init<>())
        .def_readwrite("weight", &type::weight)
        .def_readwrite("other", &type::other)
        .def_readwrite("maybe", &type::maybe)
        .def_readwrite("undefined", &type::undefined)
        .def_readwrite("view", &type::view)
        .def_readwrite("second_view", &type::second_view)
        .def_readwrite("maybe_view", &type::maybe_view)
        .def_readwrite("list", &type::list)
        .def_readwrite("named", &type::named)
        .def_property(
            "referred", [](type& self) -> Tensor& { return self.weight; },
            [](type& self, Tensor value) { self.weight = std::move(value); },
            policy::reference_internal)
        .def_property(
            "returned", [](const type& self) { return self.weight; },
            [](type& self, const Tensor& value) { self.weight = value; })
        .def_property(
            "view_by_methods", [](const type& self) { return self.view; },
            [](type& self, Tensor value) { self.view = std::move(value); })
        .def("write",
             [](type& self) {
               self.weight.add_(1);
               self.view.add_(1);
             })
        .def("set_written",
             [](type& self, Tensor value) {
               value.add_(1);
               self.view = std::move(value);
             })
        .def("set_moved",
             [](type& self, Tensor value) {
               value.set_data(value.clone());
               self.view = std::move(value);
             })
        .def("keep", [](type&, const Tensor& value) { kept() = value; })
        .def("keep_slice", [](type&, const Tensor& value) { kept() = Tensor(value.slice(0, 1)); })
        .def("keep_both",
             [](type& self, const Tensor& value) {
               kept() = value;
               self.view = value;
             })
        .def("share",
             [](type& self) {
               for (Tensor& tensor : self.list) tensor = self.view;
               for (auto& [name, tensor] : self.named) tensor = self.view;
             })
        .def("forget", [](type& self, const Tensor& value) {
          self.empty = value;
          self.empty.reset();
        });
    return scope;
  }
};

using tensors = testing::Types<at::Tensor, ndtorch::tensor_t<>>;
TYPED_TEST_SUITE(member, tensors);

// What h.weight may be.
const char* const memories[] = {
    "",
    "h.weight = np.arange(3, dtype='f4')",
    "h.weight = np.arange(6, dtype='f4')[::2]",
    "h.weight = np.frombuffer(bytearray(12), 'f4')",
    "h.weight = np.frombuffer(bytes(12), 'f4')",
    "h.weight = np.frombuffer(bytes(12), 'f4'); h.write()",
    "h.weight = [1., 2., 3.]",
    "h.weight = np.arange(3, dtype='f4').view(type('sub', (np.ndarray,), {}))",
};

const char* const statements[] = {
    "h.weight = h.weight",
    "h.weight += 1",
    "h.weight = h.weight[:2]",
    "h.weight = h.weight[::-1]",
    "h.weight = memoryview(h.weight)",
    "h.weight = to_dlpack(h.weight)",
    "h.weight, h.other = h.other, h.weight",
    "h.referred += 1",
    "h.returned = h.returned[1:]",
    "h.returned, h.referred = h.referred, h.weight",
    "h.maybe = h.maybe",
    "h.maybe, h.weight = h.weight, h.maybe",
    "part = new(); part.weight = h.weight; h.other = part.weight; del part",
    "h.list[0] = h.list[0]",
    "h.list[0], h.list[1] = h.list[1], h.list[0]",
    "h.list[0], h.weight = h.weight, h.list[1]",
    "h.list.append(h.list[0])",
    "h.list.append(h.weight)",
    "h.list.extend([h.list[0], h.weight])",
    "h.list.extend(h.list)",
    "h.list = h.list",
    "h.list.append(next(iter(h.list)))",
    "h.list.append(h.list.pop())",
    "h.named['a'] = h.named['a']",
    "h.named['a'], h.named['b'] = h.named['b'], h.weight",
    "h.named['c'] = next(iter(h.named.values()))",
};

template <class Suite>
void run(const std::string& statement, const py::object& h) {
  py::dict names;
  names["h"] = h;
  names["new"] = py::cpp_function(&Suite::make);
  names["to_dlpack"] =
      py::cpp_function([](const ndtorch::tensor_t<>& x) { return ndtorch::to_dlpack(x); });
  exec(statement, names);
}

template <class Suite>
void expect_freed_after(const std::string& statement) {
  SCOPED_TRACE(statement);
  py::object h = Suite::make();
  const watched object(h);
  run<Suite>(statement, h);
  h = py::object();
  py::module_::import("gc").attr("collect")();
  EXPECT_FALSE(object.is_alive());
}

// An at::Tensor is the caller's own memory, which may be written (ndtorch/tensor_caster.h).
template <class Tensor>
constexpr bool is_written = std::is_same_v<Tensor, at::Tensor>;

// Read-only memory, and what would be a copy.
bool needs_no_writing(const std::string& statement) {
  for (const char* part : {"flags.writeable = False", "buffer(bytes(", "= [1., ", "[::-1]"}) {
    if (statement.find(part) != std::string::npos) return true;
  }
  return false;
}

TYPED_TEST(member, takes_a_read_only_array_where_it_only_reads) {
  const py::object h = TestFixture::make();
  const auto raised = [&] { h.attr("weight") = eval("np.frombuffer(bytes(12), 'f4')"); };
  if (is_written<TypeParam>) {
    EXPECT_EQ(test::raised_by(raised).type, "TypeError");
  } else {
    raised();
    EXPECT_EQ(test::text_of(h.attr("weight")), "[0. 0. 0.]");
  }
}

TYPED_TEST(member, that_is_got_and_set_keeps_no_object_alive) {
  for (const std::string memory : memories) {
    for (const std::string statement : statements) {
      const bool is_read_only = memory == "h.weight = np.frombuffer(bytes(12), 'f4')";
      if (is_read_only && statement.find("+=") != std::string::npos) continue;
      if (is_written<TypeParam> && needs_no_writing(memory + statement)) continue;
      expect_freed_after<TestFixture>(memory + (memory.empty() ? "" : "; ") + statement);
    }
  }
}

TYPED_TEST(member, that_is_got_and_set_for_ever_needs_no_more_memory) {
  for (const char* statement :
       {"h.weight, h.other = h.other, h.weight", "h.share(); h.list[0] = h.list[0][:]",
        "h.weight = h.weight[:]", "h.weight += 1", "h.list[0], h.list[1] = h.list[1], h.list[0]",
        "h.view, h.second_view = h.second_view, h.view", "h.view = h.view[:]",
        "h.named['a'], h.named['b'] = h.named['b'], h.named['a']", "h.weight = h.weight.view(sub)",
        // the first write of each turn leaves the memory of the one before
        "x = h.weight[:]; x.flags.writeable = False; h.weight = x; h.write(); del x"}) {
    SCOPED_TRACE(statement);
    if (is_written<TypeParam> && needs_no_writing(statement)) continue;
    const py::object h = TestFixture::make();
    const auto grown = test::exec(
        std::string("import sys, gc\n"
                    "sub = type('sub', (np.ndarray,), {})\n"
                    "def turn(n):\n"
                    "    for _ in range(n): ") +
            statement +
            "\n    gc.collect()\n    return sys.getallocatedblocks()\n"
            "turn(100)\n"
            "grown = -turn(100) + turn(5000)\n",
        py::dict(py::arg("h") = h,
                 py::arg("to_dlpack") = py::cpp_function(
                     [](const ndtorch::tensor_t<>& x) { return ndtorch::to_dlpack(x); })))["grown"];
    EXPECT_LT(py::cast<long>(grown), 500);
  }
}

TYPED_TEST(member, that_was_set_gives_the_original_array_as_its_base) {
  const py::object h = TestFixture::make();
  const py::array original = test::array("np.arange(3, dtype='f4')");
  h.attr("weight") = original;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(test::base_of(h.attr("weight")).is(original));
    h.attr("weight") = h.attr("weight");
  }
  run<TestFixture>(
      "w = h.weight\n"
      "w.flags.writeable = False\n"
      "w.flags.writeable = True\n"
      "w[0] = 7",
      h);
  EXPECT_EQ(test::text_of(original), "[7. 1. 2.]");
}

TYPED_TEST(member, is_the_same_memory_before_and_after) {
  for (const char* name : {"weight", "view", "view_by_methods"}) {
    for (const char* statement : {"h.NAME = h.NAME", "h.NAME += 1", "h.NAME = h.NAME[:2]",
                                  "h.NAME = memoryview(h.NAME)", "h.keep_both(h.NAME)"}) {
      std::string text = statement;
      for (std::size_t at = 0; (at = text.find("NAME")) != std::string::npos;) {
        text.replace(at, 4, name);
      }
      SCOPED_TRACE(text);
      const py::object h = TestFixture::make();
      const py::array before = h.attr(name);
      run<TestFixture>(text, h);
      const py::array after = h.attr(name);
      EXPECT_EQ(after.data(), before.data());
      EXPECT_TRUE(after.writeable());
      run<TestFixture>("h.write()", h);
      EXPECT_TRUE(is_true("b[0] == a[0]", py::arg("a") = after, py::arg("b") = before));
      TestFixture::forget();
    }
  }
}

// Memory of the object's own

TYPED_TEST(member, on_the_objects_own_memory_keeps_the_object) {
  for (const char* name : {"view", "second_view", "view_by_methods"}) {
    SCOPED_TRACE(name);
    py::object h = TestFixture::make();
    const watched object(h);
    py::object result = h.attr(name);
    EXPECT_TRUE(test::base_of(result).is(h));
    py::object slice = eval("r[1:]", py::arg("r") = result);
    h = result = py::object();
    EXPECT_TRUE(object.is_alive());
    EXPECT_EQ(test::text_of(slice[py::int_(0)]), "2.0");
    slice = py::object();
    EXPECT_FALSE(object.is_alive());
  }
}

TYPED_TEST(member, on_the_objects_own_memory_that_comes_back_lets_the_object_go) {
  for (const char* statement :
       {"h.view = h.view", "h.view += 1", "h.view = h.view[:2]", "h.view = h.view[1:][:1]",
        "h.view = h.view[:, None]", "h.view = memoryview(h.view)", "h.weight = h.view",
        "h.view, h.second_view = h.second_view, h.view", "h.view = to_dlpack(h.view)",
        "h.view_by_methods = h.view", "h.view_by_methods, h.weight = h.weight, h.view_by_methods",
        "for _ in range(5): h.view = h.view; h.second_view = h.view[:1]",
        "v = h.view; v.flags.writeable = False; h.view = v; del v",
        "v = h.view; v.flags.writeable = False; h.view = v; h.write(); del v",
        "v = h.view; v.flags.writeable = False; h.view = v; del v; h.view = h.view; h.write()",
        "v = h.view; v.flags.writeable = False; h.set_written(v); del v", "h.set_written(h.view)",
        "part = new(); part.view = h.view; h.other = part.view; del part",
        "h.maybe_view = h.maybe_view", "h.maybe_view, h.view = h.view, h.maybe_view",
        // here the list owns nothing, but keeps the object
        "h.share(); h.list[0] = h.list[0]", "h.share(); h.list[0] += 1",
        "h.share(); h.list[0], h.list[1] = h.list[1], h.list[0]",
        "h.share(); h.list.append(h.list[0])", "h.share(); h.list.extend([h.list[0][:1]])",
        "h.share(); h.named['a'] = h.named['b']", "h.share(); h.named['c'] = h.named['b']"}) {
    if (is_written<TypeParam> && needs_no_writing(statement)) continue;
    expect_freed_after<TestFixture>(statement);
  }
}

TYPED_TEST(member, on_the_objects_own_memory_is_kept_by_what_it_came_back_to) {
  py::object h = TestFixture::make();
  const watched object(h);
  run<TestFixture>("h.view = h.view; h.view = h.view[:2]", h);
  py::object result = h.attr("view");
  h = py::object();
  EXPECT_TRUE(object.is_alive());
  EXPECT_EQ(test::text_of(result), "[1. 2.]");
  result = py::object();
  EXPECT_FALSE(object.is_alive());
}

TYPED_TEST(member, on_the_objects_own_memory_stays_read_only_where_it_came_back_so) {
  if (is_written<TypeParam>) GTEST_SKIP() << "read-only arrays are refused";
  const py::object h = TestFixture::make();
  run<TestFixture>("v = h.view; v.flags.writeable = False; h.view = v; h.view = h.view", h);
  EXPECT_FALSE(py::array(h.attr("view")).writeable());
  const py::array before = h.attr("view");
  run<TestFixture>("h.write()", h);
  EXPECT_EQ(test::text_of(before), "[1. 2. 3.]");
  EXPECT_EQ(test::text_of(h.attr("view")), "[2. 3. 4.]");
}

TYPED_TEST(member, that_is_written_before_it_comes_back_has_what_was_written) {
  if (is_written<TypeParam>) GTEST_SKIP() << "read-only arrays are refused";
  const py::object h = TestFixture::make();
  const py::array numbers = h.attr("second_view");
  run<TestFixture>("v = h.view; v.flags.writeable = False; h.set_written(v); del v", h);
  EXPECT_EQ(test::text_of(h.attr("view")), "[2. 3. 4.]");
  EXPECT_EQ(test::text_of(numbers), "[1. 2.]");
}

TYPED_TEST(member, that_is_given_other_memory_before_it_comes_back_keeps_that) {
  const py::object h = TestFixture::make();
  eval("h.set_moved(h.view)", py::arg("h") = h);
  eval("h.second_view.fill(9)", py::arg("h") = h);  // the object's own memory
  EXPECT_EQ(test::text_of(h.attr("view")), "[1. 2. 3.]");
}

TYPED_TEST(member, on_the_objects_own_memory_keeps_the_object_for_another) {
  for (const char* statement :
       {"part.view = h.view", "part.list.append(h.view)", "part.maybe = h.view[:2]"}) {
    SCOPED_TRACE(statement);
    py::object h = TestFixture::make();
    py::object part = TestFixture::make();
    const watched object(h);
    exec(statement, py::dict(py::arg("h") = h, py::arg("part") = part));
    h = py::object();
    EXPECT_TRUE(object.is_alive());
    part = py::object();
    EXPECT_FALSE(object.is_alive());
  }
}

TYPED_TEST(member, on_the_objects_own_memory_keeps_the_object_for_a_cast) {
  py::object h = TestFixture::make();
  const watched object(h);
  TestFixture::kept() = py::cast<TypeParam>(h.attr("view"));
  h = py::object();
  EXPECT_TRUE(object.is_alive());
  EXPECT_EQ(TestFixture::kept()[1].template item<float>(), 2);
  TestFixture::forget();
  EXPECT_FALSE(object.is_alive());
}

TYPED_TEST(member, on_the_objects_own_memory_keeps_the_object_for_cpp) {
  for (const char* statement :
       {"h.keep(h.view)", "h.keep_slice(h.view)", "h.keep_both(h.view)",
        // leaves the address of a tensor that is no more, where the next may be made
        "for _ in range(100): h.forget(h.view); h.keep(h.view)"}) {
    SCOPED_TRACE(statement);
    py::object h = TestFixture::make();
    const watched object(h);
    run<TestFixture>(statement, h);
    const bool is_kept_by_h = std::string(statement) == "h.keep_both(h.view)";
    h = py::object();
    EXPECT_TRUE(object.is_alive());
    TestFixture::forget();
    if (is_kept_by_h) object.object().attr("view") = test::array("np.zeros(3, 'f4')");
    EXPECT_FALSE(object.is_alive());
  }
}

// Others

TYPED_TEST(member, that_is_undefined_is_none) {
  const py::object h = TestFixture::make();
  EXPECT_TRUE(is_true("hasattr(h, 'undefined')", py::arg("h") = h));
  EXPECT_TRUE(py::object(h.attr("undefined")).is_none());
  EXPECT_EQ(test::raised_by([&] { h.attr("undefined") = py::none(); }).type, "TypeError");
}

TYPED_TEST(member, of_an_instance_that_holds_its_own_array_is_freed) {
  const py::object freed = test::exec(
      "import gc, weakref\n"
      "class sub(type(h)): pass\n"
      "s = sub(); s.me = s; s.array = s.weight; s.view = s.view\n"
      "alive = weakref.ref(s); del s; gc.collect()\n"
      "freed = alive() is None",
      py::dict(py::arg("h") = TestFixture::make()))["freed"];
  EXPECT_TRUE(py::cast<bool>(freed));
}

TYPED_TEST(member, in_a_list_has_the_lists_methods) {
  const py::object h = TestFixture::make();
  h.attr("weight") = test::array("np.arange(3, dtype='f4')");
  run<TestFixture>("h.list.append(h.weight); h.list[2] += 1; del h.list[0]", h);
  EXPECT_EQ(test::text_of(h.attr("weight")), "[1. 2. 3.]");
  EXPECT_EQ(test::text_of(py::list(h.attr("list"))[1]), "[1. 2. 3.]");
  EXPECT_FALSE(py::hasattr(h.attr("list"), "count")) << "LibTorch's == is no answer";
}

// Circles that Python's collector sees

bool is_freed(const std::string& setup) {
  py::dict names;
  names["h"] = member<at::Tensor>::make();
  names["same"] = py::cpp_function([](const ndtorch::tensor_t<>& tensor) { return tensor; });
  names["to_dlpack"] = py::cpp_function([](const at::Tensor& t) { return ndtorch::to_dlpack(t); });
  names["function"] = py::cpp_function(
      [](const at::Tensor& tensor) { return py::cpp_function([tensor] { return tensor; }); });
  const auto done = exec(
      "import gc, weakref\n"
      "class plain:\n"
      "    def __init__(self): self.data = np.zeros(3); self.me = self\n"
      "class with_dlpack(plain):\n"
      "    def __dlpack__(self, **how): return self.data.__dlpack__(**how)\n"
      "    def __dlpack_device__(self): return self.data.__dlpack_device__()\n"
      "class with_array(plain):\n"
      "    def __array__(self, dtype=None, copy=None): return self.data\n"
      "class exported(plain):\n"
      "    def __init__(self): plain.__init__(self); self.out = to_dlpack(self.data)\n"
      "    def __dlpack__(self, **how): return self.out.__dlpack__(**how)\n"
      "    def __dlpack_device__(self): return self.out.__dlpack_device__()\n"
      "class layer(type(h)): pass\n"
      "class sub(np.ndarray): pass\n" +
          setup +
          "\n"
          "alive = weakref.ref(x)\n"
          "del x\n"
          "gc.collect()\n"
          "freed = alive() is None\n"
          "if not freed: alive().__dict__.clear()",
      names);
  return py::cast<bool>(done["freed"]);
}

TEST(circle, without_a_link_in_cpp_or_in_an_arrays_base_is_freed) {
  for (const char* setup : {
           "x = plain(); x.array = same(x.data)",
           "x = plain(); x.array = same(x.data[1:]); x.data = x.array",
           "x = plain(); x.function = function(x.data)",
           "x = plain(); x.out = to_dlpack(x.data); x.again = same(x.out)",
           "x = with_dlpack(); x.array = same(x)",
           "x = with_dlpack(); x.out = to_dlpack(x); x.array = same(x.out)",
           "x = with_array(); x.array = same(x)",
           "x = exported(); x.data = same(x); x.out = to_dlpack(x)",
           "x = exported(); x.array = same(x); x.function = function(x)",
           "x = layer(); x.me = x; x.array = x.weight; x.weight = x.array",
           "x = layer(); x.me = x; x.out = to_dlpack(x.weight); x.weight = x.out",
           "x = layer(); x.me = x; x.function = function(x.weight)",
           "x = np.zeros(3).view(sub); x.me = x; x.copy_ = same(x.astype('f4'))",
       }) {
    EXPECT_TRUE(is_freed(setup)) << setup;
  }
}

// As with NumPy alone: docs/memory.md says so.
TEST(circle, with_a_link_in_an_arrays_base_is_kept) {
  for (const char* make : {"x = sub((3,))", "x = type('bytes_', (bytearray,), {})(3)"}) {
    for (const char* link : {"x.array = same(x)", "x.array = np.frombuffer(x, 'u1')"}) {
      EXPECT_FALSE(is_freed(std::string(make) + "; " + link)) << make << "; " << link;
    }
  }
}

}  // namespace
