"""What inference runs instead of convolution, BatchNorm, ReLU and shortcut one after the other."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from backbone.fast.exchange import exchange, hooked, places
from backbone.fast.fold import FoldedLinear, chains, fold

_NO_SCALARS: list[float | None] = []


def _types() -> tuple[torch.dtype, ...]:
    """The types that oneDNN convolves on this CPU: its bf16 needs AVX-512 or better."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return ()
    low = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (torch.float32, torch.bfloat16) if low else (torch.float32,)


_ONEDNN = _types()


class Convolution(nn.Conv2d):
    """A convolution, and after it what is added and the ReLU.

    Args:
        layer: shares its weights.
        relu: whether a ReLU comes last.
    """

    def __init__(self, layer: nn.Conv2d, relu: bool) -> None:
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            layer.groups,
            bias=layer.bias is not None,
            padding_mode=layer.padding_mode,
            device="meta",
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.relu = relu

    def reset_parameters(self) -> None:
        """Draw nothing: the weights are those of the layer."""

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W) to (B, D, H', W'); `shortcut` has the output's shape."""
        out = super().forward(x.to(self.weight.dtype))
        if shortcut is not None:
            out = out.add_(shortcut)
        return out.relu_() if self.relu else out


class PackedConvolution(Convolution):
    """The same in one call of oneDNN, with weights that lie as its kernels want them.

    These operators are what torch.compile's own freezing calls on CPUs; called directly, they need
    no compiler. On other devices, in other types, and where gradients are wanted, it is a plain
    `Convolution`.
    """

    packed: Tensor | None = None

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W) to (B, D, H', W'); `shortcut` has the output's shape."""
        known = x.ndim == 4 and x.device.type == "cpu" and self.weight.dtype in _ONEDNN
        if not known or wants_gradients(x, self.weight):
            return super().forward(x, shortcut)
        x = x.to(self.weight.dtype).contiguous(memory_format=torch.channels_last)
        geometry = [list(self.padding), list(self.stride), list(self.dilation), self.groups]
        if self.packed is None:
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, *geometry, list(x.shape)
            )
        relu = "relu" if self.relu else None
        convolve = torch.ops.mkldnn._convolution_pointwise
        if shortcut is None:
            out: Tensor = convolve(
                x, self.packed, self.bias, *geometry, relu or "none", _NO_SCALARS, None
            )
            return out
        if shortcut.shape[2:] == (1, 1):  # oneDNN in PyTorch 2.11 cannot add to a single pixel
            out = convolve(x, self.packed, self.bias, *geometry, "none", _NO_SCALARS, None)
            out = out.add_(shortcut)
            return out.relu_() if self.relu else out
        shortcut = shortcut.to(x.dtype).contiguous(memory_format=torch.channels_last)
        added: Tensor = convolve.binary(
            x, shortcut, self.packed, self.bias, *geometry, "add", None, relu, _NO_SCALARS, None
        )
        return added

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self.packed = None  # the weights may change
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self.packed = None
        super()._load_from_state_dict(*arguments)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "packed": None}  # packed tensors cannot be copied or saved


def wants_gradients(*tensors: Tensor) -> bool:
    """Whether autograd follows what is done with one of these tensors."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def packable(layer: nn.Conv2d) -> bool:
    """Whether oneDNN has this convolution in one call."""
    return (
        bool(_ONEDNN)
        and layer.weight.device.type == "cpu"
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def fuse_chains(model: nn.Module, entry: str = "forward") -> None:
    """Fold what follows a layer into it, in place, unless either has a second place."""
    count = places(model)
    successors: dict[nn.Module, nn.Module] = {}
    for layer, norm, relu in list(chains(model, entry)):
        if count[layer] != 1 or (norm is not None and count[norm] != 1):
            continue
        if layer in successors or norm in successors:  # within a part that has two places itself
            continue
        if norm is not None:
            fold(layer, norm)
            successors[norm] = nn.Identity()
            if type(layer) is nn.Linear:
                successors[layer] = FoldedLinear(layer)
        if relu is not None and type(layer) is nn.Conv2d and count[relu] == 1:
            successors[layer] = Convolution(layer, relu=True)
            successors[relu] = nn.Identity()
    exchange(model, successors)


def replace_convolutions(model: nn.Module, packed: bool = False) -> nn.Module:
    """Make every plain 2-D convolution one of this file; not `packed`, none is packed.

    Returns:
        The model, in place unless it is a convolution itself.
    """
    successors: dict[nn.Module, nn.Module] = {}
    for layer in model.modules():
        plain = type(layer) is nn.Conv2d and not hooked(layer)
        if not plain and type(layer) not in (Convolution, PackedConvolution):
            continue
        assert isinstance(layer, nn.Conv2d)
        kind = PackedConvolution if packed and packable(layer) else Convolution
        if type(layer) is not kind:
            successors[layer] = kind(layer, isinstance(layer, Convolution) and layer.relu)
    return exchange(model, successors)
