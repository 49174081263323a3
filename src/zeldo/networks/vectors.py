"""What kernels of convolutions write down for the processor: products in registers, which no compiler finds by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# cells per sum that is kept in registers: two registers of AVX2, or two of AVX-512
WIDTH = 32 if get_host_cpu_features().get("avx512f") else 16
TAPS = 3  # of a kernel along z

_INTEGER, _INDEX = ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), WIDTH)

SQUARE = 8  # numbers per side that are transposed at once
_ROW = ir.VectorType(ir.FloatType(), SQUARE)
# of pairs of rows that lie so far apart, the numbers of both that go into the one and into the other
_EXCHANGES = (
    (1, (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)),
    (2, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
    (4, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
)
_ORDER = (0, 2, 1, 3, 4, 6, 5, 7)  # in which they leave the rows


def _index(value: int) -> ir.Constant:
    return ir.Constant(_INDEX, value)


def multiplier(outputs: int) -> Callable[..., None]:
    """A function for kernels that makes `WIDTH` cells of several channels by a convolution along z.

    out[r * out_step + z] = sum_c sum_t weights[(3 c + t) * outputs + r] * x[c * step + z + t]

    Parameters
    ----------
    outputs : int
        Channels that are made at once. Two registers for each must fit into the processor.

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
        def at(array: int, first: int) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            return builder.gep(data, [arguments[first]])

        def add(product: Any, total: Any) -> Any:
            return builder.fadd(product, total, flags=("contract",))

        step, channels, out_step = arguments[2], arguments[3], arguments[8]
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(_INTEGER, WIDTH), [0] * WIDTH)
        x = cgutils.alloca_once_value(builder, at(0, 1))
        weights = cgutils.alloca_once_value(builder, at(4, 5))
        zero = ir.Constant(_VECTOR, [0.0] * WIDTH)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(outputs)]
        with cgutils.for_range(builder, channels):
            row, kernel = builder.load(x), builder.load(weights)
            for tap in range(TAPS):
                place = builder.bitcast(builder.gep(row, [_index(tap)]), _VECTOR.as_pointer())
                cells = builder.load(place, align=4)
                for r, total in enumerate(sums):
                    weight = builder.load(builder.gep(kernel, [_index(tap * outputs + r)]))
                    one = builder.insert_element(nothing, weight, ir.Constant(_INTEGER, 0))
                    many = builder.shuffle_vector(one, nothing, everywhere)
                    product = builder.fmul(many, cells, flags=("contract",))
                    builder.store(add(product, builder.load(total)), total)
            builder.store(builder.gep(row, [step]), x)
            builder.store(builder.gep(kernel, [_index(TAPS * outputs)]), weights)
        out = at(6, 7)
        for r, total in enumerate(sums):
            place = builder.gep(out, [builder.mul(out_step, _index(r))])
            builder.store(builder.load(total), builder.bitcast(place, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return intrinsic(multiply)


@intrinsic
def transpose(typing, x, first, step, out, first_out, out_step):  # type: ignore[no-untyped-def]
    """out[c * out_step + z] = x[z * step + c] for `SQUARE` z and c, both float32 in one row; for kernels."""
    number = types.intp
    return types.void(x, number, number, out, number, number), _transpose


def _transpose(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    def row(array: int, i: int) -> Any:
        data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
        first, step = arguments[array + 1], arguments[array + 2]
        place = builder.gep(data, [builder.add(first, builder.mul(step, _index(i)))])
        return builder.bitcast(place, _ROW.as_pointer())

    rows = [builder.load(row(0, i), align=4) for i in range(SQUARE)]
    for apart, *exchange in _EXCHANGES:
        masks = [ir.Constant(ir.VectorType(_INTEGER, SQUARE), list(taken)) for taken in exchange]
        for i in range(SQUARE):
            if not i & apart:
                pair = rows[i], rows[i + apart]
                rows[i], rows[i + apart] = (builder.shuffle_vector(*pair, mask) for mask in masks)
    for i, made in enumerate(_ORDER):
        builder.store(rows[made], row(3, i), align=4)
    return context.get_dummy_value()
