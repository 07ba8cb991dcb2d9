"""Calls inside of what listens to PyTorch's operators: tracers, modes, torch.func, torch.compile.

ndtorch's own work is nobody's business there: the result is right, nobody sees an operator, and nobody
can keep a tensor on memory that ndtorch only borrowed. The directory with the built tests/modules has to
be on PYTHONPATH.
"""

import contextlib
import gc

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nt = pytest.importorskip("conversions_module")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402


def doubles():
    return np.array([7.0, 8.0, 9.0])


def plain(array):
    return array


def float32(array):
    return array.astype("float32")


def backwards(array):
    """The same values, in memory that no tensor can describe."""
    return array[::-1].copy()[::-1]


def foreign(array):
    return array.astype(">f8")


def twice(array):
    return [array, array]


def tensor_of(array):
    return torch.from_numpy(array)


# Each way through ndtorch: {name: (what is passed of an array of doubles, the function)}.
WAYS = {
    "from_numpy": (plain, nt.from_numpy),
    "tensor": (plain, nt.tensor),
    "tensor, cast": (plain, lambda x: nt.tensor(x, "float32")),
    "tensor of foreign byte order": (foreign, nt.tensor),
    "tensor, reversed and cast": (backwards, lambda x: nt.tensor(x, "float32")),
    "tensor of arrays": (lambda a: twice(a)[:1], nt.tensor),
    "tensor of arrays, cast": (lambda a: twice(backwards(a))[:1], lambda x: nt.tensor(x, "float32")),
    "tensor of numbers": (lambda a: a.tolist(), nt.tensor),
    "tensor of a torch.Tensor": (tensor_of, nt.tensor),
    "tensor of torch.Tensors": (lambda a: [tensor_of(a)], lambda x: nt.tensor(x, "float32")),
    "Tensor": (plain, nt.Tensor),
    "as_tensor": (plain, nt.as_tensor),
    "as_tensor, cast": (plain, lambda x: nt.as_tensor(x, "float32")),
    "as_tensor of a torch.Tensor": (tensor_of, nt.as_tensor),
    "as_tensor of a torch.Tensor, cast": (tensor_of, lambda x: nt.as_tensor(x, "float32")),
    "an argument": (plain, nt.any),
    "an argument, cast": (plain, nt.floats),
    "an argument of a torch.Tensor, cast": (tensor_of, nt.floats),
    "an argument in Fortran order": (lambda a: a.repeat(2).reshape(3, 2)[:, :1], nt.f_order),
    "a result that is copied": (plain, nt.copied),
    "numpy": (plain, nt.numpy),
    "to_numpy": (plain, nt.to_numpy),
    "to_numpy<double>": (float32, nt.to_numpy_double),
    "to_numpy_async": (plain, nt.to_numpy_async),
    "to_dlpack": (plain, lambda x: np.from_dlpack(nt.to_dlpack(x))),
    "to_dlpack, copied": (plain, lambda x: np.from_dlpack(nt.to_dlpack(x), copy=True)),
}


def values(result):
    return np.asarray(result).ravel().tolist()


class Recording(TorchDispatchMode):
    """Keeps all that it sees, as a tracer does."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.append((function, args, kwargs))
        return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


CONTEXTS = {
    "recording mode": Recording,
    "FakeTensorMode": FakeTensorMode,
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "anomaly mode": torch.autograd.detect_anomaly,
    "deterministic fill": deterministic,
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("way", WAYS)
def test_a_conversion_is_right_inside_of(way, context):
    prepare, function = WAYS[way]
    data = prepare(doubles())
    with CONTEXTS[context]():
        result = function(data)
    assert type(result) in (torch.Tensor, np.ndarray)
    assert values(result) == [7, 8, 9]


@pytest.mark.parametrize("way", WAYS)
def test_a_mode_sees_no_operator_of(way):
    prepare, function = WAYS[way]
    data = prepare(doubles())
    with Recording() as mode:
        function(data)
    assert mode.seen == []


class Overriding(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        raise ZeroDivisionError(f"no {function}")


@pytest.mark.parametrize("way", WAYS)
def test_an_override_of_pytorchs_functions_is_not_asked(way):
    prepare, function = WAYS[way]
    data = prepare(doubles())
    with Overriding():
        result = function(data)
    assert values(result) == [7, 8, 9]


def test_a_mode_sees_the_operators_of_torch():
    with Recording() as mode:
        torch.tensor(doubles(), dtype=torch.float32)
    assert mode.seen != []  # so that the test above can fail


TENSORS = [way for way, (prepare, function) in WAYS.items()
           if isinstance(function(prepare(doubles())), torch.Tensor)]
TRACED = {
    "jit.trace": lambda function, x: torch.jit.trace(function, (x,), check_trace=False),
    "make_fx": lambda function, x: make_fx(function)(x),
    "torch.compile": lambda function, x: torch.compile(function, backend="eager"),
    "functionalize": lambda function, x: torch.func.functionalize(function),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("trace", TRACED)
@pytest.mark.parametrize("way", TENSORS)
def test_a_trace_keeps_the_values_that_the_array_had(way, trace):
    """And not memory that was given back since: what junk writes there isn't seen."""
    prepare, convert = WAYS[way]
    arrays = [prepare(np.full(1 << 12, 7.0))]
    x = torch.zeros(1 << 12)
    traced = TRACED[trace](lambda x: x + convert(arrays[0]).reshape(1 << 12), x)
    assert traced(x).unique().tolist() == [7]
    if trace in ("torch.compile", "functionalize"):
        return  # they call the function again
    arrays.clear()
    gc.collect()
    junk = [np.full(1 << 12, 99.0) for _ in range(20)]
    assert traced(x).unique().tolist() == [7]
    assert len(junk) == 20


