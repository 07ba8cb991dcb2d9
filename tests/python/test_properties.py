"""Properties of the conversions, tried by Hypothesis on arrays of any dtype, shape and layout.

NumPy and PyTorch are the oracles. The directory with the built module `conversions_module` has to be
on PYTHONPATH. As part of `make test` the examples are the same each time; `make fuzz` sets
HYPOTHESIS_PROFILE=fuzz, which tries many more, and others each time.
"""

import os
import sys
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ml_dtypes = pytest.importorskip("ml_dtypes")
pytest.importorskip("hypothesis")

import conversions_module as nd  # noqa: E402
from hypothesis import HealthCheck, assume, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra import numpy as hnp  # noqa: E402

everywhere = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("test", derandomize=True, max_examples=60, database=None, **everywhere)
examples = int(os.environ.get("HYPOTHESIS_EXAMPLES", "1000"))
settings.register_profile("fuzz", max_examples=examples, database=None, **everywhere)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))

# NumPy's about casts of complex numbers, PyTorch's about read-only memory.
pytestmark = pytest.mark.filterwarnings("ignore")

NUMBERS = "?bBhHiIlLqQefdFD"
ML = ["bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "complex32"]
TORCH = {
    np.dtype(code): getattr(torch, np.dtype(code).name) for code in NUMBERS
} | {np.dtype(getattr(ml_dtypes, name)): getattr(torch, name) for name in ML}

native = st.sampled_from([np.dtype(code) for code in NUMBERS])
any_order = native.flatmap(lambda d: st.sampled_from([d, d.newbyteorder("S")]))
unsupported = st.one_of(
    st.sampled_from([np.dtype(name) for name in ("g", "G", "O", "V3", "f4,i4")]),
    hnp.datetime64_dtypes(),
    hnp.timedelta64_dtypes(),
    hnp.byte_string_dtypes(),
    hnp.unicode_string_dtypes(),
    hnp.array_dtypes(subtype_strategy=hnp.integer_dtypes()),
)
shapes = st.one_of(
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    st.integers(5, 64).map(lambda ndim: (1,) * (ndim - 1) + (2,)),
)


@st.composite
def of_dtype(draw, dtype):
    """An array of the dtype, of ml_dtypes' too, with any bits as its elements."""
    shape = draw(shapes)
    size = int(np.prod(shape)) * dtype.itemsize
    content = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), "u1")
    if dtype.kind == "b":
        content = content & 1
    return content.copy().view(dtype).reshape(shape)


@st.composite
def views(draw, arrays):
    """The array, or something that NumPy makes of it without a copy."""
    array = draw(arrays)
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["transpose", "index", "flip", "broadcast", "diagonal", "cut"]))
        if kind == "transpose":
            array = array.transpose(draw(st.permutations(range(array.ndim))))
        elif kind == "index" and 0 < array.ndim <= 8:
            array = np.asanyarray(array[draw(hnp.basic_indices(array.shape))])
        elif kind == "flip" and array.ndim:
            array = np.flip(array, draw(st.integers(0, array.ndim - 1)))
        elif kind == "broadcast" and array.ndim < 60:
            array = np.broadcast_to(array, (draw(st.integers(0, 3)), *array.shape))
        elif kind == "diagonal" and array.ndim > 1:
            array = array.diagonal()
        elif (kind == "cut" and array.ndim == 1 and array.size > 1 and array.flags.c_contiguous
              and not array.dtype.hasobject):
            # No longer where elements of the dtype belong; NumPy lets no references be there.
            array = array.view("u1")[1 : 1 - array.itemsize or None].view(array.dtype)
    if draw(st.booleans()) and array.flags.writeable:
        array.flags.writeable = False
    return array


numbers = views(any_order.flatmap(of_dtype))
ml_numbers = views(
    st.sampled_from(ML).map(lambda name: np.dtype(getattr(ml_dtypes, name))).flatmap(of_dtype)
)
anything = st.one_of(numbers, ml_numbers)
small_ints = views(
    st.tuples(any_order, shapes).flatmap(
        lambda pair: hnp.arrays(pair[0], pair[1], elements=st.integers(0, 1))
    )
)


def native_copy(array):
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="), copy=True).reshape(array.shape)


def torchs(array):
    """PyTorch's own copy of the array, made of its bytes."""
    copy = native_copy(array)
    if copy.size == 0:
        return torch.empty(copy.shape, dtype=TORCH[copy.dtype])
    return torch.frombuffer(bytearray(copy.tobytes()), dtype=TORCH[copy.dtype]).reshape(copy.shape)


def bits(tensor):
    return bytes(tensor.detach().contiguous().untyped_storage()) if tensor.numel() else b""


