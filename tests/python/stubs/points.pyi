"""
Works on clouds of points: arrays of shape (points, 3).
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
__all__: list[str] = ['Grid', 'bounds', 'center', 'lengths', 'shift']
class Grid:
    """
    Counts points in the cells of the unit cube.
    """
    def __init__(self, size: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def add(self, points: typing.Annotated[numpy.typing.ArrayLike, numpy.float64, "[m, 3]"]) -> None:
        """
        Counts these points too.
        """
    @property
    def counts(self) -> typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, n, p]", "flags.writeable", "flags.c_contiguous"]:
        """
        How many points are in each cell.
        """
def bounds(clouds: collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.float64, "[m, 3]"]]) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.float64], "[3]", "flags.writeable"], typing.Annotated[numpy.typing.NDArray[numpy.float64], "[3]", "flags.writeable"]]:
    """
    The lowest and the highest corner of the box around all clouds.
    """
def center(points: typing.Annotated[numpy.typing.ArrayLike, numpy.float64, "[m, 3]"], weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float64, "[m]"] | None = None) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[3]", "flags.writeable"]:
    """
    The points' mean, weighted or not.
    """
@typing.overload
def lengths(points: typing.Annotated[numpy.typing.NDArray[numpy.float32], "[m, 3]", "read-only"]) -> typing.Annotated[numpy.typing.NDArray[numpy.float32], "[m]", "flags.writeable"]:
    """
    Each point's distance from the origin.
    """
@typing.overload
def lengths(points: typing.Annotated[numpy.typing.ArrayLike, numpy.float64, "[m, 3]"]) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m]", "flags.writeable"]:
    ...
@typing.overload
def shift(points: typing.Annotated[numpy.typing.NDArray[numpy.float32], "[m, 3]", "flags.writeable"], by: typing.Annotated[numpy.typing.ArrayLike, numpy.float64, "[3]"]) -> None:
    """
    Moves the points, in place.
    """
@typing.overload
def shift(points: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.writeable"], by: typing.Annotated[numpy.typing.ArrayLike, numpy.float64, "[3]"]) -> None:
    ...
