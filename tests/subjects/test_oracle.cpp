// PyTorch as the oracle, NumPy to torch: what torch.from_numpy, torch.tensor, torch.as_tensor and
// torch.Tensor answer for all dtypes and layouts is what ndtorch answers, except where a list or a
// test names the difference.
#include <ATen/core/Tensor.h>
#include <ndtorch/ndtorch.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/oracle.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::array;
using test::caught;
using test::dtypes;
using test::eval;
using test::expect_same_failure;
using test::facts;
using test::facts_of;
using test::function_in;
using test::is_true;
using test::outcome;

// The answers of a conversion that doesn't throw: "shares", "copies", "empty" (no memory to share),
// "another shape" than the array's.
outcome outcome_of(facts tensor, std::uintptr_t memory, py::handle source) {
  std::string answer = tensor.bytes.empty() ? "empty" : "copies";
  if (py::isinstance<py::array>(source)) {
    const auto array = py::reinterpret_borrow<py::array>(source);
    if (!tensor.bytes.empty() && memory == reinterpret_cast<std::uintptr_t>(array.data())) {
      answer = "shares";
    }
    if (tensor.sizes != std::vector<std::int64_t>(array.shape(), array.shape() + array.ndim())) {
      answer = "another shape";
    }
  }
  return {answer, "", std::move(tensor)};
}

outcome outcome_of(const at::Tensor& tensor, py::handle source) {
  return outcome_of(facts_of(tensor), reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()),
                    source);
}

outcome outcome_of(py::handle tensor, py::handle source) {
  return outcome_of(facts_of(tensor), py::cast<std::uintptr_t>(tensor.attr("data_ptr")()), source);
}

using conversion = at::Tensor (*)(py::handle data, const at::TensorOptions& options);

const std::map<std::string, conversion> conversions = {
    {"from_numpy", [](py::handle data, auto&) { return ndtorch::from_numpy(data); }},
    {"tensor", [](py::handle data, auto& options) { return ndtorch::tensor(data, options); }},
    {"as_tensor", [](py::handle data, auto& options) { return ndtorch::as_tensor(data, options); }},
    {"Tensor", [](py::handle data, auto&) { return ndtorch::Tensor(data); }},
};

outcome ndtorch_answer(const std::string& function, py::handle data,
                       const at::TensorOptions& options = {}) {
  return caught([&] { return outcome_of(conversions.at(function)(data, options), data); });
}

// torch.<function>(array). PyTorch takes no array of ml_dtypes' dtypes, nor of C's unsigned long
// long where long has as many bits: it is given the same bits as other integers, and reads its
// result as the dtype that was meant.
const char* const pytorch = R"(
import torch, warnings
warnings.simplefilter('ignore')
def convert(function, a, dtype=None, requires_grad=False):
    options = {}
    if dtype is not None: options['dtype'] = getattr(torch, str(dtype))
    if requires_grad: options['requires_grad'] = True
    name = a.dtype.name if type(a) is np.ndarray else ''
    order = '=' if not name or a.dtype.isnative else a.dtype.byteorder
    if name and a.dtype.char == 'Q': a = a.view(order + 'L')
    if not name.startswith(('bfloat16', 'float8', 'complex32')):
        return getattr(torch, function)(a, **options)
    ints = a.view(f'{order}u{a.itemsize}')
    if function == 'Tensor':
        function, options = 'from_numpy', dict(dtype=torch.get_default_dtype())
    t = getattr(torch, function)(ints).view(getattr(torch, name))
    return t.to(options.get('dtype', t.dtype)).requires_grad_(requires_grad)
)";

template <class... Options>
outcome pytorch_answer(const std::string& function, py::handle data, Options&&... options) {
  static const py::object& convert = function_in(pytorch, "convert");
  return caught(
      [&] { return outcome_of(convert(function, data, std::forward<Options>(options)...), data); });
}

void expect_same(const outcome& ours, const outcome& theirs) {
  if (!theirs.tensor) return expect_same_failure(ours, theirs);
  ASSERT_TRUE(ours.tensor) << ours.answer << ": " << ours.text;
  EXPECT_EQ(ours.answer, theirs.answer);
  EXPECT_EQ(*ours.tensor, *theirs.tensor);
}