def assert_same_tensor(ours, theirs):
    assert type(ours) is torch.Tensor
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert bits(ours.clone(memory_format=torch.contiguous_format)) == bits(
        theirs.clone(memory_format=torch.contiguous_format)
    )


def assert_same_array(ours, theirs):
    assert type(ours) is np.ndarray
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert np.ascontiguousarray(ours).tobytes() == np.ascontiguousarray(theirs).tobytes()


def used_strides(array):
    if array.size == 0:
        return []
    return [stride for stride, size in zip(array.strides, array.shape, strict=True) if size > 1]


def is_aligned(array):
    """As LibTorch's loops expect it: complex numbers as a whole, where NumPy looks at their parts."""
    return array.flags.aligned and (array.size == 0 or array.ctypes.data % array.itemsize == 0)


def can_be_viewed(array):
    return (
        (array.dtype.isnative or array.itemsize == 1)
        and is_aligned(array)
        and all(stride >= 0 and stride % array.itemsize == 0 for stride in used_strides(array))
    )


def writes_reach(tensor, array):
    """Whether the tensor's memory is among the array's."""
    low, high = np.lib.array_utils.byte_bounds(array)
    return low <= tensor.data_ptr() < high


def references(one, expected=None):
    """Those that were dropped come back soon where PyTorch gives the GIL up, as it does for a tensor."""
    if expected is None:
        time.sleep(0.001)  # for those of an example before
    for _ in range(5000):
        if expected is None or sys.getrefcount(one) == expected:
            break
        time.sleep(0.001)
    return sys.getrefcount(one)


@given(anything)
def test_from_numpy_shares_what_can_be_shared(array):
    before = references(array)
    if can_be_viewed(array):
        tensor = nd.from_numpy(array)
        assert_same_tensor(tensor, torchs(array))
        if array.flags.writeable and array.size:
            assert tensor.data_ptr() == array.ctypes.data
        if array.size:
            strides = zip(tensor.stride(), array.strides, array.shape, strict=True)
            assert all(s * array.itemsize == t for s, t, size in strides if size > 1)
        del tensor
    else:
        with pytest.raises(ValueError, match="given numpy array"):
            nd.from_numpy(array)
    assert references(array, before) == before


@given(numbers)
def test_from_numpy_takes_what_torch_takes(array):
    assume(is_aligned(array) and array.flags.writeable)
    try:
        theirs = torch.from_numpy(array)
    except (ValueError, TypeError):
        return  # it refuses more: strides that are never used
    ours = nd.from_numpy(array)
    assert (ours.data_ptr(), ours.shape) == (theirs.data_ptr(), theirs.shape)
    assert_same_tensor(ours, theirs)


@given(views(unsupported.flatmap(lambda d: st.builds(np.zeros, shapes, st.just(d)))))
def test_other_dtypes_are_refused_by_all(array):
    assume(array.dtype not in TORCH)  # a subarray's dtype is its element's
    for convert in (nd.from_numpy, nd.tensor, nd.as_tensor, nd.Tensor, nd.any, nd.floats):
        before = references(array)
        with pytest.raises(TypeError):
            convert(array)
        assert references(array, before) == before


@given(anything)
def test_tensor_copies_everything(array):
    before = references(array)
    tensor = nd.tensor(array)
    assert references(array, before) == before
    assert_same_tensor(tensor, torchs(array))
    assert not tensor.numel() or not writes_reach(tensor, array)


@given(anything)
def test_as_tensor_shares_or_copies(array):
    tensor = nd.as_tensor(array)
    assert_same_tensor(tensor, torchs(array))
    if array.flags.writeable and array.size:
        assert (tensor.data_ptr() == array.ctypes.data) == can_be_viewed(array)


@given(small_ints, native)
def test_casts_of_small_numbers_are_numpys(array, dtype):
    expected = array.astype(dtype)
    for convert in (nd.tensor, nd.as_tensor):
        assert_same_tensor(convert(array, dtype), torchs(expected))
    assert_same_array(nd.to_numpy_double(array), native_copy(array.astype("f8")))
    assert_same_tensor(nd.Tensor(array), torchs(array.astype("f4")))


@given(anything)
def test_the_way_there_and_back_changes_nothing(array):
    before = references(array)
    for convert in (nd.numpy, nd.to_numpy, nd.any):
        again = convert(array)
        assert_same_array(again, native_copy(array))
        shared = can_be_viewed(array) and array.size > 0
        assert (again.ctypes.data == array.ctypes.data) == shared or not array.size
        assert not (shared and again.flags.writeable and not array.flags.writeable)
        del again
        assert references(array, before) == before


