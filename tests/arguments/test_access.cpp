// detail/arguments/access.h: functions that write into the caller's memory
#include <ndtorch/typed.h>

#include "support/arguments.h"
#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::tensor_t;
using ndtorch::writable;
using test::eval;
using test::load;
using test::message_of;

TEST(writable, takes_memory_of_any_dtype_that_may_be_written) {
  for (const char* object : {"np.ones(3)", "np.ones((2, 3), 'i2').T", "bytearray(8)",
                             "memoryview(bytearray(8))", "torch.ones(3)"}) {
    SCOPED_TRACE(object);
    const py::object source = eval(object);
    for (const bool convert : {false, true}) {
      const auto taken = load<tensor_t<writable>>(source, convert);
      ASSERT_TRUE(taken.has_value());
      const_cast<tensor_t<writable>&>(*taken).fill_(5);
    }
    EXPECT_TRUE(test::is_true("(np.asarray(x) == 5).all()", source));
  }
}

TEST(writable, refuses_what_nobody_would_see_written) {
  for (const char* object :
       {"np.broadcast_to(np.ones(1), 3)", "np.ones(3)[::-1]", "np.ones(3, '>f8')", "[1., 2.]",
        "3.5", "b'12345678'", "np.float32(1)", "range(3)",
        "type('t', (), {'__array__': lambda self, dtype=None, copy=None: np.ones(3)})()"}) {
    SCOPED_TRACE(object);
    EXPECT_FALSE(load<tensor_t<writable>>(eval(object), true).has_value());
  }
  EXPECT_CONTAINS(message_of<py::type_error>(
                      [] { tensor_t<writable>::from(eval("np.broadcast_to(np.ones(1), 3)")); }),
                  "expected memory that may be written, as the function writes into it");
  EXPECT_CONTAINS(message_of<py::type_error>([] { tensor_t<writable>::from(eval("[1, 2]")); }),
                  "expected an array (got list): the function writes into its memory. Pass one.");
}

TEST(writable, goes_with_other_constraints) {
  using rows = tensor_t<writable, ndtorch::shape<-1, 3>, ndtorch::c_contig>;
  EXPECT_TRUE(load<rows>(eval("np.ones((2, 3))"), true).has_value());
  EXPECT_FALSE(load<rows>(eval("np.ones((3, 2))"), true).has_value());
  EXPECT_FALSE(load<rows>(eval("np.ones((3, 2)).T"), true).has_value());
}

#if defined(__cpp_concepts)
TEST(isinstance, says_whether_an_object_is_taken_as_it_is) {
  using image = tensor_t<const float, ndtorch::ndim<2>>;
  EXPECT_TRUE(py::isinstance<image>(eval("np.ones((2, 2), 'f4')")));
  EXPECT_TRUE(py::isinstance<image>(eval("torch.ones(2, 2)")));
  for (const char* other : {"np.ones((2, 2))", "np.ones(2, 'f4')", "[[1.]]", "None", "3",
                            "np.ones((2, 2), 'f4')[::-1]"}) {
    SCOPED_TRACE(other);
    EXPECT_FALSE(py::isinstance<image>(eval(other)));
  }
  EXPECT_TRUE(py::isinstance<tensor_t<writable>>(eval("np.ones(2)")));
  EXPECT_FALSE(py::isinstance<tensor_t<writable>>(eval("np.broadcast_to(1., 2)")));
}
#endif

}  // namespace
