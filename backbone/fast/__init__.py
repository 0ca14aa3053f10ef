"""A trained trunk, or a whole model around one, as a faster module that computes the same.

    fast = deploy(model)                    # plain PyTorch, no compiler
    fast = deploy(model, compile=True)      # torch.compile with frozen weights: the fastest on CPUs
    fast = deploy(model, precision="bf16")

What it does: BatchNorm is folded into the convolutions (and deconvolutions and linear layers)
before it; tensors lie channels last; on CPUs a convolution, its bias, its ReLU and the addition of
the shortcut are one call of oneDNN with pre-packed weights; and the blocks of Res2Net write each
result where its chunk was, instead of concatenating them. On CPUs with AVX-512 a compiled model has
each of its blocks as one call of a kernel of this package, on tensor cores most of it.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, Literal, TypeVar, overload

import torch
from torch import nn

from backbone.fast.blocks import fuse_blocks
from backbone.fast.layers import Convolution, fuse_chains, replace_convolutions

Precision = Literal["fp32", "bf16"]
M = TypeVar("M", bound=nn.Module)


@overload
def deploy(
    module: M, *, portable: bool = False, pad_to: int | None = None, entry: str = "forward"
) -> M: ...
@overload
def deploy(
    module: nn.Module,
    *,
    precision: Precision = "fp32",
    compile: bool = False,
    portable: bool = False,
    pad_to: int | None = None,
    entry: str = "forward",
) -> nn.Module: ...
def deploy(
    module: nn.Module,
    *,
    precision: Precision = "fp32",
    compile: bool = False,
    portable: bool = False,
    pad_to: int | None = None,
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
            on CPUs with AVX-512 a block of Res2Net becomes one kernel (`backbone/fast/cpu.py`), and
            the last result is kept until the next is there.
        portable: use PyTorch's public operators only, for `torch.export` and ONNX.
        pad_to: give the chunks of a Res2Net block channels of zeros up to a multiple of this, or to
            the half of it where that is enough. As it is, 32 for bf16 on CUDA and 1 elsewhere.
        entry: the method that inference calls, where that is not `forward`.

    Returns:
        Without `compile` and in fp32 the same model with other layers inside, so that all of its
        methods and attributes are there, and gradients of its input; otherwise a module that can
        only be called. For inference alone: its weights are fixed, and it cannot be put back into
        training mode.

    Raises:
        ValueError: an argument is out of its range.
        RuntimeError: compiling was asked for and there is no C++ compiler, or it failed.
    """
    _check(module, precision, pad_to, entry)
    device = next(module.parameters(), torch.empty(0)).device
    if compile:
        require_compiler(device)
    tensor_cores = device.type == "cuda" and precision == "bf16" and not portable
    tensor_cores = tensor_cores and find_spec("triton") is not None
    own = copy.deepcopy(module).eval().requires_grad_(False)
    packed = not compile and not portable
    own = fuse_blocks(own, overwrite=packed, pad_to=pad_to or (32 if tensor_cores else 1))
    fuse_chains(own, entry)
    own = replace_convolutions(own, packed)
    _lay_out(own, precision)
    if tensor_cores:
        from backbone.fast.cuda import use_tensor_cores

        own = use_tensor_cores(own)
    if device.type == "cpu" and compile and not portable:
        from backbone.fast.cpu import use_one_pass

        own = use_one_pass(own)
    if precision == "fp32" and not compile:
        return own
    return Deployed(own, entry, precision, compile, device.type)


def _check(module: nn.Module, precision: str, pad_to: int | None, entry: str) -> None:
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision is {precision!r}; allowed: fp32, bf16")
    if pad_to is not None and pad_to < 1:
        raise ValueError(f"pad_to is {pad_to}; needed: a whole number from 1 on")
    if not callable(getattr(module, entry, None)):
        raise ValueError(f"entry is {entry!r}; needed: a method of {type(module).__name__}")


def _lay_out(module: nn.Module, precision: Precision) -> None:
    """Put weights where kernels want them, channels last and in the precision, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.to(memory_format=torch.channels_last)
        if isinstance(layer, Convolution) and precision == "bf16":
            layer.to(torch.bfloat16)


def require_compiler(device: torch.device) -> None:
    """Raise RuntimeError where torch.compile cannot work because no C++ compiler is there."""
    if device.type != "cpu":
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise RuntimeError(
            "compile: needs a C++ compiler and found none; install g++ or clang++, name one in the "
            "variable CXX, or leave compile out"
        ) from error


@contextlib.contextmanager
def searching() -> Iterator[None]:
    """Let cuDNN search for its fastest kernels; all other settings stay the caller's."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


class Deployed(nn.Module):
    """Calls a deployed model in its precision, compiled if asked.

    Args:
        module: with its layers fused.
        entry: the method of it that is called.
        precision: bf16 keeps what needs more digits in fp32, as autocast does.
        compile: whether to compile it.
        device_type: where it runs.
    """

    def __init__(
        self, module: nn.Module, entry: str, precision: Precision, compile: bool, device_type: str
    ) -> None:
        super().__init__()
        self.module, self.entry, self.compiles = module, entry, compile
        self.low = precision == "bf16"
        self.device_type = device_type
        # Else the C library gives a large result's memory back and takes it again page by page.
        self.keeps = compile and self.device_type == "cpu"
        self.last: Any = None
        # A compiled model sees one size, so that cuDNN's search for its fastest kernels pays.
        self.search = compile and self.device_type == "cuda"
        self._prepare()

    def _prepare(self) -> None:
        """Take the method that is called, to be compiled at its first call if that was asked."""
        self.call: Callable[..., Any] = getattr(self.module, self.entry)
        if self.compiles:
            graphs = {"triton.cudagraphs": True} if self.device_type == "cuda" else {}
            # Of one channel and varying sizes, the compiler mistakes how tensors lie in memory.
            varying = None if _channels(self.module) > 1 else False
            options: dict[str, Any] = {"freezing": True, **graphs}
            self.call = torch.compile(self.call, dynamic=varying, options=options)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "call": None, "last": None}  # a copy compiles its own weights

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._prepare()

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the model's method gives for these inputs."""
        # Dynamo reads the global setting, besides the option, to see that weights are constants.
        with (
            torch.no_grad(),
            torch._inductor.config.patch(freezing=True),
            searching() if self.search else contextlib.nullcontext(),
            torch.autocast(self.device_type, torch.bfloat16, enabled=self.low),
        ):
            result = self.call(*inputs, **named)
        if self.keeps:
            self.last = result
        return result


def _channels(module: nn.Module) -> int:
    """The fewest channels that a convolution takes."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    return min((layer.in_channels for layer in layers), default=2)
