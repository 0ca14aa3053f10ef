"""The flags of ``python -m app``: runs, address, and what a visitor may ask for."""

import ipaddress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from common.errors import UserError

MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    """What one visitor may ask for, and what all of them together may take."""

    upload_megabytes: float = 25.0
    """Largest upload: a picture, a recording, a clip, an archive."""
    megapixels: float = 25.0
    """Largest picture, in millions of pixels; known from the header, before it is decoded."""
    megavoxels: float = 40.0
    """Largest volume, in millions of voxels; known from the header, before it is decoded."""
    video_seconds: float = 30.0
    """Longest clip."""
    video_frames: int = 900
    """Most frames of a clip."""
    voice_seconds: float = 60.0
    """Longest recording of a voice."""
    archive_files: int = 200
    """Most files of an archive."""
    archive_megabytes: float = 200.0
    """Most that the files of an archive may take when they are unpacked."""
    waiting: int = 20
    """Jobs that may wait for their turn; one more is refused."""
    job_seconds: float = 300.0
    """Longest job; looked at between two heads, frames or files."""
    kept_megabytes: float = 512.0
    """Answers that are kept for sliders and downloads; the oldest make room."""
    kept_minutes: float = 30.0
    """Uploads and answers that are older are deleted."""

    def __post_init__(self) -> None:
        for one in fields(self):
            if not getattr(self, one.name) > 0:
                raise UserError(f"--limits.{one.name} is {getattr(self, one.name)}; it is above 0")

    @property
    def upload_bytes(self) -> int:
        """Bytes of the largest upload."""
        return int(self.upload_megabytes * MEGABYTE)


@dataclass(frozen=True, kw_only=True)
class AppConfig:
    """Show the answers of trained models in the browser."""

    runs: tuple[str, ...] = ()
    """Run directories and names of published models: the words that belong to no flag."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines in."""
    port: int = 7860
    """Port to listen on; 0 takes a free one."""
    password_file: Path | None = None
    """File whose first line is user:password, which every visitor is then asked for."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the models run."""
    backend: Literal["torch", "onnxruntime", "auto"] = "torch"
    """What runs trunks on a CPU: onnxruntime needs the extra `export`; auto takes the faster."""
    accept_licence: bool = False
    """Fetch a published model although its weights are not stated to be free for every use."""
    limits: LimitsConfig = LimitsConfig()

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UserError(f"--port is {self.port}; it is from 0 to 65535")

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the page."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def password(self) -> str | None:
        """The file's user:password; None without a file.

        Raises:
            UserError: the file cannot be read, or says something else.
        """
        if self.password_file is None:
            return None
        try:
            first = self.password_file.read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--password_file {self.password_file}: {error}") from error
        user, colon, password = first.partition(":")
        if not (user and colon and password):
            raise UserError(
                f"--password_file {self.password_file}: its first line is not user:password"
            )
        return first
