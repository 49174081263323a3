"""Operations whose value and first derivative are fast code, and whose further derivatives come from a reference.

The fast code may be Numba's, or go through memory more sparingly than autograd would. The reference is the same
function made of operations that torch can differentiate.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from zeldo.mesh.torch_clouds import looped

Tensors = tuple[Tensor, ...]
T = TypeVar("T")


class Operation(Protocol):
    """A differentiable function of tensors."""

    @property
    def value(self) -> Callable[..., Any]:
        """The function of the inputs, which carry no gradient here: a tensor or a tuple of them."""

    def pull_back(self, inputs: Tensors, cotangents: Tensors) -> Tensors:
        """The cotangent of each input, from those of the outputs.

        `inputs` ends with the outputs where the operation has an attribute `keeps_outputs` that is true.
        """

    @property
    def reference(self) -> Callable[..., Any]:
        """The same function, made of operations that torch differentiates."""


def accelerated(operation: Operation, *inputs: Tensor) -> Any:
    """Call an operation so that autograd and `torch.func` differentiate it, any number of times.

    Parameters
    ----------
    operation : Operation
    *inputs : Tensor

    Returns
    -------
    Tensor or tuple of Tensor
        What the operation returns.
    """
    return _Value.apply(operation, *inputs)


def kept(make: Callable[[], T]) -> T:
    """What a function makes, fit to be kept for later calls.

    Tensors made inside of a transform of `torch.func` die with it, and no derivative can be taken with those of torch's
    inference mode. A thread of its own is outside of both.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(make).result()


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(operation, *inputs):  # type: ignore[no-untyped-def, override]
        return operation.value(*inputs)

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        ctx.operation, *tensors = inputs
        ctx.count = len(tensors)
        if getattr(ctx.operation, "keeps_outputs", False):
            tensors += output if isinstance(output, tuple) else (output,)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx, *cotangents):  # type: ignore[no-untyped-def, override]
        kept = ctx.saved_tensors
        back = _PullBack.apply(ctx.operation, ctx.count, len(kept), *kept, *cotangents)
        return None, *(back if isinstance(back, tuple) else (back,))

    @staticmethod
    def jvp(ctx, _, *rates):  # type: ignore[no-untyped-def, override]
        return _push(ctx.operation.reference, ctx.saved_tensors[: ctx.count], rates)

    @staticmethod
    def vmap(info, dims, *inputs):  # type: ignore[no-untyped-def, override]
        return looped(_Value.apply, info, dims, *inputs)


class _PullBack(torch.autograd.Function):
    @staticmethod
    def forward(operation, count, kept, *tensors):  # type: ignore[no-untyped-def, override]
        return operation.pull_back(tensors[:kept], tensors[kept:])

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        ctx.operation, ctx.count, kept, *tensors = inputs
        ctx.outputs = kept - ctx.count  # the reference makes them again
        needed = tensors[: ctx.count] + tensors[kept:]
        ctx.save_for_backward(*needed)
        ctx.save_for_forward(*needed)

    @staticmethod
    def backward(ctx, *cotangents):  # type: ignore[no-untyped-def, override]
        back = torch.func.vjp(_reference(ctx), *ctx.saved_tensors)[1]
        by_needed = back(cotangents)
        nothing = (None,) * ctx.outputs
        return None, None, None, *by_needed[: ctx.count], *nothing, *by_needed[ctx.count :]

    @staticmethod
    def jvp(ctx, _, __, ___, *rates):  # type: ignore[no-untyped-def, override]
        needed = rates[: ctx.count] + rates[ctx.count + ctx.outputs :]
        return _push(_reference(ctx), ctx.saved_tensors, needed)

    @staticmethod
    def vmap(info, dims, *inputs):  # type: ignore[no-untyped-def, override]
        return looped(_PullBack.apply, info, dims, *inputs)


def _reference(ctx: Any) -> Any:
    """The pull-back of an operation's reference, as a function of inputs and cotangents."""

    def pull_back(*tensors: Tensor) -> Tensors:
        inputs, cotangents = tensors[: ctx.count], tensors[ctx.count :]
        back = torch.func.vjp(ctx.operation.reference, *inputs)[1]
        return back(cotangents if len(cotangents) > 1 else cotangents[0])

    return pull_back


def _push(function: Any, inputs: Tensors, rates: Any) -> Any:
    filled = tuple(torch.zeros_like(x) if r is None else r for x, r in zip(inputs, rates, strict=True))
    return torch.func.jvp(function, tuple(inputs), filled)[1]