@given(numbers)
def test_a_tensor_that_requires_grad_is_exported_by_to_numpy_alone(array):
    if array.dtype.kind not in "fc":
        with pytest.raises(RuntimeError, match="Only Tensors of floating point"):
            nd.to_numpy(array, requires_grad=True)
        return
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        nd.numpy(array, requires_grad=True)
    assert_same_array(nd.to_numpy(array, requires_grad=True), native_copy(array))


@given(anything)
def test_dlpack_is_the_same_tensor_to_numpy_and_torch(array):
    offer = nd.to_dlpack(array)
    theirs = torch.from_dlpack(offer)
    assert_same_tensor(theirs, torchs(array))
    if array.dtype.num < 24:
        assert_same_array(np.from_dlpack(offer), native_copy(array))
    again = nd.as_tensor(offer)
    assert_same_tensor(again, theirs)
    # Of memory that is read-only, a torch.Tensor is a copy.
    if array.size and (array.flags.writeable or not can_be_viewed(array)):
        assert again.data_ptr() == theirs.data_ptr()


@given(anything, st.integers(0, 3))
def test_torchs_own_tensors_come_and_go(array, axis):
    theirs = torchs(array)
    if theirs.ndim > 1:
        theirs = theirs.transpose(0, axis % theirs.ndim)
    ours = nd.as_tensor(theirs)
    assert_same_tensor(ours, theirs)
    assert ours.stride() == theirs.stride()
    assert ours.data_ptr() == theirs.data_ptr() or not theirs.numel()


@given(small_ints)
def test_arguments_meet_their_constraints(array):
    f_order = nd.f_order(array)
    assert_same_array(f_order, native_copy(array))
    assert f_order.flags.f_contiguous
    if np.iscomplexobj(array) or array.dtype.name == "complex32":
        for function in (nd.c_order, nd.floats, nd.matrix, nd.triples, nd.floats_as_they_are):
            with pytest.raises(TypeError):
                function(array)
        return
    as_double = native_copy(array.astype("f8"))
    c_order = nd.c_order(array)
    assert_same_array(c_order, as_double)
    assert c_order.flags.c_contiguous
    assert_same_array(nd.floats(array), native_copy(array.astype("f4")))
    for function, fits in (
        (nd.matrix, array.ndim == 2),
        (nd.triples, array.ndim == 2 and array.shape[1] == 3),
    ):
        if fits:
            assert_same_array(function(array), as_double)
        else:
            with pytest.raises(TypeError):
                function(array)
    if array.dtype == np.float32 and can_be_viewed(array):
        assert_same_array(nd.floats_as_they_are(array), array)
    else:
        with pytest.raises(TypeError):
            nd.floats_as_they_are(array)


@given(small_ints)
def test_an_argument_to_write_to_is_written_to_or_refused(array):
    before = array.copy()
    if array.dtype == np.float32 and can_be_viewed(array) and array.flags.writeable:
        nd.zero(array)
        assert not array.any()
    else:
        with pytest.raises(TypeError):
            nd.zero(array)
        assert_same_array(np.asarray(array), before)


@given(native.flatmap(of_dtype))
def test_nested_lists_are_what_torch_makes_of_them(array):
    assume(array.ndim < 60)
    numbers = array.tolist()
    try:
        theirs = torch.tensor(numbers)
    except (RuntimeError, OverflowError, ValueError):
        with pytest.raises((RuntimeError, OverflowError, ValueError)):
            nd.tensor(numbers)
        return
    ours = nd.tensor(numbers)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert torch.equal(ours.nan_to_num(), theirs.nan_to_num())


@given(
    st.binary(max_size=40),
    native,
    st.integers(-2, 8),
    st.integers(-2, 42),
    st.sampled_from([bytes, bytearray, memoryview]),
)
def test_frombuffer_is_torchs(content, dtype, count, offset, kind):
    buffer = kind(bytearray(content))  # of its own: garbage of earlier examples refers to content
    where = np.frombuffer(buffer, "u1").__array_interface__["data"][0] + offset if content else 0
    assume(where % dtype.itemsize == 0)  # a complex number as a whole
    before = references(buffer)
    try:
        theirs = torch.frombuffer(buffer, dtype=TORCH[dtype], count=count, offset=offset)
    except (ValueError, RuntimeError) as error:
        with pytest.raises(type(error)):
            nd.frombuffer(buffer, dtype, count, offset)
    else:
        if dtype.kind != "b":
            assert_same_tensor(nd.frombuffer(buffer, dtype, count, offset), theirs)
        del theirs
    if len(content) > 1:  # CPython keeps one object for all equal shorter bytes
        assert references(buffer, before) == before
