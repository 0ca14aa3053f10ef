"""Whether two files, or two folders of them, hold the same: the measure of ``benchmarks.same``.

Equal means that no program could tell them apart: tensors and arrays bit for bit, texts and PNG
byte for byte. What may differ between two equal runs is left out: the times in log.jsonl, the
versions in a card, and the bytes around what JPEG, MP4, NPZ and ONNX files hold.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
import yaml
from torch import Tensor

TIMED = ("samples_per_second", "memory_mb")
"""Fields of a log line that measure the machine, not the run."""

_SHOWN = 70
_IGNORED = ("events.out.tfevents", ".lock", "progress.", "seconds.")
"""Beginnings of names: what is of one session, and the journal that --resume reads."""
_SIDE, _SAMPLES = 128, 16000


@dataclass(frozen=True)
class Report:
    """What a comparison found."""

    equal: int
    """Files or recipes that are equal."""
    differences: tuple[str, ...]
    """One text for each that is not."""
    notes: tuple[str, ...] = ()
    """What is new and no difference."""


def compare_folders(old: Path, new: Path, places: Sequence[Path] = ()) -> Report:
    """Compare the files of equal names under two folders; one that is missing is a difference.

    Args:
        old: a folder.
        new: another one.
        places: paths that differ between the two by design, and are blanked in texts.
    """
    left, right = _files(old), _files(new)
    differences = []
    for name in sorted(left | right):
        if name not in left or name not in right:
            reason: str | None = f"only {'OLD' if name in left else 'NEW'} has it"
        else:
            reason = difference(old / name, new / name, places)
        if reason is not None:
            differences.append(f"{name}: {reason}")
    return Report(len(left | right) - len(differences), tuple(differences))


def difference(old: Path, new: Path, places: Sequence[Path] = ()) -> str | None:
    """The first difference between two files, or None; their names say what they hold."""
    try:
        if old.suffix in _OF_FILES:
            return _OF_FILES[old.suffix](old, new)
        compare = _OF_BYTES.get(old.suffix, _bytes)
        return compare(_blanked(old, places), _blanked(new, places))
    except Exception as error:  # whatever a reader raises for what is no file of its kind
        return f"cannot be compared ({type(error).__name__}: {_short(error)})"


def first_difference(old: Any, new: Any, at: str = "") -> str | None:
    """The first difference between two trees of dicts, lists, tensors and plain values.

    Numbers are equal when they are written alike: NaN equals NaN, and 0.0 is not -0.0.
    """
    where = f"{at}: " if at else ""
    if isinstance(old, Tensor) and isinstance(new, Tensor):
        return _tensors(old, new, where)
    if isinstance(old, dict) and isinstance(new, dict):
        return _mappings(old, new, at)
    if type(old) is not type(new):
        return f"{where}{_short(old)} / {_short(new)}"
    if isinstance(old, list | tuple):
        pairs = enumerate(zip(old, new, strict=False))
        found = (first_difference(*pair, f"{at}[{index}]") for index, pair in pairs)
        counts = None if len(old) == len(new) else f"{where}{len(old)} entries / {len(new)}"
        return next((one for one in found if one is not None), counts)
    same = repr(old) == repr(new)
    return None if same else f"{where}{_texts(str(old), str(new))}"


def _files(folder: Path) -> set[str]:
    """Names below a folder, but for TensorBoard's files and locks."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if not path.name.startswith(_IGNORED)}


def _mappings(old: Mapping[Any, Any], new: Mapping[Any, Any], at: str) -> str | None:
    for key in [*old, *(key for key in new if key not in old)]:
        name = f"{at}.{key}" if at else str(key)
        if key not in old or key not in new:
            return f"{name}: only {'OLD' if key in old else 'NEW'} has it"
        found = first_difference(old[key], new[key], name)
        if found is not None:
            return found
    return None


def _tensors(old: Tensor, new: Tensor, where: str) -> str | None:
    if old.dtype != new.dtype or old.shape != new.shape:
        return f"{where}{old.dtype} {tuple(old.shape)} / {new.dtype} {tuple(new.shape)}"
    bits = [one.detach().contiguous().reshape(-1).view(torch.uint8).numpy() for one in (old, new)]
    return _values(bits, [one.reshape(-1) for one in (old, new)], where)


def _arrays(old: np.ndarray, new: np.ndarray, where: str) -> str | None:
    if old.dtype != new.dtype or old.shape != new.shape:
        return f"{where}{old.dtype} {old.shape} / {new.dtype} {new.shape}"
    bits = [np.frombuffer(one.tobytes(), np.uint8) for one in (old, new)]
    return _values(bits, [one.reshape(-1) for one in (old, new)], where)


def _values(bits: Sequence[np.ndarray], values: Sequence[Any], where: str) -> str | None:
    """Compare the bytes of two flat rows of values; of those that differ the first is shown."""
    if np.array_equal(bits[0], bits[1]):
        return None
    differs = (bits[0] != bits[1]).reshape(len(values[0]), -1).any(axis=1)
    first = int(differs.argmax())
    shown = " / ".join(_short(one[first].item()) for one in values)
    return f"{where}{differs.sum()} of {differs.size} values differ, at {first} {shown}"


def _blanked(path: Path, places: Sequence[Path]) -> bytes:
    """The file's bytes without the paths that differ by design, the longest of them first."""
    content = path.read_bytes()
    for place in sorted(map(str, places), key=len, reverse=True):
        content = content.replace(place.encode(), b"PLACE")
    return content


