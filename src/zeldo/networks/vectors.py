"""What kernels of networks write down for the processor: sums in registers, which no compiler finds by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from zeldo.mesh.rows import ask_for

LANES = 16 if get_host_cpu_features().get("avx512f") else 8  # numbers in a register
LINE = 16  # numbers that the cache takes at once
WIDTH = 2 * LANES  # cells of each sum that `multiplier` keeps
READ, MADE = 6, 4  # cells along an axis that the transform reads and makes
# of the transform, beside 0 and infinity: the usual ±1 and ±2 give larger rounding errors
NEAR, FAR = 3 / 4, 3 / 2
MANY, FEW = 6, 4  # channels that `multiplier` makes at once

_INTEGER, _INDEX = ir.IntType(32), ir.IntType(64)
_VECTOR, _PAIR = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.FloatType(), WIDTH)
_FLAGS = ("contract",)  # a product and a sum may be one instruction


class _Vector(NamedTuple):
    """Numbers in a register."""

    builder: Any
    value: Any

    def __add__(self, other: _Vector) -> _Vector:  # type: ignore[override]
        return _Vector(self.builder, self.builder.fadd(self.value, other.value, flags=_FLAGS))

    def __sub__(self, other: _Vector) -> _Vector:
        return _Vector(self.builder, self.builder.fsub(self.value, other.value, flags=_FLAGS))

    def __rmul__(self, factor: float) -> _Vector:  # type: ignore[override]
        return self.times(ir.Constant(self.value.type, [float(factor)] * self.value.type.count))

    def times(self, factor: Any) -> _Vector:
        return _Vector(self.builder, self.builder.fmul(factor, self.value, flags=_FLAGS))

    def leaky(self, slope: Any) -> _Vector:
        """The leaky ReLU, whose slope is at most 1."""
        least = self.times(slope).value
        larger = self.builder.fcmp_ordered(">", self.value, least)
        return _Vector(self.builder, self.builder.select(larger, self.value, least))


class _Writer:
    """Loads and stores of an intrinsic, whose arrays are of one row each."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder, self.arguments = context, builder, arguments
        self.types = signature.args

    def at(self, array: int, *indices: Any) -> Any:
        """The place of a number in an argument, an array, by the sum of its indices."""
        data = self.context.make_array(self.types[array])(
            self.context, self.builder, self.arguments[array]
        ).data
        for index in indices:
            data = self.builder.gep(data, [index])
        return data

    def times(self, index: Any, count: int) -> Any:
        return self.builder.mul(index, ir.Constant(_INDEX, count))

    def load(self, place: Any, kind: Any = _VECTOR) -> _Vector:
        pointer = self.builder.bitcast(place, kind.as_pointer())
        return _Vector(self.builder, self.builder.load(pointer, align=4))

    def store(self, vector: _Vector, place: Any) -> None:
        kind = vector.value.type
        self.builder.store(vector.value, self.builder.bitcast(place, kind.as_pointer()), align=4)

    def many(self, number: Any, kind: Any = _VECTOR) -> Any:
        """A number in every place of a register."""
        nothing = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(nothing, number, ir.Constant(_INTEGER, 0))
        everywhere = ir.Constant(ir.VectorType(_INTEGER, kind.count), [0] * kind.count)
        return self.builder.shuffle_vector(one, nothing, everywhere)

    def row(self, offsets: int, i: int) -> Any:
        """Number i of an argument, an array of integers."""
        return self.builder.load(self.at(offsets, ir.Constant(_INDEX, i)))


def multiplier(outputs: int, taps: int, *, add: bool = False) -> Callable[..., None]:
    """A function for kernels that makes `WIDTH` cells of several channels by a convolution along z.

    out[r * out_step + z] = sum_c sum_t weights[(taps c + t) * outputs + r] * x[c * step + z + t]

    Parameters
    ----------
    outputs : int
        Channels that are made at once. Two registers for each must fit into the processor.
    taps : int
        Cells along z of the kernels.
    add : bool
        Whether the result is added to what `out` holds.

    Returns
    -------
    callable
        multiply(x, first, step, channels, weights, first_weight, out, first_out, out_step), of which x, weights and out
        are float32 in one row each, and all others integers.
    """

    def multiply(typing, x, first, step, channels, weights, first_weight, out, first_out, out_step):  # type: ignore[no-untyped-def]
        number = types.intp
        signature = types.void(x, number, number, number, weights, number, out, number, number)
        return signature, generate

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        writer = _Writer(context, builder, signature, arguments)
        step, channels, out_step = arguments[2], arguments[3], arguments[8]
        x = cgutils.alloca_once_value(builder, writer.at(0, arguments[1]))
        weights = cgutils.alloca_once_value(builder, writer.at(4, arguments[5]))
        places = [writer.at(6, arguments[7], writer.times(out_step, r)) for r in range(outputs)]
        zero = ir.Constant(_PAIR, [0.0] * WIDTH)
        starts = [writer.load(place, _PAIR).value if add else zero for place in places]
        sums = [cgutils.alloca_once_value(builder, start) for start in starts]
        with cgutils.for_range(builder, channels):
            row, kernel = builder.load(x), builder.load(weights)
            for tap in range(taps):
                cells = writer.load(builder.gep(row, [ir.Constant(_INDEX, tap)]), _PAIR)
                for r, total in enumerate(sums):
                    weight = builder.load(builder.gep(kernel, [ir.Constant(_INDEX, tap * outputs + r)]))
                    product = cells.times(writer.many(weight, _PAIR))
                    builder.store((product + _Vector(builder, builder.load(total))).value, total)
            builder.store(builder.gep(row, [step]), x)
            builder.store(builder.gep(kernel, [ir.Constant(_INDEX, taps * outputs)]), weights)
        for total, place in zip(sums, places, strict=True):
            writer.store(_Vector(builder, builder.load(total)), place)
        return context.get_dummy_value()

    return intrinsic(multiply)


