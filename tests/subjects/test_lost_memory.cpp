// Storages that were freed or made smaller after a tensor was made on them: an error on every way out,
// before anybody touches the memory.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>
#include <ndtorch/exchange.h>
#include <ndtorch/explain.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <ndtorch/to_numpy_async.h>
#include <ndtorch/typed.h>

#include <functional>
#include <string>
#include <vector>

#include "support/exports.h"
#include "support/private_use1.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::c_contig;
using ndtorch::tensor_t;
using test::array;
using test::eval;
using test::free_storage;
using test::message_of;
using test::raised_by;
using test::resize_storage;

const char* const lost = "can't export a tensor without memory. Got a tensor of shape ";

// Each way out; each by a lost tensor's own words.
const std::vector<std::function<void(const at::Tensor&)>> ways_out = {
    [](const at::Tensor& t) { ndtorch::numpy(t); },
    [](const at::Tensor& t) { ndtorch::to_numpy(t); },
    [](const at::Tensor& t) { ndtorch::to_numpy<double>(t); },
    [](const at::Tensor& t) { ndtorch::to_numpy<std::int16_t>(t); },
    [](const at::Tensor& t) { ndtorch::to_numpy<c10::complex<float>>(t); },
    [](const at::Tensor& t) { ndtorch::to_numpy_async(t).wait(); },
    [](const at::Tensor& t) { ndtorch::to_dlpack(t); },
    [](const at::Tensor& t) { ndtorch::to_torch(t); },
    [](const at::Tensor& t) { py::cast(tensor_t<>(t)); },
    [](const at::Tensor& t) { py::cast(tensor_t<>(t), py::return_value_policy::copy); },
    [](const at::Tensor& t) {
      py::cast(tensor_t<>(t), py::return_value_policy::reference_internal, py::none());
    },
};

struct lost_tensor {
  const char* name;
  std::function<at::Tensor()> make;
  bool has_bits = false;  // what numpy() itself names first
};

const std::vector<lost_tensor> lost_tensors = {
    {"freed",
     [] {
       at::Tensor tensor = at::ones({3, 4});
       free_storage(tensor);
       return tensor;
     }},
    {"one byte short",
     [] {
       at::Tensor tensor = at::ones({3, 4});
       resize_storage(tensor, 47);
       return tensor;
     }},
    {"the last column of a freed one",
     [] {
       const at::Tensor tensor = at::ones({3, 4});
       at::Tensor column = tensor.select(1, 3);
       free_storage(tensor);
       return column;
     }},
    {"a part whose end is cut off",
     [] {
       const at::Tensor tensor = at::ones({30});
       at::Tensor part = tensor.slice(0, 5, 30, 8);
       resize_storage(tensor, 29 * 4);
       return part;
     }},
    {"expanded",
     [] {
       const at::Tensor tensor = at::ones({1});
       at::Tensor expanded = tensor.expand({5});
       free_storage(tensor);
       return expanded;
     }},
    {"of bools",
     [] {
       at::Tensor tensor = at::ones({30}, at::kBool);
       free_storage(tensor);
       return tensor;
     }},
    {"memory taken away",
     [] {
       at::Tensor tensor = at::ones({3});
       tensor.storage().unsafeGetStorageImpl()->set_data_ptr(at::DataPtr());
       return tensor;
     }},
    {"grown in vain",
     [] {
       at::Tensor tensor = at::ones({3});
       ndtorch::numpy(tensor);  // not to be resized any more
       EXPECT_THROW(tensor.resize_({1000000}), c10::Error);
       return tensor;
     }},
    {"of an array, grown in vain",
     [] {
       at::Tensor tensor = ndtorch::from_numpy(array("np.zeros(3)"));
       EXPECT_THROW(tensor.resize_({1000000}), c10::Error);
       return tensor;
     }},
    {"of a read-only array, grown in vain",
     [] {
       at::Tensor tensor = ndtorch::from_numpy(array("np.broadcast_to(1., 3)"));
       EXPECT_THROW(tensor.resize_({1000000}), c10::Error);
       return tensor;
     }},
};

