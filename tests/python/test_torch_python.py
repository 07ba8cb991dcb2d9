"""Tests of the CMake target ndtorch::torch_python: autograd and identity are kept.

The directory with the built tests/modules has to be on PYTHONPATH.
"""

import numpy as np
import pytest

from support import run_python

torch = pytest.importorskip("torch")
module = pytest.importorskip("torch_python_module")


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.arange(6.0),
        lambda: torch.ones(2, requires_grad=True),
        lambda: torch.ones(2, requires_grad=True) * 2,
        lambda: torch.nn.Parameter(torch.ones(2)),
        lambda: torch.ones(2).as_subclass(type("odd", (torch.Tensor,), {})),
        lambda: torch.ones(2, dtype=torch.cfloat).conj(),
        lambda: torch.ones(2, 2).to_sparse(),
        lambda: torch.ones(2, device="meta"),
    ],
    ids="plain leaf computed parameter subclass conj sparse meta".split(),
)
def test_a_tensor_comes_back_as_the_same_object(make):
    tensor = make()
    assert module.same(tensor) is tensor


def test_attributes_of_the_object_stay():
    tensor = torch.ones(2)
    tensor.note = "mine"
    assert module.same(tensor).note == "mine"


def test_a_tensor_made_in_cpp_is_one_object():
    first, second = module.made()
    assert first is second
    assert type(first) is torch.Tensor and first.is_leaf and first.requires_grad


def test_the_pages_function_takes_arrays_and_carries_gradients():
    tensor = torch.ones(2, requires_grad=True)
    module.scale_with_grad(tensor, 3).sum().backward()
    assert tensor.grad.tolist() == [3, 3]
    assert module.scale_with_grad(np.arange(3.0), 2).tolist() == [0, 2, 4]


def test_backward_runs_through_cpp():
    tensor = torch.tensor([1.0, 2, 3], requires_grad=True)
    result = module.sum_of_squares(tensor)
    assert result.grad_fn is not None
    (result * 10).backward()
    assert tensor.grad.tolist() == [20, 40, 60]


def test_backward_of_a_graph_that_begins_in_python():
    tensor = torch.tensor([1.0, 2, 3], requires_grad=True)
    module.sum_of_squares(tensor * 2).backward()
    assert tensor.grad.tolist() == [8, 16, 24]


def test_backward_may_be_called_in_cpp():
    tensor = torch.tensor([1.0, 2, 3], requires_grad=True)
    module.backward(tensor)
    assert tensor.grad.tolist() == [2, 4, 6]


def test_gradients_are_those_of_numeric_differentiation():
    tensor = torch.rand(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module.sum_of_squares, tensor)
    assert torch.autograd.gradcheck(module.twice_as_double, tensor)


@pytest.mark.parametrize("function", [module.twice, module.twice_as_double, module.as_double])
def test_arguments_keep_autograd_also_where_they_are_converted(function):
    tensor = torch.tensor([1.0, 2, 3], requires_grad=True)
    result = function(tensor)
    result.sum().backward()
    factor = 1 if function is module.as_double else 2
    assert tensor.grad.tolist() == [factor] * 3
    assert result.dtype == (torch.float32 if function is module.twice else torch.float64)


def test_a_copy_is_a_new_leaf_as_in_torch():
    tensor = torch.ones(2, requires_grad=True)
    copy = module.copied(tensor)
    assert copy is not tensor and copy.is_leaf and not copy.requires_grad
    assert copy.data_ptr() != tensor.data_ptr()


def test_a_gradient_that_is_asked_for_is_not_set_on_the_callers_tensor():
    tensor = torch.ones(2)
    result = module.with_grad(tensor)
    assert result.requires_grad and result.is_leaf and not tensor.requires_grad
    assert result.data_ptr() == tensor.data_ptr()
    tensor = torch.ones(2, requires_grad=True)
    assert module.with_grad(tensor) is tensor


def test_writes_are_seen_and_counted_by_autograd():
    tensor = torch.zeros(2)
    version = tensor._version
    module.add_one(tensor)
    assert tensor.tolist() == [1, 1] and tensor._version > version
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        module.add_one(torch.ones(2, requires_grad=True))


def test_numpy_and_dlpack_refuse_what_requires_grad():
    tensor = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
        module.numpy(tensor)
    with pytest.raises(BufferError, match="Can't export tensors that require gradient"):
        module.dlpack(tensor)
    with torch.no_grad():
        assert module.numpy(tensor).ctypes.data == tensor.data_ptr()


def test_arrays_become_torch_tensors_on_their_memory():
    array = np.arange(3.0)
    tensor = module.same(array)
    assert type(tensor) is torch.Tensor
    tensor += 1
    assert array.tolist() == [1, 2, 3]


