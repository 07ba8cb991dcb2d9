// ndtorch/from_numpy.h: what tensor, Tensor and as_tensor make of nested sequences. What they make
// of the numbers inside is in test_number.cpp.
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ndtorch/from_numpy.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::default_dtype;
using test::description;
using test::description_by_torch;
using test::eval;
using test::expect_as_torch;
using test::expect_elements;
using test::expect_starts_with;
using test::refusal_of;

TEST(sequences, have_the_shape_and_dtype_that_torch_gives_them) {
  for (const char* expression :
       {"[]", "()", "[[]]", "[[], []]", "[[[]], [[]]]", "[1, 2, 3]", "((1, 2), [3, 4])", "range(3)",
        "[range(2), (3, 4)]", "[[[1], [2]], [[3], [4]], [[5], [6]]]", "[[1, 2.5], [True, 4]]",
        "__import__('collections').deque([1, 2])", "__import__('collections').UserList([1, 2.5])",
        "list(range(10000))"}) {
    expect_as_torch(expression);
  }
}

TEST(sequences, are_of_the_default_dtype_as_Tensor) {
  for (const std::string& expression :
       std::vector<std::string>{"[]", "[1, 2]", "[[True], [False]]", "[2.5, np.float64(1)]",
                                "[np.arange(3), np.ones(3)]"}) {
    SCOPED_TRACE(expression);
    EXPECT_TRUE(description(ndtorch::Tensor(eval(expression)))
                    .equal(description_by_torch("torch.Tensor(" + expression + ")")));
  }
  const default_dtype as(at::kDouble);
  EXPECT_EQ(ndtorch::Tensor(eval("[1, 2]")).scalar_type(), at::kDouble);
}

TEST(sequences, need_no_common_dtype_where_one_is_asked_for) {
  const py::array expected = test::array("np.array([1, 2], 'f4')");
  const py::object data = eval("[np.uint16(1), np.int32(2)]");
  expect_elements(ndtorch::tensor(data, at::kFloat), expected);
  expect_elements(ndtorch::tensor<float>(data), expected);
  expect_elements(ndtorch::Tensor(data), expected);
}

struct refused_data {
  const char* expression;
  const char* text;
};

TEST(sequences, that_are_ragged_are_refused) {
  const refused_data table[] = {
      {"[[1], [2, 3]]", "expected sequence of length 1 at dim 1 (got 2): "},
      {"[[1, 2], [3]]", "expected sequence of length 2 at dim 1 (got 1): "},
      {"[[[1], [2]], [[3]]]", "expected sequence of length 2 at dim 1 (got 1): "},
      {"[[[1, 2]], [[3]]]", "expected sequence of length 2 at dim 2 (got 1): "},
      {"[1, [2]]", "expected a number at dim 1 (got a list): "},
      {"[[1], 2]", "expected sequence of length 1 at dim 1 (got a int): "},
      {"[[1], []]", "expected sequence of length 1 at dim 1 (got 0): "},
      {"[np.zeros(2), np.zeros(3)]", "expected sequence of length 2 at dim 1 (got 3): "},
      {"[np.zeros((2, 3)), np.zeros((3, 2))]", "expected sequence of length 2 at dim 1 (got 3): "},
      {"[np.zeros(2), 1]", "expected sequence of length 2 at dim 1 (got a int): "},
      {"[1, np.zeros(2)]", "expected a number at dim 1 (got a numpy.ndarray): "},
      {"[np.zeros((2, 2)), [1, 2]]", "expected sequence of length 2 at dim 2 (got a int): "},
      // PyTorch looks at the first part only, and takes these as two empty rows.
      {"[[], [1]]", "expected sequence of length 0 at dim 1 (got 1): "},
      {"[[], 1]", "expected sequence of length 0 at dim 1 (got a int): "},
      {"[[], [[]]]", "expected sequence of length 0 at dim 1 (got 1): "},
  };
  for (const auto& [expression, text] : table) {
    SCOPED_TRACE(expression);
    for (const std::string& message :
         {refusal_of<py::value_error>(eval(expression), [](py::handle x) { ndtorch::tensor(x); }),
          refusal_of<py::value_error>(eval(expression), [](py::handle x) { ndtorch::Tensor(x); }),
          refusal_of<py::value_error>(eval(expression),
                                      [](py::handle x) { ndtorch::as_tensor(x); })}) {
      expect_starts_with(message, text);
      EXPECT_CONTAINS(message, "Pad them, or convert them one by one.");
    }
  }
}