def _bytes(old: bytes, new: bytes) -> str | None:
    if old == new:
        return None
    try:
        left, right = old.decode().splitlines(), new.decode().splitlines()
    except UnicodeDecodeError:
        size = min(len(old), len(new))
        bits = [np.frombuffer(one[:size], np.uint8) for one in (old, new)]
        first = int((bits[0] != bits[1]).argmax()) if not np.array_equal(bits[0], bits[1]) else size
        return f"{len(old)} bytes / {len(new)}, the first that differs is {first}"
    for number, (one, other) in enumerate(zip(left, right, strict=False), start=1):
        if one != other:
            return f"line {number}: {_texts(one, other)}"
    return f"{len(left)} lines / {len(right)}, or other ends of lines"


def _texts(old: str, new: str) -> str:
    """Two texts from shortly before where they part."""
    pairs = zip(old, new, strict=False)
    parted = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(old), len(new)))
    start = max(0, parted - _SHOWN // 2)
    return f"{_short(old[start:])} / {_short(new[start:])}"


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _checkpoints(old: Path, new: Path) -> str | None:
    left, right = (torch.load(one, map_location="cpu", weights_only=True) for one in (old, new))
    for content in (left, right):
        content["config"] = yaml.safe_load(str(content.get("config")))
    return first_difference(left, right)


def _yaml(old: bytes, new: bytes) -> str | None:
    """Settings are equal in any order: it follows the classes that hold them."""
    return first_difference(yaml.safe_load(old), yaml.safe_load(new))


def _json(old: bytes, new: bytes) -> str | None:
    if old == new:
        return None
    left, right = json.loads(old), json.loads(new)
    cards = [_without_file(one) if isinstance(one, dict) else False for one in (left, right)]
    found = first_difference(left, right)
    if found is None and not all(cards):
        return "the same values, written in another way"
    return found


def _without_file(content: dict[str, Any]) -> bool:
    """Take off what says how a result was made and not what it is; whether there was any.

    The checkpoint's hash covers the order of its settings, and its tensors are compared anyway.
    """
    versions = content.pop("versions", None)
    checkpoint = content.get("checkpoint")
    if isinstance(checkpoint, dict):
        checkpoint.pop("sha256", None)
    elif isinstance(checkpoint, str):
        content.pop("checkpoint")
    return versions is not None or checkpoint is not None


def _logs(old: bytes, new: bytes) -> str | None:
    return first_difference(log_lines(old), log_lines(new), "entry ")


def log_lines(content: bytes) -> list[dict[str, Any]]:
    """The lines of a log without times, each step and each epoch's scores once, the last."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for text in content.decode().splitlines():
        line = {key: value for key, value in json.loads(text).items() if key not in TIMED}
        kind = next((name for name in ("metrics", "skipped") if name in line), "step")
        found[kind, line.get("epoch"), line.get("step")] = line
    return list(found.values())


def _npz(old: Path, new: Path) -> str | None:
    with np.load(old) as left, np.load(new) as right:
        if sorted(left) != sorted(right):
            return f"arrays {_short(sorted(left))} / {_short(sorted(right))}"
        found = (_arrays(left[name], right[name], f"{name}: ") for name in sorted(left))
        return next((one for one in found if one is not None), None)


def _jpeg(old: Path, new: Path) -> str | None:
    left, right = (cv2.imread(str(one), cv2.IMREAD_UNCHANGED) for one in (old, new))
    if left is None or right is None:
        return "is no picture"
    return _arrays(left, right, "pixels: ")


def _videos(old: Path, new: Path) -> str | None:
    left, right = list(_frames(old)), list(_frames(new))
    if len(left) != len(right) or not left:
        return f"{len(left)} frames / {len(right)}"
    pairs = enumerate(zip(left, right, strict=True))
    found = (_arrays(*pair, f"frame {number}: ") for number, pair in pairs)
    return next((one for one in found if one is not None), None)


def _frames(path: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    while (read := capture.read())[0]:
        yield np.asarray(read[1])
    capture.release()


def _networks(old: Path, new: Path) -> str | None:
    """Compare two ONNX files by what they take, what they say, and what they make of noise."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [
        onnxruntime.InferenceSession(str(one), options, providers=["CPUExecutionProvider"])
        for one in (old, new)
    ]
    said = [
        [(one.name, one.type, one.shape) for one in (*session.get_inputs(), *session.get_outputs())]
        + [_described(session.get_modelmeta().custom_metadata_map)]
        for session in sessions
    ]
    found = first_difference(said[0], said[1], "interface")
    if found is not None:
        return found
    entry = sessions[0].get_inputs()[0]
    results = [session.run(None, {entry.name: _noise(entry)}) for session in sessions]
    for output, left, right in zip(sessions[0].get_outputs(), *results, strict=True):
        found = _arrays(left, right, f"output {output.name}: ")
        if found is not None:
            return found
    return None


def _described(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What a network's file says of it."""
    said = {key: json.loads(value) for key, value in metadata.items() if key == "description"}
    for description in said.values():
        _without_file(description)
    return {**metadata, **said}


def _noise(entry: Any) -> np.ndarray:
    """A fixed random input: two pictures of bytes, or two recordings."""
    free = _SIDE if len(entry.shape) == 4 else _SAMPLES
    sizes = [size if isinstance(size, int) else free for size in entry.shape]
    sizes[0] = 2 if not isinstance(entry.shape[0], int) else sizes[0]
    generator = np.random.default_rng(0)
    if entry.type == "tensor(uint8)":
        return generator.integers(0, 256, sizes, dtype=np.uint8)
    return generator.normal(0, 0.1, sizes).astype(np.float32)


_OF_BYTES = {".json": _json, ".jsonl": _logs, ".yaml": _yaml}
_OF_FILES = {
    ".pt": _checkpoints, ".npz": _npz, ".jpg": _jpeg, ".mp4": _videos, ".onnx": _networks,
}  # fmt: skip
