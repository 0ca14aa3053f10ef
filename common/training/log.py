"""What a run says: log.jsonl, TensorBoard where it is installed, and the terminal."""

import contextlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from common.errors import UserError


class Log:
    """Writes a run's log, and shows a progress bar on a terminal or plain lines elsewhere.

    Only rank 0 makes a speaking one; on the others every method returns at once.

    Args:
        path: log.jsonl, which is continued.
        speaks: whether anything is written at all.
        total: samples of the whole run.
        done: samples trained before this process started.
        step: optimizer steps before it; what TensorBoard knows of later ones is taken back.
    """

    def __init__(self, path: Path, speaks: bool, total: int, done: int, step: int = 0) -> None:
        self.path = path
        self.speaks = speaks
        self.total = total
        self.done = done
        self._terminal = sys.stderr.isatty()
        if speaks:
            self._skipped = _skipped_in(path)
            self._file = path.open("a")
            self._events = _event_writer(path.parent, step)
            self._bar: tqdm[Any] = tqdm(
                total=total, initial=done, unit=" samples", disable=not self._terminal
            )
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leave the time since the last line out of samples_per_second."""
        self._since = (self.done, time.perf_counter())

    def advance(self, samples: int) -> None:
        """Count trained samples."""
        self.done += samples
        if self.speaks:
            self._bar.update(samples)

    def step(self, line: dict[str, Any]) -> None:
        """Write the line of a training step; adds samples_per_second."""
        if not self.speaks:
            return
        samples, begin = self._since
        rate = (self.done - samples) / max(time.perf_counter() - begin, 1e-9)
        self.restart_clock()
        self._write({**line, "samples_per_second": round(rate, 1)})
        self._scalars(line["step"], {"samples_per_second": rate, **line})
        self._bar.set_postfix_str(f"epoch {line['epoch']}, loss {line['loss']:.4g}", refresh=False)
        if not self._terminal:
            left = timedelta(seconds=round((self.total - self.done) / rate))
            print(
                f"epoch {line['epoch']} step {line['step']} loss {line['loss']:.4g} "
                f"{rate:.1f} samples/s, {left} left",
                flush=True,
            )

    def metrics(self, epoch: int, step: int, metrics: dict[str, float]) -> None:
        """Write the scores at the end of an epoch."""
        if self.speaks:
            self._write({"epoch": epoch, "metrics": metrics})
            self._scalars(step, metrics)
            scores = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            self.say(f"epoch {epoch} finished: {scores}")

    def skipped(self, step: int, epoch: int, reasons: list[str]) -> None:
        """Write which damaged files were replaced by other samples, each once."""
        if not self.speaks:
            return
        new = [reason for reason in dict.fromkeys(reasons) if reason not in self._skipped]
        self._skipped.update(new)
        if new:
            self._write({"step": step, "epoch": epoch, "skipped": new})
        for reason in new:
            self.say(f"skipped: {reason}")

    def say(self, text: str) -> None:
        """Print a line without tearing the progress bar."""
        if self.speaks:
            self._bar.clear()
            print(text, flush=True)
            self._bar.refresh()

    def __enter__(self) -> "Log":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.speaks:
            self._bar.close()
            with self._disk():
                self._file.close()
                if self._events is not None:
                    self._events.close()

    def _write(self, line: dict[str, Any]) -> None:
        with self._disk():
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    def _scalars(self, step: int, values: dict[str, Any]) -> None:
        if self._events is not None:
            with self._disk():
                for name, value in values.items():
                    if name not in ("step", "epoch", "samples"):
                        self._events.add_scalar(name, value, step)

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.path}: the log cannot be written: {error.strerror}. "
                f"Make room there, then go on with --resume"
            ) from error


def _event_writer(folder: Path, step: int) -> Any | None:
    """TensorBoard's writer, or None where tensorboard, an extra, is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)


def _skipped_in(path: Path) -> set[str]:
    """What a log says of damaged files, so that a run that goes on does not say it again."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    found = [json.loads(text).get("skipped", []) for text in lines if '"skipped"' in text]
    return {reason for reasons in found for reason in reasons}


def truncate(path: Path, step: int, epoch: int) -> None:
    """Drop the lines of a log that lie beyond a checkpoint, and a last line cut by a kill.

    Args:
        path: log.jsonl; it need not exist.
        step: optimizer steps that the checkpoint has seen.
        epoch: the epoch it is in: this one and later ones will be scored again.

    Raises:
        UserError: it cannot be rewritten.
    """
    if not path.exists():
        return
    try:
        lines = path.read_text(errors="replace").splitlines()
        rewritten = path.with_name(path.name + ".tmp")
        rewritten.write_text("".join(f"{t}\n" for t in lines if _lies_before(t, step, epoch)))
        os.replace(rewritten, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def _lies_before(text: str, step: int, epoch: int) -> bool:
    try:
        line = json.loads(text)
        if "metrics" in line:
            return bool(line["epoch"] < epoch)
        return bool(line["step"] <= step)
    except (json.JSONDecodeError, TypeError, LookupError):  # no line of this log
        return False