// Arrays of one dtype in every layout. The values are exact in all dtypes that are cast to.
const char* const layouts = R"(
def layouts(dtype):
    item = dtype.itemsize
    c = np.resize([1, 2, 4, 8, 1, 4, 2], 24).astype(dtype).reshape(2, 3, 4)
    read_only = c.copy()
    read_only.flags.writeable = False
    unaligned = np.zeros(c.nbytes + 1, np.uint8)[1:].view(dtype).reshape(c.shape)
    unaligned[...] = c
    def strided(shape, strides):
        return np.ndarray(shape, dtype, c.reshape(-1).view(np.uint8), strides=strides)
    packed = np.zeros(4, [('x', dtype), ('y', 'V3')])
    padded = np.zeros(4, [('x', dtype), ('y', 'V8')])
    packed['x'] = padded['x'] = c[0, 0]
    return {
        'C': c,
        'F': np.asfortranarray(c),
        'transposed': c.T,
        'permuted': c.transpose(1, 2, 0),
        'permuted again': c.transpose(2, 0, 1),
        'sliced': c[:, ::2, 1:3],
        'sliced and transposed': c[:, 1:].T,
        'storage offset': c[1:, 1:, 1:],
        'stepped': c.reshape(-1)[3::5],
        'column': c[0, :, 1],
        '0-d': np.array(c[0, 0, 1]),
        '0-d inside another': c[1, 2, 3:].reshape(()),
        'one element': c[:1, :1, :1],
        'length-1 axis': c[:, 1:2],
        'added axes': c[None, :, None],
        'empty': np.empty((0,), dtype),
        'empty first axis': c[:0],
        'empty middle axis': c[:, :0],
        'empty reversed': c[:0, ::-1],
        'many axes': c.reshape((2,) + (1,) * 61 + (3, 4)),
        'read-only': read_only,
        'read-only transposed': read_only.T,
        'broadcast': np.broadcast_to(c[:1], (5, 3, 4)),
        'broadcast from 0-d': np.broadcast_to(c[0, 0, 0], (2, 3)),
        'broadcast writable': strided((2, 3, 4), (12 * item, 0, item)),
        'overlapping': strided((5, 4), (item, item)),
        'negative': c[::-1],
        'negative inside': c[:, ::-1, ::2],
        'negative on a length-1 axis': c[:, 1:2][:, ::-1],
        'odd stride on a length-1 axis': strided((1, 3, 4), (7 * item + 1, 4 * item, item)),
        'odd stride when empty': strided((0, 3, 4), (7 * item + 1, 4 * item, item)),
        'negative stride when empty': strided((2, 0, 4), (-4 * item, item, item)),
        'unaligned': unaligned,
        'unaligned and sliced': unaligned[:, ::2].T,
        'byte-swapped': c.astype(dtype.newbyteorder()),
        'byte-swapped and transposed': c.astype(dtype.newbyteorder()).T,
        'packed struct field': packed['x'],
        'padded struct field': padded['x'],
    }
)";

py::dict layouts_of(const py::object& dtype) {
  static const py::object& function = function_in(layouts, "layouts");
  return function(dtype);
}

// Where the answers differ on purpose: the first line that names the function and whose condition
// the array `a` meets. "undefined": PyTorch reads misaligned memory as if it were aligned, and
// crashes on some of it, so it isn't asked.
struct difference {
  const char* name;
  std::set<std::string> functions;
  const char* condition;
  const char* pytorch;
  const char* ndtorch;
};

const std::set<std::string> copying = {"tensor", "as_tensor", "Tensor"};
const std::set<std::string> always_copying = {"tensor", "Tensor"};
const std::set<std::string> sharing = {"from_numpy", "as_tensor"};
const std::set<std::string> all = {"from_numpy", "tensor", "as_tensor", "Tensor"};

const std::vector<difference> deliberate_differences = {
    {"a misaligned view is refused", {"from_numpy"}, "misaligned", "undefined", "ValueError"},
    {"misaligned memory is copied", copying, "misaligned", "undefined", "copies"},
    {"negative strides are copied", copying, "negative", "ValueError", "copies"},
    {"odd strides are copied", copying, "odd", "ValueError", "copies"},
    {"foreign byte order is copied", copying, "swapped", "ValueError", "copies"},
    {"no stride of a length-1 axis matters", sharing, "unused", "ValueError", "shares"},
    {"nor in a copy", always_copying, "unused", "ValueError", "copies"},
    {"no stride of an empty array matters", all, "unused_empty", "ValueError", "empty"},
    {"an int is a value, not a size", {"Tensor"}, "int_0d", "another shape", "copies"},
    {"Tensor(float32 array) is a copy", {"Tensor"}, "float32", "shares", "copies"},
};

