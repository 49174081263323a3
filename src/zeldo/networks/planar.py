"""Layers of networks for the CPU in place of torch's, which want fields with channels first and have no derivatives."""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import nn

from zeldo.networks.convolution import usual
from zeldo.networks.modulated import ModulatedBlock, ModulatedResampling
from zeldo.networks.resampling import Resampled
from zeldo.networks.vnet import Block, LayeredNet, Resampling
from zeldo.networks.winograd import WinogradBlock, WinogradConv


def replace(net: LayeredNet) -> None:
    """Put these layers into a network on the CPU where it has torch's.

    Parameters
    ----------
    net : LayeredNet
        For a single style. Layers that are not of float32 stay as they are.
    """
    for layer in net.layout.layers:
        made = _block(net, layer.name) if layer.kind == "block" else _resampling(net, layer.name)
        if made is not None:
            net.add_module(layer.name, made)
    for stage in [*net.modules()]:
        for name, child in stage.named_children():
            if _fits(child):
                setattr(stage, name, WinogradConv(child))


def _block(net: LayeredNet, name: str) -> WinogradBlock | None:
    """In place of a block that does nothing but activate between its convolutions; None for somebody's own."""
    block: Any = net.get_submodule(name)
    convolutions: list[Any] = []
    if type(block) is ModulatedBlock and not block.modulations:
        convolutions = [block.first, block.second]
    elif type(block) is Block and not _normalises(block.convs):
        convolutions = [layer for layer in block.convs if isinstance(layer, nn.Conv3d)]
    if len(convolutions) != 2 or not all(_fits(layer) for layer in convolutions):
        return None
    first, second = convolutions
    return WinogradBlock(first, second, block.skip, _slope(block.end), net.layout.wraps[name])


def _resampling(net: LayeredNet, name: str) -> Resampled | None:
    """In place of a resampling that does nothing but activate; None for somebody's own."""
    layer: Any = net.get_submodule(name)
    convolution: Any
    if type(layer) is ModulatedResampling:
        convolution, end = layer.convolve, layer.activate
    elif type(layer) is Resampling and not _normalises(layer.convs):
        convolution, end = layer.convs[0], layer.convs[-1]
    else:
        return None
    return Resampled(convolution, _slope(end)) if convolution.weight.dtype == torch.float32 else None


def _slope(end: nn.Module) -> float:
    """The slope of a leaky ReLU for negative numbers; 1 where there is none."""
    return end.negative_slope if isinstance(end, nn.LeakyReLU) else 1.0


def _normalises(layers: nn.Sequential) -> bool:
    return any(isinstance(layer, nn.BatchNorm3d) for layer in layers)


def _fits(layer: Any) -> TypeGuard[nn.Conv3d]:
    return type(layer) is nn.Conv3d and usual(layer) and layer.weight.dtype == torch.float32
