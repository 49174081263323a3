"""The three published networks once more, by hand: crops and sides typed in, one call after another.

Independent of zeldo.networks: state dicts are drawn by the published tables of names and shapes.
"""

import torch
from torch.nn import functional as F  # noqa: N812


def draw(shapes, seed=0):
    """Random state dict; kernels such that fields keep their size, running variances positive."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=generator)
        if len(shape) == 5:
            value *= (2 / value[0].numel()) ** 0.5
        elif name.endswith("running_var"):
            value = 0.5 + value**2
        elif name.endswith("style_bias"):
            value = 1 + 0.3 * value
        state[name] = value if shape else torch.tensor(7)
    return state


def shapes_a(c):
    shapes = {}

    def conv(name, a, b, k, transposed=False):
        shapes[f"{name}.weight"] = (a, b, k, k, k) if transposed else (b, a, k, k, k)
        shapes[f"{name}.bias"] = (b,)

    def norm(name, b):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (b,)
        shapes[f"{name}.num_batches_tracked"] = ()

    blocks = {
        "conv_l0": (3, c),
        "conv_l1": (c, c),
        "conv_c": (c, c),
        "conv_r1": (2 * c, c),
        "conv_r0": (2 * c, 3),
    }
    for block, (a, b) in blocks.items():
        m = max(a, b)
        conv(f"{block}.convs.0", a, m, 3)
        if block == "conv_l0":
            conv(f"{block}.convs.2", m, b, 3)
            norm(f"{block}.convs.3", b)
        elif block == "conv_r0":
            conv(f"{block}.convs.2", m, b, 3)
        else:
            norm(f"{block}.convs.1", m)
            conv(f"{block}.convs.3", m, b, 3)
            norm(f"{block}.convs.4", b)
        conv(f"{block}.skip", a, b, 1)
    for stage in ("down_l0", "down_l1", "up_r1", "up_r0"):
        conv(f"{stage}.convs.0", c, c, 2, stage.startswith("up"))
        norm(f"{stage}.convs.1", c)
    return shapes


STAGES = (
    "conv_l00 conv_l01 down_l0 conv_l1 down_l1 conv_l2 down_l2 conv_c "
    "up_r2 conv_r2 up_r1 conv_r1 up_r0 conv_r00 conv_r01"
)


def shapes_b(c, styles=1):
    shapes = {}
    for stage in STAGES.split():
        a = {"conv_l00": 3, "conv_r2": 2 * c, "conv_r1": 2 * c, "conv_r00": 2 * c}.get(stage, c)
        b = 3 if stage == "conv_r01" else c
        m = max(a, b)
        layers = [("convs.0", a, m, 3), ("convs.2", m, b, 3), ("skip", a, b, 1)]
        if not stage.startswith("conv"):
            layers = [("convs.0", a, b, 2)]
        for layer, i, o, k in layers:
            name = f"{stage}.{layer}"
            shapes[f"{name}.style_weight"] = (i, styles)
            shapes[f"{name}.style_bias"] = (i,)
            shapes[f"{name}.weight"] = (i, o, k, k, k) if stage.startswith("up") else (o, i, k, k, k)
            shapes[f"{name}.bias"] = (o,)
    return shapes


def nested_c(c, seed=0):
    """{block: {layer: {name: array}}} of the emulator with redshift; kernels (out, in, ...) everywhere."""
    flat = draw(shapes_b(c, 2), seed)
    nested = {}
    for name, value in flat.items():
        block, layer, leaf = name.replace("convs.0", "conv_0").replace("convs.2", "conv_1").split(".")
        if block.startswith("up") and leaf == "weight":
            value = value.transpose(0, 1).contiguous()  # as many in as out: only the name of the axes changes
        nested.setdefault(block, {}).setdefault(layer, {})[leaf] = value.numpy()
    return nested


def narrow(x, c):
    return x[:, :, c : x.shape[2] - c, c : x.shape[3] - c, c : x.shape[4] - c]


def act(x):
    return torch.where(x > 0, x, 0.01 * x)


def plain_a(s, x, sides=None):
    def bn(y, name):
        view = (1, -1, 1, 1, 1)
        y = (y - s[f"{name}.running_mean"].view(view)) / torch.sqrt(
            s[f"{name}.running_var"].view(view) + 1e-5
        )
        return y * s[f"{name}.weight"].view(view) + s[f"{name}.bias"].view(view)

    def conv(y, name, **kw):
        return F.conv3d(y, s[f"{name}.weight"], s[f"{name}.bias"], **kw)

    def note(y):
        if sides is not None:
            sides.append(y.shape[-1])
        return y

    def block(y, name):
        skip = narrow(conv(y, f"{name}.skip"), 2)
        y = conv(y, f"{name}.convs.0")
        if name == "conv_l0":
            y = bn(conv(act(y), f"{name}.convs.2"), f"{name}.convs.3")
        elif name == "conv_r0":
            return note(conv(act(y), f"{name}.convs.2") + skip)
        else:
            y = act(bn(y, f"{name}.convs.1"))
            y = bn(conv(y, f"{name}.convs.3"), f"{name}.convs.4")
        return note(act(y + skip))

    def down(y, name):
        return note(act(bn(conv(y, f"{name}.convs.0", stride=2), f"{name}.convs.1")))

    def up(y, name):
        y = F.conv_transpose3d(y, s[f"{name}.convs.0.weight"], s[f"{name}.convs.0.bias"], stride=2)
        return note(act(bn(y, f"{name}.convs.1")))

    y0 = block(x, "conv_l0")
    y1 = block(down(y0, "down_l0"), "conv_l1")
    y = block(down(y1, "down_l1"), "conv_c")
    y = block(torch.cat([narrow(y1, 4), up(y, "up_r1")], 1), "conv_r1")
    y = block(torch.cat([narrow(y0, 16), up(y, "up_r0")], 1), "conv_r0")
    return y + narrow(x, 20)


def plain_styled(get, x, style, up, sides=None):
    """B and C. get(block, layer, leaf) -> tensor; up: "transposed" (B) or "interleaved" (C)."""

    def kernel(block, layer, axis):
        view = [1] * 5
        view[axis] = -1
        m = get(block, layer, "style_bias") + (get(block, layer, "style_weight") * style).sum(1)
        w = get(block, layer, "weight") * m.view(view)
        return w / torch.sqrt((w**2).sum([axis, 2, 3, 4], keepdim=True) + 1e-8)

    def conv(y, block, layer, **kw):
        return F.conv3d(y, kernel(block, layer, 1), get(block, layer, "bias"), **kw)

    def stage(y, name):
        if name.startswith("down"):
            y = act(conv(y, name, 0, stride=2))
        elif name.startswith("up") and up == "transposed":
            y = act(F.conv_transpose3d(y, kernel(name, 0, 0), get(name, 0, "bias"), stride=2))
        elif name.startswith("up"):
            n = y.shape[-1]
            spread = torch.zeros(*y.shape[:2], *[2 * n - 1] * 3, dtype=y.dtype)
            spread[:, :, ::2, ::2, ::2] = y
            y = act(conv(F.pad(spread, [1] * 6), name, 0))
        else:
            y = conv(act(conv(y, name, 0)), name, 1) + narrow(conv(y, name, "skip"), 2)
            if name != "conv_r01":
                y = act(y)
        if sides is not None:
            sides.append(y.shape[-1])
        return y

    y0 = stage(stage(x, "conv_l00"), "conv_l01")
    y1 = stage(stage(y0, "down_l0"), "conv_l1")
    y2 = stage(stage(y1, "down_l1"), "conv_l2")
    y = stage(stage(y2, "down_l2"), "conv_c")
    y = stage(torch.cat([narrow(y2, 4), stage(y, "up_r2")], 1), "conv_r2")
    y = stage(torch.cat([narrow(y1, 16), stage(y, "up_r1")], 1), "conv_r1")
    y = stage(torch.cat([narrow(y0, 40), stage(y, "up_r0")], 1), "conv_r00")
    return stage(y, "conv_r01") + narrow(x, 48)


def getter_b(state):
    layers = {0: "convs.0", 1: "convs.2", "skip": "skip"}
    return lambda block, layer, leaf: state[f"{block}.{layers[layer]}.{leaf}"]


def getter_c(nested, dtype=torch.float32):
    layers = {0: "conv_0", 1: "conv_1", "skip": "skip"}
    return lambda block, layer, leaf: torch.as_tensor(nested[block][layers[layer]][leaf]).to(dtype)
