"""BatchNorm folded into the layer before it, wherever one method always calls it after that layer.

In evaluation mode a BatchNorm multiplies each channel by s = weight / sqrt(running_var + eps) and
adds bias - running_mean * s; a convolution or linear layer whose weights are multiplied by s, with
the rest as its bias, does both at once (Jacob et al., arXiv:1712.05877, section 3.2).
"""

import contextlib
import inspect
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from backbone.fast.exchange import hooked

LAYERS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
"""What a BatchNorm can be folded into."""

Chain = tuple[nn.Module, nn.Module | None, nn.Module | None]
"""A layer, and the BatchNorm and the ReLU that follow it, where they do."""


class FoldedLinear(nn.Linear):
    """A linear layer with a BatchNorm folded in, which means columns for inputs (B, C) only.

    Args:
        layer: shares its weights, into which the BatchNorm was folded.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, device="meta")
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C) to (B, D)."""
        if x.ndim != 2:
            raise ValueError(
                f"a BatchNorm was folded into this linear layer, which is right for inputs (B, C); "
                f"found {tuple(x.shape)}"
            )
        return super().forward(x)


def fold(layer: nn.Module, norm: nn.Module) -> None:
    """Multiply a BatchNorm's evaluation mode into the weights of the layer before it, in place."""
    assert isinstance(norm, _BatchNorm) and norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    assert norm.running_mean is not None
    shift = -norm.running_mean.double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    folded = weight.double() * _along_outputs(layer, scale)
    if isinstance(bias, Tensor):
        shift = shift + bias.double() * scale
    layer.weight = nn.Parameter(folded.to(weight.dtype), requires_grad=False)
    layer.bias = nn.Parameter(shift.to(weight.dtype), requires_grad=False)


def _along_outputs(layer: nn.Module, scale: Tensor) -> Tensor:
    """The scale (out,) in a shape that multiplies the weights of each output channel."""
    ones = (1,) * (layer.weight.ndim - 2)  # type: ignore[operator]
    if not isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        return scale.view(-1, 1, *ones)
    # Its weights are (in, out / groups, ...), and the inputs of a group lie side by side.
    per_group = layer.in_channels // layer.groups
    return (
        scale.view(layer.groups, -1)
        .repeat_interleave(per_group, 0)
        .view(-1, 1)
        .view(layer.in_channels, -1, *ones)
    )


def foldable(layer: nn.Module, norm: nn.Module | None) -> bool:
    """Whether these two, called one after the other, are plain ones that `fold` understands."""
    return (
        type(layer) in LAYERS
        and isinstance(norm, _BatchNorm)
        and type(norm).forward in (_BatchNorm.forward, nn.SyncBatchNorm.forward)
        and norm.running_mean is not None
        and norm.num_features == _outputs(layer)  # of tokens, it normalises another axis
        and not hooked(layer)
        and not hooked(norm)
    )


def _outputs(layer: nn.Module) -> Any:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def chains(module: nn.Module, entry: str = "forward") -> Iterator[Chain]:
    """Find layers that BatchNorm, ReLU or both follow, in every call of theirs and with no other.

    The method `entry` is traced symbolically (torch.fx), its optional arguments left out. Where
    that cannot be done, the parts of the module are traced one by one: a part that is not called as
    a whole, by a method that cannot be traced, is the one thing which this does not see.
    """
    if _row(module, entry):
        yield from _chains(_graph_of_row(module), module)
        return
    tracer = _Tracer(entry)
    try:
        with _attributes_kept(module):
            graph = tracer.trace(module, concrete_args=_left_out(module, entry))
    except Exception:  # a method may fail in any way when it is given symbols
        for child in module.children():
            if not _whole(child):
                yield from chains(child)
        return
    yield from _chains(graph, module)


def _row(module: nn.Module, entry: str) -> bool:
    """Whether the module calls single parts one after the other, so that no trace is needed.

    Such are most shortcuts and heads; a trace of one takes as long as the rest of its exchange.
    """
    if type(module) is not nn.Sequential or entry != "forward":
        return False
    return all(part is not None and _whole(part) for part in module._modules.values())


def _graph_of_row(module: nn.Module) -> fx.Graph:
    graph = fx.Graph()
    node = graph.placeholder("x")
    for name in module._modules:  # a part that stands in several places has a name for each
        node = graph.call_module(name, (node,))
    graph.output(node)
    return graph


class _Tracer(fx.Tracer):
    """Looks into what holds a layer or a BatchNorm, and leaves everything else whole.

    Also what has hooks, which would be called with symbols.
    """

    def __init__(self, entry: str) -> None:
        super().__init__()
        self.traced_func_name = entry

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _whole(m) or hooked(m)


@contextlib.contextmanager
def _attributes_kept(module: nn.Module) -> Iterator[None]:
    """Undo what methods keep in their modules, which in a trace are symbols."""
    before = [(part, dict(part.__dict__)) for part in module.modules()]
    try:
        yield
    finally:
        for part, attributes in before:
            part.__dict__.clear()
            part.__dict__.update(attributes)


def _whole(module: nn.Module) -> bool:
    """Whether there is nothing to find within: a single layer, or none that is looked for."""
    return _sought(module) or not any(_sought(part) for part in module.modules())


def _sought(layer: nn.Module) -> bool:
    return type(layer) in LAYERS or isinstance(layer, _BatchNorm | nn.ReLU)


def _left_out(module: nn.Module, entry: str) -> dict[str, Any]:
    parameters = inspect.signature(getattr(module, entry)).parameters.values()
    return {one.name: None for one in parameters if one.default is None}


def _chains(graph: fx.Graph, root: nn.Module) -> Iterator[Chain]:
    calls: dict[nn.Module, list[fx.Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.op == "call_module":
            calls[root.get_submodule(node.target)].append(node)
    # Whose weights are read beside its calls must keep them.
    owners = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    read = {root.get_submodule(owner) for owner in owners}
    for layer, nodes in calls.items():
        if type(layer) not in LAYERS or layer in read or hooked(layer):
            continue
        norm = _follower(nodes, calls, root)
        if norm is None or not foldable(layer, norm):
            norm = None
        relu = _follower(nodes if norm is None else calls[norm], calls, root)
        if type(relu) is not nn.ReLU or hooked(relu):
            relu = None
        if norm is not None or relu is not None:
            yield layer, norm, relu


def _follower(
    nodes: list[fx.Node], calls: dict[nn.Module, list[fx.Node]], root: nn.Module
) -> nn.Module | None:
    """The module that takes what each of these calls gives, alone, and nothing else."""
    users = [user for node in nodes for user in node.users]
    if len(users) != len(nodes) or any(len(node.users) != 1 for node in nodes):
        return None
    if any(user.op != "call_module" or len(user.all_input_nodes) != 1 for user in users):
        return None
    found = {root.get_submodule(str(user.target)) for user in users}
    if len(found) != 1:
        return None
    (module,) = found
    return module if len(calls[module]) == len(nodes) else None