TEST(sequences, of_what_is_no_number_are_refused) {
  const refused_data table[] = {
      {"None", "'NoneType'"},
      {"'text'", "'str'"},
      {"{}", "'dict'"},
      {"__import__('collections').UserDict({0: 1.})", "'UserDict'"},
      {"{1, 2}", "'set'"},
      {"object()", "'object'"},
      {"[None]", "'NoneType'"},
      {"[1, 'a']", "'str'"},
      {"['ab', 'cd']", "'str'"},
      {"[[1], ['a']]", "'str'"},
      {"[1, {}]", "'dict'"},
      {"(x for x in [1])", "'generator'"},
      {"[np.zeros(2), 'ab']", "'str'"},
      {"type('number', (), {'__int__': lambda self: 3})()", "'number'"},
  };
  for (const auto& [expression, name] : table) {
    SCOPED_TRACE(expression);
    for (const std::string& message :
         {refusal_of<py::type_error>(eval(expression), [](py::handle x) { ndtorch::tensor(x); }),
          refusal_of<py::type_error>(eval(expression), [](py::handle x) { ndtorch::Tensor(x); }),
          refusal_of<py::type_error>(eval(expression),
                                     [](py::handle x) { ndtorch::as_tensor(x); })}) {
      EXPECT_EQ(message, "can't convert an object of type " + std::string(name) +
                             " to a tensor. Pass an array, a number, or a nested sequence of "
                             "these.");
    }
  }
}

TEST(sequences, are_checked_for_dtypes_and_masks_inside) {
  const refused_data table[] = {
      {"np.longdouble(1)", "can't convert np.ndarray of type numpy.longdouble. "},
      {"np.str_('a')", "can't convert np.ndarray of type numpy.str_. "},
      {"np.datetime64('2020')", "can't convert np.ndarray of type numpy.datetime64. "},
      {"[np.longdouble(1)]", "can't convert np.ndarray of type numpy.longdouble. "},
      {"[np.zeros(2, 'O')]", "can't convert np.ndarray of type numpy.object_. "},
      {"[1, np.array('a')]", "can't convert np.ndarray of type numpy.str_. "},
      {"[np.ma.masked_array([1., 2.], [0, 1])]", "can't convert a masked array with masked values"},
      {"[1., np.ma.masked]", "can't convert a masked array with masked values"},
  };
  for (const auto& [expression, text] : table) {
    SCOPED_TRACE(expression);
    expect_starts_with(
        refusal_of<py::type_error>(eval(expression), [](py::handle x) { ndtorch::tensor(x); }),
        text);
  }
}

// `depth` lists around an item.
py::object nested(py::object item, int depth) {
  for (int i = 0; i < depth; ++i) {
    py::list outer;
    outer.append(item);
    item = std::move(outer);
  }
  return item;
}

TEST(sequences, have_at_most_64_dimensions) {
  const at::Tensor deepest = ndtorch::tensor(nested(py::int_(7), 64));
  EXPECT_EQ(deepest.dim(), 64);
  EXPECT_EQ(deepest.item<std::int64_t>(), 7);
  EXPECT_EQ(ndtorch::tensor(nested(eval("np.zeros((1,) * 60)"), 4)).dim(), 64);

  py::list endless;
  endless.append(endless);
  for (const py::object& data :
       {nested(py::int_(7), 65), nested(eval("np.zeros((1,) * 64)"), 1), py::object(endless)}) {
    EXPECT_CONTAINS(refusal_of<py::value_error>(data, [](py::handle x) { ndtorch::tensor(x); }),
                    "a tensor made from nested sequences has at most 64.");
  }
  endless.attr("clear")();
}