def test_a_traced_graph_has_no_operator_of_ndtorchs():
    graph = make_fx(lambda x: (nt.tensor([doubles()], "float32"), x + 1)[1])(torch.ones(3))
    assert [str(node.target) for node in graph.graph.nodes if node.op == "call_function"] == [
        "aten.add.Tensor"]
    assert graph(torch.zeros(3)).tolist() == [1, 1, 1]


class Adding(torch.nn.Module):
    def forward(self, x):
        return x + nt.tensor(doubles(), "float32")


def test_an_exported_program_has_the_values():
    program = torch.export.export(Adding(), (torch.zeros(3),), strict=False)
    assert program.module()(torch.ones(3)).tolist() == [8, 9, 10]


X = torch.tensor([1.0, 2.0, 3.0])
FUNCTIONALS = {
    "grad": (lambda f: torch.func.grad(lambda x: f(x).sum())(X)),
    "nested grad": (lambda f: torch.func.grad(
        lambda x: torch.func.grad(lambda y: (f(y) * y).sum())(x).sum())(X)),
    "vjp": (lambda f: torch.func.vjp(f, X)[1](torch.ones(3))[0]),
    "jvp": (lambda f: torch.func.jvp(f, (X,), (torch.ones(3),))[1]),
    "vmap": (lambda f: torch.func.vmap(f)(torch.stack([X, X]))),
    "nested vmap": (lambda f: torch.func.vmap(torch.func.vmap(f))(torch.stack([X, X])[None])),
    "vmap of grad": (lambda f: torch.func.vmap(torch.func.grad(lambda x: f(x).sum()))(
        torch.stack([X, X]))),
    "jacrev": (lambda f: torch.func.jacrev(f)(X)),
    "jacfwd": (lambda f: torch.func.jacfwd(f)(X)),
    "hessian": (lambda f: torch.func.hessian(lambda x: (f(x) * x).sum())(X)),
    "linearize": (lambda f: torch.func.linearize(f, X)[1](torch.ones(3))),
}


@pytest.mark.parametrize("functional", FUNCTIONALS)
@pytest.mark.parametrize("way", TENSORS)
def test_torch_func_takes_the_array_as_a_constant(way, functional):
    prepare, convert = WAYS[way]
    data = prepare(doubles())
    constant = torch.tensor(doubles(), dtype=torch.float32)
    result = FUNCTIONALS[functional](lambda x: x * convert(data).reshape(3).to(torch.float32))
    expected = FUNCTIONALS[functional](lambda x: x * constant)
    assert torch.equal(result, expected)


@pytest.mark.parametrize("way", [nt.as_tensor, nt.tensor, nt.numpy, nt.to_numpy, nt.any, nt.floats])
@pytest.mark.parametrize("transform", [torch.func.vmap, torch.func.functionalize,
                                       lambda f: torch.func.grad(lambda x: f(x).sum())])
def test_a_tensor_inside_of_torch_func_is_refused_with_a_text(way, transform):
    """Its memory isn't what it means, and this build has no libtorch_python to ask it."""

    def function(x):
        with pytest.raises((RuntimeError, TypeError, ValueError)) as raised:
            way(x)
        assert str(raised.value).strip()
        return x * 2

    transform(function)(torch.ones(2, 3))