def test_read_only_memory_is_left_by_the_first_write_in_python():
    data = b"abc"
    tensor = module.same(data)
    assert tensor.tolist() == [97, 98, 99]
    tensor += 1
    assert tensor.tolist() == [98, 99, 100] and data == b"abc"


def test_an_undefined_tensor_is_refused():
    with pytest.raises(TypeError, match="can't export an undefined tensor"):
        module.undefined()


def test_typed_access_sees_what_a_tensor_means():
    numbers = torch.tensor([1 + 2j, 3 + 4j], dtype=torch.complex64)
    assert module.complex_elements(numbers.conj()) == [1 - 2j, 3 - 4j]
    assert module.elements(numbers.conj().imag) == [-2, -4]
    assert module.complex_elements(numbers.clone().requires_grad_().conj()) == [1 - 2j, 3 - 4j]
    assert module.elements(torch._efficientzerotensor(2)) == [0, 0]
    with pytest.raises(TypeError):
        module.fill(numbers.conj().imag)
    assert numbers.tolist() == [1 + 2j, 3 + 4j]


@pytest.mark.parametrize("name", ["uint4", "int3", "uint1", "int7"])
def test_integers_of_less_than_a_byte_are_no_bytes(name):
    tensor = torch.ones(4, dtype=torch.uint8).view(getattr(torch, name))
    for function in [module.same, module.copied, module.numpy, module.dlpack, module.as_double,
                     lambda x: module.copied([x])]:
        with pytest.raises(TypeError, match=r"Got unsupported ScalarType U?Int\d\. .* tensor\.view"):
            function(tensor)
    for function in [module.twice, module.add_one, module.elements]:
        with pytest.raises(TypeError, match="incompatible function arguments"):
            function(tensor)
    assert module.same(tensor.view(torch.uint8)).tolist() == [1, 1, 1, 1]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_are_named_as_such():
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    with pytest.raises(BufferError, match=r"Can't export nested tensors\. Use Tensor\.to_padded"):
        module.dlpack(nested)
    with pytest.raises(TypeError, match=r"expected a dense tensor \(got a nested one\)"):
        module.copied([nested])
    with pytest.raises(TypeError, match="incompatible function arguments"):
        module.twice(nested)
    assert module.same(nested) is nested


def test_a_capsule_is_taken_once():
    tensor = torch.zeros(2)
    capsule = tensor.__dlpack__()
    module.add_one(capsule)
    assert tensor.tolist() == [1, 1]
    with pytest.raises(TypeError, match="A capsule can be consumed only once"):
        module.same(capsule)


def test_typed_access_refuses_what_has_no_memory():
    from torch._subclasses.fake_tensor import FakeTensorMode
    with FakeTensorMode():
        fake = torch.empty(3)
    for tensor in [torch.empty(3, device="meta"), fake]:
        for function in [module.elements, module.fill]:
            with pytest.raises(TypeError, match="incompatible function arguments"):
                function(tensor)


class Negated(torch.Tensor):
    """Whose memory holds the negative of what it means."""

    @staticmethod
    def __new__(cls, tensor):
        return torch.Tensor._make_subclass(cls, -tensor)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise LookupError("not in this test")


def test_a_subclass_with_a_meaning_of_its_own_is_not_exported():
    tensor = Negated(torch.arange(4.0))
    with pytest.raises(RuntimeError, match=r"\.numpy\(\) is not supported for tensor subclasses"):
        tensor.numpy()
    with pytest.raises(RuntimeError, match=r"\.numpy\(\) is not supported for tensor subclasses"):
        module.numpy(tensor)
    with pytest.raises(BufferError, match="Can't export tensor subclasses"):
        module.dlpack(tensor)
    assert module.same(tensor) is tensor


class Pair(torch.Tensor):
    """One tensor that stands for two, which only it can copy."""

    @staticmethod
    def __new__(cls, first, second):
        return torch.Tensor._make_wrapper_subclass(cls, first.shape, dtype=first.dtype)

    def __init__(self, first, second):
        self.first, self.second = first, second

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        def half(name):
            return [getattr(a, name) if isinstance(a, Pair) else a for a in args]
        first = function(*half("first"), **(kwargs or {}))
        second = function(*half("second"), **(kwargs or {}))
        return cls(first, second) if isinstance(first, torch.Tensor) else first