TEST(sequences, of_arrays_are_stacked) {
  for (const char* expression :
       {"[np.arange(3.), np.ones(3)]", "(np.arange(6).reshape(2, 3), np.ones((2, 3), int))",
        "[np.arange(6.).reshape(2, 3), np.asfortranarray(np.ones((2, 3)))]",
        "[np.arange(6.)[::-1], np.arange(12.)[::2], np.broadcast_to(2., 6)]",
        "[np.arange(3.).astype('>f8'), np.arange(25, dtype='u1')[1:].view('f8')]",
        "[np.arange(2., dtype='f4'), np.ones(2, 'f4')]", "[np.zeros(0), np.zeros(0)]",
        "[np.zeros((0, 2)), np.zeros((0, 2))]", "[np.array(1.), np.array(2.)]",
        "[np.matrix([[1., 2.]]), np.ones((1, 2))]", "[np.ones(2, bool), np.zeros(2, bool)]",
        "[np.ones(2, ml_dtypes.bfloat16), np.zeros(2, ml_dtypes.bfloat16)]"}) {
    SCOPED_TRACE(expression);
    const py::object arrays = eval(expression);
    const py::array expected =
        test::array("np.stack([np.asarray(a) for a in arrays])", py::arg("arrays") = arrays);
    const at::Tensor tensor = ndtorch::tensor(arrays);
    expect_elements(tensor, expected);
    EXPECT_TRUE(tensor.is_contiguous());
    expect_elements(ndtorch::as_tensor(arrays), expected);
    expect_elements(ndtorch::tensor<float>(arrays),
                    test::array("a.astype('f4')", py::arg("a") = expected));
  }
}

TEST(sequences, of_arrays_are_stacked_along_several_axes_and_with_numbers) {
  expect_elements(ndtorch::tensor(eval("[[np.arange(2), np.ones(2, int)]] * 3")),
                  test::array("np.array([[[0, 1], [1, 1]]] * 3)"));
  expect_elements(ndtorch::tensor(eval("[np.array([1., 2.]), [3, 4], (True, np.int8(5))]")),
                  test::array("np.array([[1., 2.], [3, 4], [1, 5]])"));
  expect_elements(ndtorch::tensor(eval("[np.array(1.5), 2, np.float32(3)]")),
                  test::array("np.array([1.5, 2, 3])"));
}

TEST(sequences, of_arrays_are_promoted_as_in_torch) {
  for (const char* expression :
       {"[np.arange(2, dtype='f4'), np.ones(2)]", "[np.arange(2), np.ones(2, 'f4')]",
        "[np.arange(2, dtype='u1'), np.ones(2, 'i1')]", "[np.arange(2) * 1j, np.ones(2, 'f4')]",
        "[np.arange(2, dtype='i2'), [3, 4]]", "[np.arange(2, dtype='f2'), [3.5, 4]]"}) {
    expect_as_torch(expression);
  }
}

// "With one copy, not element by element": Python code that would be asked for elements isn't.
TEST(sequences, of_arrays_are_read_as_a_whole) {
  const py::list arrays = test::exec(R"(
class Whole(np.ndarray):
    def __getitem__(self, index): raise RuntimeError('asked for an element')
    __len__ = __iter__ = __float__ = tolist = item = __getitem__
arrays = [np.arange(3.).view(Whole), np.arange(3., 6.).view(Whole)]
)")["arrays"];
  expect_elements(ndtorch::tensor(arrays), test::array("np.arange(6.).reshape(2, 3)"));
}

// Sequences that misbehave while they are read, each in `broken`.
const char* const broken_sequences = R"(
class Sequence:
    def __init__(self, length, item):
        self.length, self.item = length, item
    def __len__(self): return self.length()
    def __getitem__(self, index): return self.item(index)
def fail(*_): raise OSError('the disk is gone')
def end(index): raise IndexError
outer = [1, None, 3]
outer[1] = Sequence(lambda: outer.clear() or 0, end)
def one(index):
    if index < 4: return 1.
    raise IndexError
def resized(size):
    array = np.ones(4)
    def length():
        array.resize(size, refcheck=False)
        return 4
    return [array, Sequence(length, one)]
def retyped():
    array = np.ones(4)
    def length():
        array.dtype = 'V8'
        return 4
    return [array, Sequence(length, one)]
broken = {
    'len fails': Sequence(fail, one),
    'item fails': Sequence(lambda: 2, fail),
    'len is negative': Sequence(lambda: -1, one),
    'shortened': outer,
    'grown': resized(100),
    'shrunk': resized(2),
    'emptied': resized(0),
    'retyped': retyped(),
    'shorter than it says': Sequence(lambda: 5, one),
    'fine': [np.ones(4), Sequence(lambda: 4, one)],
}
)";

