"""Matrix products in single precision on a processor: oneDNN's, which use all of it.

Torch sends them to MKL, which on processors of other makers than Intel stops at half the width of their registers: a
training step of NHITS on an EPYC takes 1.7 times as long with it.
"""

from typing import Any

import torch
from torch.nn import functional


def linear(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return `torch.nn.functional.linear` of `values` (n, in), `weight` (out, in) and `bias` (out,), differentiable."""
    if not _is_ours(values):
        return functional.linear(values, weight, bias)
    answer: torch.Tensor = _Linear.apply(values, weight, bias)  # type: ignore[no-untyped-call]
    return answer


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        # Of a part of a wider tensor oneDNN takes a hundred times as long.
        values = values.contiguous()
        ctx.save_for_backward(values, weight)
        return _product(values, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gradient, (values, weight) = gradients[0].contiguous(), ctx.saved_tensors
        of_values, of_weight, of_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t()) if of_values else None,
            _product(gradient.t(), values.t()) if of_weight else None,
            gradient.sum(dim=0) if of_bias else None,
        )


def _product(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    # What torch's own compiler calls; there is no public name for it.
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(values, weight, bias, "none", [], "")
    return product


def _is_ours(values: torch.Tensor) -> bool:
    return (
        values.device.type == "cpu"
        and values.dtype is torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