const char* const conditions = R"(
def conditions(a):
    bad = [(n, s) for n, s in zip(a.shape, a.strides) if s < 0 or s % a.itemsize]
    used = [s for n, s in bad if n > 1 and a.size > 0]
    odd = any(s % a.itemsize for s in used)
    return dict(
        misaligned=not a.flags.aligned and a.size > 0 and not odd, odd=odd,
        negative=any(s < 0 for s in used), swapped=not a.dtype.isnative and a.itemsize > 1,
        unused=bool(bad) and not used and a.size > 0, unused_empty=bool(bad) and a.size == 0,
        int_0d=a.ndim == 0 and a.dtype.kind in 'iu',
        float32=a.dtype == np.float32 and a.size > 0)
)";

const difference* find_difference(const std::string& function, py::handle array) {
  static const py::object& conditions_of = function_in(conditions, "conditions");
  const py::dict met = conditions_of(array);
  for (const difference& line : deliberate_differences) {
    if (line.functions.count(function) && py::cast<bool>(met[line.condition])) return &line;
  }
  return nullptr;
}

// What PyTorch makes of a plain copy of the array, which has the same values and order of axes.
facts facts_of_plain_copy(const std::string& function, py::handle array) {
  const py::object plain =
      eval("np.array(a, a.dtype.newbyteorder('='), order='K')", py::arg("a") = array);
  const py::object dtype = function == "Tensor" ? eval("'float32'") : py::none();
  return *pytorch_answer("tensor", plain, py::arg("dtype") = dtype).tensor;
}

void expect_difference(const difference& line, const std::string& function, py::handle array) {
  SCOPED_TRACE(line.name);
  if (std::string(line.pytorch) != "undefined") {
    EXPECT_EQ(pytorch_answer(function, array).answer, line.pytorch);
  }
  const outcome ours = ndtorch_answer(function, array);
  EXPECT_EQ(ours.answer, line.ndtorch) << ours.text;
  if (!ours.tensor) return;
  const facts plain = facts_of_plain_copy(function, array);
  EXPECT_EQ(ours.tensor->dtype, plain.dtype);
  EXPECT_EQ(ours.tensor->sizes, plain.sizes);
  EXPECT_EQ(ours.tensor->bytes, plain.bytes);
  // Where a stride is 0, NumPy's own copy has the axes in another order than PyTorch's.
  if (ours.answer != "copies" || is_true("0 in a.strides", py::arg("a") = array)) return;
  for (std::size_t i = 0; i < plain.sizes.size(); ++i) {
    if (plain.sizes[i] < 2) continue;
    EXPECT_EQ(ours.tensor->strides[i], plain.strides[i]) << "axis " << i;
  }
}

// Each side sees what the other writes.
void expect_writes_are_seen(const at::Tensor& tensor, py::handle array) {
  const auto bytes = [](const char* expression, py::handle a) {
    return py::cast<std::string>(eval(expression, py::arg("a") = a));
  };
  const py::object before = array.attr("copy")();  // other layouts are on the same memory
  array[py::ellipsis()] = eval("a.dtype.type(2)", py::arg("a") = array);
  EXPECT_EQ(facts_of(tensor).bytes, bytes("np.full(a.shape, 2, a.dtype).tobytes()", array));
  // LibTorch refuses to write to elements that overlap.
  if (!is_true("0 in a.strides or a.strides == (a.itemsize,) * 2", py::arg("a") = array)) {
    tensor.fill_(4);
    EXPECT_EQ(bytes("a.tobytes()", array), bytes("np.full(a.shape, 4, a.dtype).tobytes()", array));
  }
  array[py::ellipsis()] = before;
}

class from_array : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(oracle, from_array,
                         testing::Values("from_numpy", "tensor", "as_tensor", "Tensor"),
                         [](const auto& test) { return test.param; });