TEST(sequences, that_break_while_they_are_read_are_refused) {
  const py::dict broken = test::exec(broken_sequences)["broken"];
  const auto raised = [&](const char* name) {
    return test::raised_by([&] { ndtorch::tensor(broken[name]); });
  };
  EXPECT_EQ(raised("len fails").text, "the disk is gone");
  EXPECT_EQ(raised("item fails").type, "OSError");
  EXPECT_EQ(raised("len is negative").type, "ValueError");
  EXPECT_EQ(raised("retyped").type, "TypeError");
  EXPECT_EQ(raised("shorter than it says").type, "IndexError");
  for (const char* name : {"grown", "shrunk", "emptied"}) {
    SCOPED_TRACE(name);
    const test::python_error error = raised(name);
    EXPECT_EQ(error.type, "ValueError");
    EXPECT_EQ(error.text, "an array changed its size while the sequence that holds it was read.");
  }
  expect_elements(ndtorch::tensor(broken["fine"]), test::array("np.ones((2, 4))"));
}

// What an iteration gives may be something else, as the columns of a table.
TEST(sequences, are_read_by_their_numbers) {
  const py::object table = test::exec(R"(
class table:
    def __len__(self): return 3
    def __getitem__(self, row): return [1.5 * row, 2]
    def __iter__(self): return iter(['a', 'b'])
rows = table()
)")["rows"];
  expect_elements(ndtorch::tensor(table), test::array("np.float32([[0, 2], [1.5, 2], [3, 2]])"));
  for (const char* expression : {"range(3, 9, 2)", "__import__('collections').deque([1, 2, 3])"}) {
    SCOPED_TRACE(expression);
    expect_elements(ndtorch::tensor(eval(expression)),
                    test::array(std::string("np.array(") + expression + ")"));
  }
}

// A row has keys(), and is a sequence all the same.
TEST(sequences, may_be_a_databases_rows) {
  const py::dict python = test::exec(R"(
import sqlite3
database = sqlite3.connect(':memory:')
database.row_factory = sqlite3.Row
rows = database.execute('select 1 as a, 2 as b union select 3, 4').fetchall()
)");
  const at::Tensor tensor = ndtorch::tensor(python["rows"]);
  EXPECT_TRUE(at::equal(tensor, at::arange(1, 5).view({2, 2})));
}

TEST(sequences, that_are_empty_are_of_the_default_dtype_beside_others) {
  for (const char* expression : {"[[], []]", "[np.zeros(0, np.int64), []]", "[[], np.zeros(0)]"}) {
    SCOPED_TRACE(expression);
    const at::Tensor tensor = ndtorch::tensor(eval(expression));
    EXPECT_EQ(tensor.sizes(), at::IntArrayRef({2, 0}));
    EXPECT_EQ(
        py::str(eval(std::string("torch.tensor(") + expression + ").dtype")).cast<std::string>(),
        tensor.scalar_type() == at::kDouble ? "torch.float64" : "torch.float32");
  }
}

TEST(sequences, keep_no_reference_to_what_they_hold) {
  const py::object array = eval("np.arange(3.)");
  const py::object number = eval("12345.5");
  const py::object fits = eval("[a, [x, x, 1]]", py::arg("a") = array, py::arg("x") = number);
  const py::object ragged = eval("[a, [x]]", py::arg("a") = array, py::arg("x") = number);
  const py::object no_number =
      eval("[a, [x, x, None]]", py::arg("a") = array, py::arg("x") = number);
  const py::object too_large = eval("[x, 1e300]", py::arg("x") = number);
  const Py_ssize_t of_array = test::references(array);
  const Py_ssize_t of_number = test::references(number);
  for (int i = 0; i < 100; ++i) {
    ndtorch::tensor(fits);
    ndtorch::Tensor(fits);
    EXPECT_THROW(ndtorch::tensor(ragged), py::value_error);
    EXPECT_THROW(ndtorch::tensor(no_number), py::type_error);
    EXPECT_THROW(ndtorch::tensor(too_large, at::kInt), std::runtime_error);
  }
  EXPECT_EQ(test::references(array), of_array);
  EXPECT_EQ(test::references(number), of_number);
}

}  // namespace
