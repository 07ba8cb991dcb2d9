from __future__ import annotations
import numpy
import numpy.typing
import typing
__all__: list[str] = ['nearest', 'normalize']
def nearest(points: typing.Annotated[numpy.typing.ArrayLike, numpy.float32, "[m, 3]"], others: typing.Annotated[numpy.typing.ArrayLike, numpy.float32, "[m, 3]"]) -> typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m]", "flags.writeable"]:
    """
    For each of the points, the index of the nearest of the others.
    """
def normalize(points: typing.Annotated[numpy.typing.NDArray[numpy.float32], "[m, 3]", "flags.writeable"]) -> None:
    """
    Scales each point to length 1, in place.
    """