TEST_P(from_array, is_as_pytorch_says_but_for_the_deliberate_differences) {
  const std::string& function = GetParam();
  std::set<const difference*> met;
  for (const py::object& dtype : dtypes()) {
    for (const auto& [layout, array] : layouts_of(dtype)) {
      SCOPED_TRACE(
          c10::str(py::cast<std::string>(py::str(dtype)), ", ", py::cast<std::string>(layout)));
      if (const difference* line = find_difference(function, array)) {
        expect_difference(*line, function, array);
        met.insert(line);
        continue;
      }
      const outcome ours = ndtorch_answer(function, array);
      expect_same(ours, pytorch_answer(function, array));
      if (ours.answer == "shares" && py::cast<bool>(array.attr("flags").attr("writeable"))) {
        expect_writes_are_seen(conversions.at(function)(array, {}), array);
      }
    }
  }
  for (const difference& line : deliberate_differences) {
    EXPECT_EQ(met.count(&line), line.functions.count(function)) << line.name;
  }
}

// Beside ml_dtypes' own: C's unsigned long long, which is a dtype of its own to PyTorch.
TEST(from_numpy, takes_dtypes_that_pytorch_refuses) {
  int refused = 0;
  for (const py::object& dtype : dtypes()) {
    const py::object array = eval("np.ones(3, d)", py::arg("d") = dtype);
    const outcome theirs = caught(
        [&] { return outcome_of(eval("torch.from_numpy(a)", py::arg("a") = array), array); });
    const bool foreign = is_true("a.dtype.char == 'Q' or a.dtype.type.__module__ == 'ml_dtypes'",
                                 py::arg("a") = array);
    EXPECT_EQ(theirs.answer, foreign ? "TypeError" : "shares") << theirs.text;
    EXPECT_EQ(ndtorch_answer("from_numpy", array).answer, "shares");
    refused += foreign;
  }
  EXPECT_EQ(refused, 8);
}

TEST(tensor_and_as_tensor, cast_between_all_dtypes_as_pytorch_does) {
  for (const char* function : {"tensor", "as_tensor"}) {
    for (const py::object& from : dtypes()) {
      for (const py::object& to : dtypes()) {
        SCOPED_TRACE(c10::str(function, ": ", py::cast<std::string>(py::repr(from)), " to ",
                              py::cast<std::string>(py::repr(to))));
        const py::object array =
            eval("np.array([[1, 2, 4], [8, 0, 1]], float).astype(d).T", py::arg("d") = from);
        expect_same(ndtorch_answer(function, array, ndtorch::scalar_type(to)),
                    pytorch_answer(function, array, py::arg("dtype") = to.attr("name")));
      }
    }
  }
}

TEST(tensor, requires_grad_where_pytorch_lets_it) {
  for (const py::object& dtype : dtypes()) {
    SCOPED_TRACE(py::cast<std::string>(py::repr(dtype)));
    const py::object array = eval("np.ones(3, d)", py::arg("d") = dtype);
    expect_same(ndtorch_answer("tensor", array, at::TensorOptions().requires_grad(true)),
                pytorch_answer("tensor", array, py::arg("requires_grad") = true));
  }
}

TEST(from_numpy, keeps_a_read_only_array_that_pytorch_writes_to) {
  const py::object ours = eval("np.broadcast_to(np.float32(1), (1,))");
  const py::object theirs = eval("np.broadcast_to(np.float32(1), (1,))");
  ndtorch::from_numpy(ours).fill_(5);
  eval("torch.from_numpy(a).fill_(5)", py::arg("a") = theirs);
  EXPECT_EQ(py::cast<float>(ours[py::int_(0)]), 1);
  EXPECT_EQ(py::cast<float>(theirs[py::int_(0)]), 5);
}

TEST_P(from_array, fails_as_pytorch_does) {
  const py::object table = eval(R"([
      np.array([None]), np.array(['a']), np.array([b'a']), np.zeros(2, 'V4'),
      np.zeros(2, 'V8')[::-1], np.zeros(2, 'i4,i4'), np.array(['2020-01-01'], 'M8[D]'),
      np.zeros(2, 'm8[s]'), np.zeros(2, np.longdouble), np.zeros(2, np.clongdouble),
      np.array([None, 1])[::-1], np.array(None), np.zeros((0,), object),
      np.zeros(2, ml_dtypes.int4), np.array(['a'], np.dtypes.StringDType()),
  ])");
  for (py::handle array : table) {
    SCOPED_TRACE(py::cast<std::string>(py::repr(array)));
    expect_same(ndtorch_answer(GetParam(), array), pytorch_answer(GetParam(), array));
  }
}