TEST(lost_memory, is_an_error_on_every_way_out) {
  for (const lost_tensor& one : lost_tensors) {
    SCOPED_TRACE(one.name);
    const at::Tensor tensor = one.make();
    const auto holders = tensor.storage().use_count();
    const bool resizable = tensor.storage().resizable();
    for (std::size_t i = 0; i < ways_out.size(); ++i) {
      SCOPED_TRACE(i);
      const test::python_error raised = raised_by([&] { ways_out[i](tensor); });
      const bool by_dlpack = i == 6 || i == 7;
      EXPECT_EQ(raised.type, by_dlpack ? "BufferError" : "RuntimeError");
      EXPECT_CONTAINS(raised.text, lost);
    }
    EXPECT_EQ(tensor.storage().use_count(), holders);
    EXPECT_EQ(tensor.storage().resizable(), resizable);
  }
}

TEST(lost_memory, of_tensors_that_only_a_copy_resolves_is_found_before_the_copy) {
  const auto freed = [](at::Tensor tensor) {
    free_storage(tensor);
    return tensor;
  };
  const at::Tensor numbers = at::complex(at::ones({6}), at::ones({6}));
  for (const at::Tensor& tensor :
       {freed(numbers.clone().conj()), freed(numbers.clone()._neg_view()),
        freed(at::ones({6}).set_requires_grad(true).detach()).set_requires_grad(true)}) {
    EXPECT_CONTAINS(message_of<std::runtime_error>([&] { ndtorch::to_numpy(tensor); }), lost);
    EXPECT_CONTAINS(message_of<std::runtime_error>([&] { ndtorch::to_numpy_async(tensor); }), lost);
    EXPECT_CONTAINS(
        message_of<std::runtime_error>([&] { ndtorch::to_numpy<c10::complex<double>>(tensor); }),
        lost);
    EXPECT_CONTAINS(ndtorch::explain(tensor), std::string("\n  to_numpy: refuses: ") + lost);
  }
}

TEST(lost_memory, of_a_device_is_found_before_the_device_is_asked) {
  const at::Tensor tensor = at::ones({3, 4}).to(at::Device(at::kPrivateUse1, 0));
  tensor.storage().unsafeGetStorageImpl()->set_nbytes(8);
  for (const auto& convert : std::vector<std::function<void()>>{
           [&] { ndtorch::to_numpy(tensor); }, [&] { ndtorch::to_numpy<double>(tensor); },
           [&] { ndtorch::to_numpy_async(tensor); },
           [&] { py::cast(tensor_t<>(tensor), py::return_value_policy::copy); }}) {
    EXPECT_CONTAINS(message_of<std::runtime_error>(convert), lost);
  }
  EXPECT_CONTAINS(message_of<py::buffer_error>([&] { ndtorch::to_dlpack(tensor); }), lost);
  EXPECT_CONTAINS(ndtorch::explain(tensor), std::string("\n  to_numpy: refuses: ") + lost);
}

TEST(lost_memory, is_found_when_a_dlpack_consumer_asks_later) {
  const at::Tensor tensor = at::ones({3, 4});
  const py::object offer = ndtorch::to_dlpack(tensor);
  free_storage(tensor);
  for (const char* const call : {"o.__dlpack__()", "o.__dlpack__(copy=True)",
                                 "o.__dlpack__(max_version=(1, 0))", "np.from_dlpack(o)"}) {
    SCOPED_TRACE(call);
    const test::python_error raised = raised_by([&] { eval(call, py::arg("o") = offer); });
    EXPECT_EQ(raised.type, "BufferError");
    EXPECT_CONTAINS(raised.text, lost);
  }
}

TEST(lost_memory, is_found_when_an_array_on_its_way_is_waited_for) {
  const at::Tensor tensor = at::ones({3, 4});
  auto later = ndtorch::to_numpy_async(tensor);
  free_storage(tensor);
  EXPECT_CONTAINS(message_of<std::runtime_error>([&] { later.wait(); }), lost);
}

TEST(lost_memory, has_no_typed_access) {
  for (const lost_tensor& one : lost_tensors) {
    SCOPED_TRACE(one.name);
    const at::Tensor tensor = one.make();
    const auto refused = [](const auto& make) {
      const std::string text = message_of<py::type_error>(make);
      EXPECT_CONTAINS(text, "expected a tensor with memory of its own");
      EXPECT_CONTAINS(text, "one whose storage was freed or made smaller");
    };
    if (tensor.scalar_type() == at::kFloat) {
      refused([&] { tensor_t<float>{tensor}; });
      refused([&] { tensor_t<const float>{tensor}; });
    }
    if (tensor.scalar_type() == at::kBool) {
      refused([&] { tensor_t<bool>{tensor}; });
      refused([&] { tensor_t<const bool>{tensor}; });
    }
    if (tensor.is_contiguous()) refused([&] { tensor_t<c_contig>{tensor}; });
    EXPECT_TRUE(tensor_t<>(tensor).is_same(tensor)) << "nobody touches its memory yet";
  }
}

