"""A trained trunk, or a whole model around one, as a faster module that computes the same.

    fast = deploy(model)                    # plain PyTorch, no compiler
    fast = deploy(model, compile=True)      # torch.compile with frozen weights: the fastest on CPUs
    fast = deploy(model, precision="bf16")

What it does: BatchNorm is folded into the convolutions (and deconvolutions and linear layers)
before it; tensors lie channels last; on CPUs a convolution, its bias, its ReLU and the addition of
the shortcut are one call of oneDNN with pre-packed weights; and the blocks of Res2Net write each
result where its chunk was, instead of concatenating them. On CPUs with AVX-512 or AVX2 a model has
each of its blocks as one call of a kernel of this package, on tensor cores most of it.

Each file here stands on those before it: `exchange` (one layer for another), `fold` (BatchNorm),
`layers`, `blocks`, `deployed` (the call of it), `build`, `cpu` and `cuda` (a block as one kernel).
"""

import copy
from importlib.util import find_spec
from typing import TypeVar, overload

import torch
from torch import nn

from backbone.fast.blocks import fuse_blocks
from backbone.fast.deployed import Deployed, Precision, require_compiler
from backbone.fast.layers import Convolution, fuse_chains, replace_convolutions

__all__ = ["Deployed", "Precision", "deploy"]

M = TypeVar("M", bound=nn.Module)


@overload
def deploy(module: M, *, portable: bool = False, entry: str = "forward") -> M: ...
@overload
def deploy(
    module: M,
    *,
    precision: Precision = "fp32",
    compile: bool = False,
    portable: bool = False,
    entry: str = "forward",
) -> M | Deployed: ...
def deploy(
    module: nn.Module,
    *,
    precision: Precision = "fp32",
    compile: bool = False,
    portable: bool = False,
    entry: str = "forward",
) -> nn.Module:
    """Make the inference module of a trunk or of a whole model; the argument is left as it is.

    Args:
        module: on the device where it will run. Its results are those of its evaluation mode.
        precision: fp32, where outputs differ by rounding only (a relative error below 1e-5), or
            bf16, where convolutions and linear layers compute in bfloat16; on CUDA by kernels of
            this package, if Triton is there, which they need.
        compile: compile it when it is first called, which takes a minute or so, again for inputs of
            another size. Weights are frozen; on CUDA the kernels of one size become a CUDA graph;
            on CPUs the kernel below is waited for, which is built in seconds where it was not, and
            the last result is kept until the next is there.
        portable: use PyTorch's public operators only, for `torch.export` and ONNX.
        entry: the method that inference calls, where that is not `forward`.

    On CPUs with AVX-512 or AVX2 a block of Res2Net becomes one kernel (`backbone/fast/cpu.py`), if
    that is built: by `python -m backbone.fast.build`, or else in the background at the first call
    of this function, for later processes.

    Returns:
        Without `compile` and in fp32 the same model with other layers inside, so that all of its
        methods and attributes are there, and gradients of its input; otherwise a `Deployed`, which
        is called, and whose `module` is that model. For inference alone: its weights are fixed, and
        it cannot be put back into training mode.

    Raises:
        ValueError: an argument is out of its range.
        RuntimeError: compiling was asked for and there is no C++ compiler, or it failed.
    """
    _check(module, precision, entry)
    device = next(module.parameters(), torch.empty(0)).device
    if compile:
        require_compiler(device)
    tensor_cores = device.type == "cuda" and precision == "bf16" and not portable
    tensor_cores = tensor_cores and find_spec("triton") is not None
    own = copy.deepcopy(module).eval().requires_grad_(False)
    packed = not compile and not portable
    own = fuse_blocks(own, overwrite=packed, pad_to=32 if tensor_cores else 1)
    fuse_chains(own, entry)
    own = replace_convolutions(own, packed)
    _lay_out(own, precision)
    if tensor_cores:
        from backbone.fast.cuda import use_tensor_cores

        own = use_tensor_cores(own)
    if device.type == "cpu" and not portable:
        from backbone.fast.cpu import use_one_pass

        own = use_one_pass(own, wait=compile)
    called = precision == "bf16" or compile
    fast = Deployed(own, entry, precision, compile, device.type) if called else own
    return fast.eval()  # what is new in it, too


def _check(module: nn.Module, precision: str, entry: str) -> None:
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision is {precision!r}; allowed: fp32, bf16")
    if not callable(getattr(module, entry, None)):
        raise ValueError(f"entry is {entry!r}; needed: a method of {type(module).__name__}")


def _lay_out(module: nn.Module, precision: Precision) -> None:
    """Put weights where kernels want them, channels last and in the precision, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.to(memory_format=torch.channels_last)
        if isinstance(layer, Convolution) and precision == "bf16":
            layer.to(torch.bfloat16)