TEST_P(from_array, takes_subclasses_as_pytorch_does_but_for_masks) {
  const py::object table = eval(R"([
      np.matrix([[1, 2]]), np.rec.array(np.ones(3)), np.ma.array([1., 2.]),
      np.ma.array([1., 2.], mask=[False, False]),
  ])");
  for (py::handle array : table) {
    SCOPED_TRACE(py::cast<std::string>(py::repr(array)));
    expect_same(ndtorch_answer(GetParam(), array), pytorch_answer(GetParam(), array));
  }
  const py::object masked = eval("np.ma.array([1., 2.], mask=[False, True])");
  EXPECT_TRUE(pytorch_answer(GetParam(), masked).tensor);
  EXPECT_EQ(ndtorch_answer(GetParam(), masked).answer, "TypeError");
}

TEST(from_numpy, refuses_what_is_no_array_as_pytorch_does) {
  const py::object table =
      eval("[[1], None, 3, 'a', np.float32(1), torch.ones(1), memoryview(b'a'), np.ndarray]");
  for (py::handle object : table) {
    SCOPED_TRACE(py::cast<std::string>(py::repr(object)));
    expect_same(ndtorch_answer("from_numpy", object), pytorch_answer("from_numpy", object));
  }
}

at::TensorOptions options_of(py::handle dtype) {
  if (dtype.is_none()) return {};
  return ndtorch::scalar_type(
      eval("getattr(np, d, None) or getattr(ml_dtypes, d)", py::arg("d") = dtype));
}

void expect_data_read_as_pytorch_does(py::handle data, py::handle dtype = py::none()) {
  for (const char* function : {"tensor", "as_tensor"}) {
    SCOPED_TRACE(c10::str(function, ": ", py::cast<std::string>(py::repr(data)), " ",
                          py::cast<std::string>(py::str(dtype))));
    expect_same(ndtorch_answer(function, data, options_of(dtype)),
                pytorch_answer(function, data, py::arg("dtype") = dtype));
  }
}

TEST(tensor_and_as_tensor, read_numbers_and_sequences_as_pytorch_does) {
  const py::object table = eval(R"([
      3, -1, 2**62, 2.5, True, 1j, 1e300, float('nan'), np.float64(1), np.float16(1.5), np.int8(1),
      np.longlong(3), np.bool_(True), np.complex64(1j), 2**63, -2**63 - 1,
      [], (), [[], []], [[[]]], [1, 2], (1, 2), [[1, 2], (3, 4)], range(3), [2**63],
      [[1, 2], [3]], [[1], [2, 3]],
      [True, False], [True, 2], [1, 2.5], [1, 2j], [1.5, True], [True, 2j],
      [np.float32(1), 2], [np.float64(1), 2], [np.int8(1), np.int16(2)],
      [np.uint8(1), np.int8(2)], [np.float32(1), 2j],
      [np.array([1, 2]), np.array([3, 4])], [np.array([1, 2]), np.array([3.5, 4])],
      [np.float32([1, 2]), [3, 4]], [[np.array([1, 2])], [np.array([3, 4])]],
      [np.ones((2, 3)).T, np.zeros((2, 3)).T], [np.arange(3)[::-1], np.arange(3)],
      [np.empty((0,))], [np.array([1, 2]), np.array([3])],
  ])");
  for (py::handle data : table) expect_data_read_as_pytorch_does(data);
}

TEST(tensor_and_as_tensor, read_numbers_into_a_dtype_as_pytorch_does) {
  const py::object table = eval(R"([
      (2**63, 'uint64'), ([2**64 - 1], 'uint64'), (2**63, 'float64'),
      (255, 'uint8'), (300, 'uint8'), (-1, 'uint8'), (-129, 'int8'), (2**31, 'int32'),
      (1.5, 'int32'), (-1.5, 'uint16'), (1e10, 'int32'), (float('nan'), 'int32'), (True, 'int64'),
      (1e300, 'float16'), (1e300, 'bfloat16'), ([1e40], 'float32'), (-1e40, 'float32'),
      (1j, 'float32'), (3, 'complex64'), (1e40 + 1j, 'complex64'),
      (1.5, 'complex32'), (2, 'bool'), (0.5, 'bool'), (0j, 'bool'), ([1, 2.5], 'int64'),
      ([np.array([1.5, 2.5])], 'int64'), ([1, 2], 'bfloat16'), ([], 'int16'),
      ([np.float32(1.5)], 'float8_e5m2'), (1e10, 'float8_e4m3fn'), (3, 'float8_e8m0fnu'),
  ])");
  for (py::handle row : table) {
    expect_data_read_as_pytorch_does(row[py::int_(0)], row[py::int_(1)]);
  }
}