def test_a_subclass_is_copied_by_itself():
    pair = Pair(torch.ones(3), torch.full((3,), 7.0))
    copied = module.copied(pair)
    assert type(copied) is Pair
    assert copied.first.tolist() == [1, 1, 1] and copied.second.tolist() == [7, 7, 7]
    pair.first.zero_()
    assert copied.first.tolist() == [1, 1, 1]
    with pytest.raises(TypeError, match="can't copy a tensor of a subclass with __torch_dispatch__"):
        module.copied([pair])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_jagged_tensor_is_refused_without_an_error_left_pending():
    jagged = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        module.twice(jagged)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        module.add_one(jagged)


def test_what_a_subclass_raises_comes_through():
    with pytest.raises(LookupError, match="not in this test"):
        module.as_double(Negated(torch.arange(4.0)))


def test_an_object_that_claims_to_be_a_tensor_is_asked_for_its_memory():
    class Proxy:
        def __init__(self, tensor):
            self.tensor = tensor

        @property
        def __class__(self):
            return torch.Tensor

        def __dlpack__(self, **kwargs):
            return self.tensor.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return self.tensor.__dlpack_device__()

    tensor = torch.zeros(2)
    module.add_one(Proxy(tensor))
    assert tensor.tolist() == [1, 1]


def test_the_module_may_be_imported_before_torch():
    code = """
import sys, torch_python_module as module
assert "torch" not in sys.modules
first, second = module.made()
import torch
assert type(first) is torch.Tensor and first is second
"""
    run_python("-c", code)


def traced(function, x):
    return torch.jit.trace(function, (x,), check_trace=False)


def fx(function, x):
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(function)(x)


@pytest.mark.parametrize("trace", [traced, fx])
@pytest.mark.parametrize("ours, theirs", [
    (lambda x: module.as_double(x) * 2, lambda x: torch.as_tensor(x, dtype=torch.float64) * 2),
    (lambda x: module.copied(x) * 2, lambda x: x.detach().clone() * 2),
    (lambda x: module.same(x) * 2, lambda x: torch.as_tensor(x) * 2),
    (module.twice, lambda x: x * 2),
    (module.twice_as_double, lambda x: x.to(torch.float64) * 2),
], ids="as_tensor_cast tensor as_tensor argument argument_cast".split())
def test_a_trace_follows_the_callers_own_tensor(trace, ours, theirs):
    """A conversion of a torch.Tensor is the caller's step, as torch.as_tensor's is."""
    x = torch.arange(3.0)
    assert trace(ours, x)(x + 10).equal(theirs(x + 10))


@pytest.mark.parametrize("function", [module.as_double, module.copied, module.same])
@pytest.mark.parametrize("transform", [
    torch.func.vmap, torch.func.functionalize, lambda f: torch.func.vmap(torch.func.vmap(f)),
    lambda f: torch.func.grad(lambda x: f(x).sum()),
    lambda f: (lambda x: torch.func.jvp(f, (x,), (torch.ones_like(x),))[1]),
], ids="vmap functionalize nested_vmap grad jvp".split())
def test_torch_func_follows_the_callers_own_tensor(function, transform):
    x = torch.arange(4.0).reshape(2, 2)
    theirs = {module.as_double: lambda x: torch.as_tensor(x, dtype=torch.float64),
              module.copied: lambda x: x.detach().clone(), module.same: torch.as_tensor}[function]
    assert transform(function)(x).equal(transform(theirs)(x))


def test_an_array_in_a_trace_is_a_constant():
    arrays = [np.full(1 << 12, 7.0, "f4")]
    x = torch.zeros(1 << 12, dtype=torch.float64)
    functions = [trace(lambda x: x + module.as_double(arrays[0]), x) for trace in (traced, fx)]
    arrays.clear()
    junk = [np.full(1 << 12, 99.0, "f4") for _ in range(20)]
    for function in functions:
        assert function(x).unique().tolist() == [7] and junk


@pytest.mark.parametrize("transform", [torch.func.vmap, torch.func.functionalize])
def test_a_tensor_inside_of_torch_func_has_no_array(transform):
    def function(x):
        with pytest.raises(RuntimeError, match="convert the result"):
            module.numpy(x)
        with pytest.raises(RuntimeError, match="convert the result"):
            module.dlpack(x)
        with pytest.raises(TypeError, match=r"pass torch\.stack"):
            module.copied([x, x])
        return x

    transform(function)(torch.ones(2, 3))


def test_an_error_of_a_subclass_arrives_whole():
    class Failing(torch.Tensor):
        @classmethod
        def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
            raise ZeroDivisionError(f"no {function}")

    failing = torch.Tensor._make_subclass(Failing, torch.ones(2))
    with pytest.raises(ZeroDivisionError, match=r"^no aten"):
        module.as_double(failing)