@intrinsic
def transform(typing, x, rows, first, ahead, out, first_out, step):  # type: ignore[no-untyped-def]
    """B^T d B of `LANES` squares of `READ`^2 cells.

    Row p of x begins with number rows[p] + first, and of out with p step + first_out. The numbers that lie `ahead` of the
    last `MADE` cells along the second axis are asked for: those before them were needed for the square before.
    """
    number = types.intp
    return types.void(x, rows, number, number, out, number, number), _transform


def _transform(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    writer = _Writer(context, builder, signature, arguments)
    first, ahead, first_out, step = arguments[2], arguments[3], arguments[5], arguments[6]
    cells = [writer.load(writer.at(0, writer.row(1, p), first)) for p in range(READ * READ)]
    for p in range(READ * READ):
        if p % READ >= READ - MADE:
            ask_for(builder, writer.at(0, writer.row(1, p), first, ahead))
    for p, made in enumerate(_both_axes(cells, _there)):
        writer.store(made, writer.at(4, first_out, writer.times(step, p)))
    return context.get_dummy_value()


@intrinsic
def transform_back(
    typing, x, first, step, beside, first_beside, beside_step, slope, out, rows, first_out, ahead
):  # type: ignore[no-untyped-def]
    """A^T m A of `LANES` squares of products, summed with what is beside them, and a leaky ReLU of the sum.

    Square p of x begins with number p step + first. Row q of what is beside begins with q beside_step + first_beside, and
    row q of out with rows[q] + first_out. The places that lie `ahead` are asked for.
    """
    number = types.intp
    return (
        types.void(x, number, number, beside, number, number, types.float32, out, rows, number, number),
        _transform_back,
    )


def _transform_back(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    writer = _Writer(context, builder, signature, arguments)
    first, step, first_beside, beside_step, slope, first_out, ahead = (
        arguments[i] for i in (1, 2, 4, 5, 6, 9, 10)
    )
    products = [writer.load(writer.at(0, first, writer.times(step, p))) for p in range(READ * READ)]
    slopes = writer.many(slope)
    for q, made in enumerate(_both_axes(products, _back)):
        beside = writer.load(writer.at(3, first_beside, writer.times(beside_step, q)))
        writer.store((made + beside).leaky(slopes), writer.at(7, writer.row(8, q), first_out))
        ask_for(builder, writer.at(7, writer.row(8, q), first_out, ahead), to_write=True)
    return context.get_dummy_value()


def _both_axes(
    square: Sequence[_Vector], along: Callable[[Sequence[_Vector]], list[_Vector]]
) -> list[_Vector]:
    """Rows of a square, then its columns."""
    rows = [along(square[READ * i : READ * i + READ]) for i in range(READ)]
    columns = [along(column) for column in zip(*rows, strict=True)]
    return [vector for row in zip(*columns, strict=True) for vector in row]


def _there(x: Sequence[_Vector]) -> list[_Vector]:
    """B^T x."""
    near, far = NEAR**2, FAR**2
    even, odd = x[4] - far * x[2], NEAR * (x[3] - far * x[1])
    even2, odd2 = x[4] - near * x[2], FAR * (x[3] - near * x[1])
    first, last = (near * far * x[i] - (near + far) * x[i + 2] + x[i + 4] for i in (0, 1))
    return [first, even + odd, even - odd, even2 + odd2, even2 - odd2, last]


def _back(x: Sequence[_Vector]) -> list[_Vector]:
    """A^T x."""
    even, odd, even2, odd2 = x[1] + x[2], x[1] - x[2], x[3] + x[4], x[3] - x[4]
    return [
        x[0] + even + even2,
        NEAR * odd + FAR * odd2,
        NEAR**2 * even + FAR**2 * even2,
        NEAR**3 * odd + FAR**3 * odd2 + x[5],
    ]