TEST(Tensor, reads_sequences_as_pytorch_does) {
  const py::object table = eval(R"([
      [], [1, 2], (2, 3), [[1], [2]], [True], [1.5], [np.float64(2)], [1j],
      [np.arange(3), np.arange(3)],
  ])");
  for (py::handle data : table) {
    SCOPED_TRACE(py::cast<std::string>(py::repr(data)));
    expect_same(ndtorch_answer("Tensor", data), pytorch_answer("Tensor", data));
  }
}

// Where ndtorch reads what PyTorch doesn't, or says the same thing in another way.
TEST(sequence, deliberate_differences) {
  const py::object table = eval(R"([
      # why, function, data, dtype, PyTorch's answer, ndtorch's answer
      ('what is no data is a TypeError', 'tensor', None, None, 'RuntimeError', 'TypeError'),
      ('what is no data is a TypeError', 'tensor', [None], None, 'RuntimeError', 'TypeError'),
      ('what is no data is a TypeError', 'tensor', {}, None, 'RuntimeError', 'TypeError'),
      ('what is no data is a TypeError', 'tensor', {1}, None, 'RuntimeError', 'TypeError'),
      ('what is no data is a TypeError', 'tensor', ['a'], None, 'ValueError', 'TypeError'),
      ('the words say what to pass', 'tensor', 'a', None, 'TypeError', 'TypeError'),
      ('the words say what to ask for', 'tensor', 1j, 'int64', 'TypeError', 'TypeError'),
      ('ragged is a ValueError', 'tensor', [[1], 2], None, 'TypeError', 'ValueError'),
      ('ragged is a ValueError', 'tensor', [1, [2]], None, 'TypeError', 'ValueError'),
      ('too large is a ValueError', 'tensor', 2**64, 'uint64', 'OverflowError', 'ValueError'),
      ('a 0-d array is a number', 'tensor', [np.array(1.5), 2], None, 'TypeError', 'copies'),
      ('a NumPy bool is a number', 'tensor', [np.bool_(1), 2], None, 'TypeError', 'copies'),
      ('a number is a value', 'Tensor', 2.5, None, 'TypeError', 'copies'),
      ('a number is a value', 'Tensor', np.float32(3), None, 'TypeError', 'copies'),
  ])");
  for (py::handle row : table) {
    const auto [why, function, data, dtype, pytorchs, ndtorchs] = py::cast<
        std::tuple<std::string, std::string, py::object, py::object, std::string, std::string>>(
        row);
    SCOPED_TRACE(c10::str(why, ": ", py::cast<std::string>(py::repr(data))));
    EXPECT_EQ(pytorch_answer(function, data, py::arg("dtype") = dtype).answer, pytorchs);
    EXPECT_EQ(ndtorch_answer(function, data, options_of(dtype)).answer, ndtorchs);
  }
}

TEST(sequence, of_bytes_is_memory_where_pytorch_reads_ints) {
  for (py::handle data : eval("[bytearray(b'ab'), memoryview(b'ab')]")) {
    const std::string bytes = py::cast<std::string>(eval("bytes(d)", py::arg("d") = data));
    EXPECT_EQ(pytorch_answer("tensor", data).tensor->dtype, "int64");
    EXPECT_EQ(*ndtorch_answer("tensor", data).tensor, (facts{"uint8", {2}, {1}, bytes, false}));
  }
}

TEST(sequence, of_empty_arrays_keeps_the_axes_that_pytorch_drops) {
  const py::object data = eval("[np.empty((0, 3)), np.empty((0, 3))]");
  EXPECT_EQ(pytorch_answer("tensor", data).tensor->sizes, (std::vector<std::int64_t>{2, 0}));
  EXPECT_EQ(ndtorch_answer("tensor", data).tensor->sizes, (std::vector<std::int64_t>{2, 0, 3}));
}

}  // namespace