def test_the_right_overload_is_found_inside_of_fake_tensor_mode():
    with FakeTensorMode():
        assert nt.which(doubles()[::-1]) == "double"
        assert nt.which(doubles().astype("f4")) == "float"


class Failing(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        raise ZeroDivisionError(f"no {function}")


@pytest.mark.parametrize("way", WAYS)
def test_a_mode_that_raises_is_not_asked(way):
    prepare, function = WAYS[way]
    data = prepare(doubles())
    with Failing():
        result = function(data)
    assert values(result) == [7, 8, 9]


def test_a_symbolic_trace_says_what_it_lacks():
    """There torch.tensor gives a tensor without memory, which C++ code could do nothing with."""
    with pytest.raises(Exception, match="convert all Tensors to FakeTensors"):
        make_fx(lambda x: x + nt.tensor(doubles()), tracing_mode="symbolic")(torch.zeros(3))


def test_results_outside_of_a_context_are_the_same_kind_of_tensor():
    """An inference tensor inside of inference mode, as torch.tensor makes one; else none."""
    with torch.inference_mode():
        inside = nt.tensor(doubles(), "float32")
        assert inside.is_inference() == torch.tensor(doubles()).is_inference()
    outside = nt.tensor(doubles(), "float32")
    assert not outside.is_inference()
    outside.requires_grad_(True)
    (outside * 2).sum().backward()
    assert outside.grad.tolist() == [2, 2, 2]


@pytest.fixture(scope="module")
def device():
    """The functions of the benchmark on the tests' device, which isn't the CPU."""
    ours = pytest.importorskip("gpu_transfers")
    inverted = pytest.importorskip("inverted_device")
    if not hasattr(torch, inverted.name):
        torch._register_device_module(inverted.name, type(torch)(inverted.name))
    return ours, ours.device(f"{inverted.name}:0")


@pytest.mark.parametrize("context", [Recording, FakeTensorMode, Failing, torch.inference_mode])
@pytest.mark.parametrize("count", [3, 10_000_000])  # at once, and in pieces
def test_copies_to_and_from_a_device_are_not_seen(device, count, context):
    ours, there = device
    array = np.arange(float(count), dtype="float32")
    with context() as mode:
        for data in (array, array[::-1]):
            sent = ours.tensor(data, there)
            assert np.array_equal(ours.to_numpy(sent), data)
            assert np.array_equal(ours.to_numpy_async(sent), data)
        assert np.array_equal(ours.to_numpy(ours.tensor_float(array.astype("f8"), there)), array)
    assert getattr(mode, "seen", []) == []


def test_pythons_dispatcher_is_not_asked():
    """It stands above all others, in symbolic tracing and in torch.export."""
    from torch._C import DispatchKey
    from torch._dispatch.python import enable_python_dispatcher

    asked = []
    operators = [torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default]

    def implementation(operator):
        def run(*args, **kwargs):
            asked.append(operator)
            return operator(*args, **kwargs)
        return run

    for operator in operators:
        operator.py_impl(DispatchKey.CPU)(implementation(operator))
    try:
        with enable_python_dispatcher():
            assert values(nt.tensor(doubles(), "float32")) == [7, 8, 9]
            assert values(nt.as_tensor(torch.from_numpy(doubles()), "float32")) == [7, 8, 9]
    finally:
        for operator in operators:
            del operator.py_kernels[DispatchKey.CPU]
            operator._dispatch_cache.clear()
    assert asked == []


def test_a_mode_does_not_see_how_a_torch_tensor_hands_over_its_memory():
    tensors = [torch.zeros(3, 4)[:1].t(), torch.zeros(3, 4)[:, :1], torch.zeros(4, 1).expand(4, 3)]
    with Recording() as mode:
        for tensor in tensors:
            assert nt.as_tensor(tensor).shape == tensor.shape
    assert mode.seen == []


def test_what_a_number_itself_does_is_seen():
    """Its __float__ is the caller's code, and so are the operators in it."""
    results = []

    class Number:
        def __float__(self):
            results.append(torch.ones(1, requires_grad=True) * 2)
            return 7.0

    with Recording() as mode:
        assert values(nt.tensor([Number()], "float32")) == [7]
    seen = {str(function) for function, _, _ in mode.seen}
    assert "aten.mul.Tensor" in seen
    assert not any("copy" in name for name in seen)
    assert results[-1].grad_fn is not None
