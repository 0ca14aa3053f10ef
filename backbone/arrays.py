"""Read a pickle of numpy arrays without running code from it, and without numpy.

Pickle calls whatever a file asks for, and numpy's own classes trust what they are given, so neither
is let near it: the few names that an array needs stand for small classes here, and every other name
is refused.
"""

import io
import pickle
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbone.errors import WeightsError, one_line

SUFFIX = ".pkl"
"""Of detectron2's; PaddlePaddle has one of its own."""
LARGEST = 1 << 30
"""Bytes of a file."""
NUMBERS = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "b1": torch.bool,
}
SHOWN = 80


def read(path: Path) -> dict[str, Tensor]:
    """The arrays of a file that holds a dict of them, each alone or as a pair of a name and itself.

    The dict may lie under "model" in another one, as detectron2's does. Entries that are no arrays
    are left out.

    Raises:
        WeightsError: cut short, too large, no such file, or it would run code.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise WeightsError(f"{path}: has {size:,} bytes; at most {LARGEST:,} are read")
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    if data[:1] != pickle.PROTO:
        raise WeightsError(
            f"{path}: is not a checkpoint: it begins with {data[:4]!r}; needed: a pickle of numpy "
            "arrays, as paddle.save writes it"
        )
    try:
        if data[-1:] != pickle.STOP:  # a name that is cut in two would be refused as another one
            raise EOFError("it has no end")
        return _tensors(_Unpickler(data, path).load(), size)
    except WeightsError:
        raise
    except Exception as error:  # cut at the wrong byte, a pickle fails in a dozen different ways
        raise WeightsError(
            f"{path}: is cut short or damaged ({size} bytes; {one_line(error)}); fetch it again"
        ) from error


class _StandIn:
    """What a pickle may call."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Refuse: without this, a pickle could set attributes, of the class itself even."""
        raise ValueError("it changes what only arrays have")


class _Numbers(_StandIn):
    """Stands for numpy.dtype: of what kind the numbers of an array are."""

    __slots__ = ("kind",)

    def __init__(self, name: str, *_: object) -> None:
        self.kind = NUMBERS[name]

    def __setstate__(self, state: Any) -> None:
        _, order, *parts = state
        if order not in ("<", "|", "=") or any(part is not None for part in parts[:3]):
            raise ValueError("it has numbers in another byte order, or records")


class _Bytes(_StandIn):
    """Stands for codecs.encode, by which old pickles write bytes as text."""

    __slots__ = ("code", "text")

    def __init__(self, text: str, code: str) -> None:
        self.text, self.code = text, code


class _Array(_StandIn):
    """Stands for numpy.ndarray, and for the function that makes an empty one to be filled."""

    __slots__ = ("by_columns", "data", "numbers", "shape")

    def __init__(self, *_: object) -> None:
        self.__setstate__((1, (0,), None, False, b""))

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.numbers, self.by_columns, self.data = state

    def tensor(self) -> Tensor:
        """The array as a tensor of its own."""
        flat = torch.frombuffer(bytearray(self._plain()), dtype=self.numbers.kind)
        if flat.numel() != prod(self.shape):
            raise ValueError(f"{flat.numel()} numbers for an array of {prod(self.shape)}")
        if not self.by_columns:
            return flat.reshape(self.shape)
        turned = flat.reshape(self.shape[::-1])
        return turned.permute(*reversed(range(turned.ndim))).contiguous()

    def _plain(self) -> bytes:
        data = self.data
        if isinstance(data, _Bytes) and data.code == "latin1":
            data = data.text
        if isinstance(data, str):  # the bytes of Python 2
            return data.encode("latin1")
        if isinstance(data, bytes):
            return data
        raise ValueError("an array that holds something else than numbers")


class _Scalar(_Array):
    """Stands for the function that makes a number of numpy's."""

    __slots__ = ()

    def __init__(self, numbers: _Numbers, data: object) -> None:
        self.__setstate__((1, (), numbers, False, data))


class _Pair(_StandIn):
    """Stands for tuple, by which paddle.save writes a tensor: its name and its array."""

    __slots__ = ("array",)

    def __init__(self, pair: tuple[str, _Array]) -> None:
        _, self.array = pair


_KNOWN: Mapping[str, type[_StandIn]] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Numbers,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _Scalar,
    "numpy._core.multiarray.scalar": _Scalar,
    "_codecs.encode": _Bytes,
    "builtins.tuple": _Pair,
    "__builtin__.tuple": _Pair,
}


# In Python: the one in C makes room for as many objects as a file claims to have.
class _Unpickler(pickle._Unpickler):
    """Lets a pickle ask for the names above only."""

    def __init__(self, data: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        """The class that stands for a name."""
        asked = f"{module}.{name}"
        if asked not in _KNOWN:
            raise WeightsError(
                f"{self.path}: refused, because reading it would run code ({asked[:SHOWN]!r}); "
                "needed: a dict of numpy arrays and nothing else"
            )
        return _KNOWN[asked]


def _tensors(content: Any, size: int) -> dict[str, Tensor]:
    """The arrays of a dict; together they are no larger than the file that they are in."""
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__} and not a dict")
    if isinstance(content.get("model"), dict):
        content = content["model"]
    found: dict[str, Tensor] = {}
    for name, value in content.items():
        pair = value.array if isinstance(value, _Pair) else value
        array = pair[1] if isinstance(pair, tuple) and len(pair) == 2 else pair
        if not isinstance(array, _Array) or not isinstance(name, str):
            continue
        found[name] = array.tensor()
        size -= found[name].nbytes
        if size < 0:
            raise ValueError("its arrays are larger than itself")
    return found