TEST(lost_memory, of_a_torch_tensor_is_an_error_on_every_way_in) {
  test::import_torch();
  for (const char* const expression :
       {"(lambda t: (t.untyped_storage().resize_(0), t)[1])(torch.ones(3, 4))",
        "(lambda t: (t.untyped_storage().resize_(47), t)[1])(torch.ones(3, 4))",
        "(lambda t, u: (t.untyped_storage().resize_(0), u)[1])(*(lambda t: (t, t[1:, ::2]))("
        "torch.ones(3, 4)))",
        "(lambda t: (t.untyped_storage().resize_(0), t)[1])(torch.ones(30, dtype=torch.bool))"}) {
    SCOPED_TRACE(expression);
    const py::object tensor = eval(expression);
    for (const auto& convert : std::vector<std::function<void()>>{
             [&] { ndtorch::as_tensor(tensor); }, [&] { ndtorch::tensor(tensor); },
             [&] { ndtorch::as_tensor(tensor, at::TensorOptions(at::kDouble)); },
             [&] { ndtorch::tensor(py::make_tuple(tensor)); }}) {
      const std::string text = message_of<std::runtime_error>(convert);
      EXPECT_CONTAINS(text, "can't export a tensor without memory. Got a torch.Tensor of shape ");
      EXPECT_CONTAINS(text, "tensor.untyped_storage().resize_(");
    }
    for (const bool convert : {false, true}) {
      EXPECT_CONTAINS(message_of<py::type_error>([&] { tensor_t<>::from(tensor, convert); }),
                      "can't export a tensor without memory");
      EXPECT_CONTAINS(
          message_of<py::type_error>([&] { tensor_t<const double>::from(tensor, convert); }),
          "can't export a tensor without memory");
    }
    EXPECT_CONTAINS(ndtorch::explain(tensor), "\n  as_tensor: refuses: can't export a tensor");
    EXPECT_CONTAINS(ndtorch::explain(tensor), "\n  tensor: refuses: can't export a tensor");
  }
}

TEST(lost_memory, is_none_where_there_are_no_elements) {
  const at::Tensor tensor = at::ones({0, 4});
  free_storage(tensor);
  EXPECT_EQ(ndtorch::numpy(tensor).size(), 0);
  EXPECT_EQ(ndtorch::to_numpy<double>(tensor).size(), 0);
  const at::Tensor part = at::ones({3}).slice(0, 3);
  free_storage(part);
  EXPECT_EQ(ndtorch::numpy(part).size(), 0);
}

TEST(lost_memory, is_none_where_the_storage_just_suffices) {
  const at::Tensor tensor = at::arange(12, at::kFloat).reshape({3, 4});
  const at::Tensor part = tensor.slice(0, 1).slice(1, 0, 2);  // up to the 10th element
  resize_storage(tensor, 40);
  EXPECT_EQ(ndtorch::numpy(part).data(), part.const_data_ptr());
  EXPECT_CONTAINS(message_of<std::runtime_error>([&] { ndtorch::numpy(tensor); }),
                  "which needs 48 bytes, and its storage has 40.");
}

TEST(lost_memory, can_be_given_back) {
  const at::Tensor tensor = at::ones({3, 4});
  free_storage(tensor);
  const std::string text = message_of<std::runtime_error>([&] { ndtorch::numpy(tensor); });
  EXPECT_CONTAINS(text, "with tensor.untyped_storage().resize_(48)");
  resize_storage(tensor, 48);
  EXPECT_EQ(ndtorch::numpy(tensor).data(), tensor.const_data_ptr());
}

TEST(lost_memory, of_a_tensor_that_grew_in_vain_is_there_again_when_it_shrinks) {
  at::Tensor tensor = ndtorch::from_numpy(array("np.arange(3.)"));
  EXPECT_THROW(tensor.resize_({100}), c10::Error);
  const std::string text = message_of<std::runtime_error>([&] { ndtorch::numpy(tensor); });
  EXPECT_CONTAINS(text, "Make the tensor as small as its memory again, with tensor.resize_()");
  tensor.resize_({3});
  EXPECT_EQ(ndtorch::numpy(tensor).data(), tensor.const_data_ptr());
  EXPECT_EQ(ndtorch::numpy(at::zeros_like(tensor)).size(), 3);
}

}  // namespace
