"""Log mel filter bank energies as Kaldi's compute-fbank-feats gives them, in batch, in torch."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

RATE = 16_000
"""Samples a second of everything that this task computes with."""
WINDOW = 400
"""Samples of a frame: 25 ms."""
SHIFT = 160
"""Samples from frame to frame: 10 ms."""

Window = Literal["hamming", "povey"]
Channel = Literal["mean", "first"]
"""What a recording of several channels becomes."""

_FFT = 512
_PREEMPHASIS = 0.97
_LOWEST_HZ = 20.0
_EPSILON = torch.finfo(torch.float32).eps

SHORTEST = 0.5
"""Seconds: a recording that is shorter is repeated up to this length, as nets need some frames."""


def frames_of(samples: int) -> int:
    """Frames of so many samples; Kaldi's snip_edges: only whole windows count."""
    return max(0, 1 + (samples - WINDOW) // SHIFT)


def samples_of(frames: int) -> int:
    """The least number of samples that gives so many frames."""
    return WINDOW + (frames - 1) * SHIFT


class Fbank(nn.Module):
    """Waveforms at 16 kHz to log mel energies, with the mean over each utterance removed.

    Each frame loses its mean, is pre-emphasised by 0.97 and windowed; the power spectrum of 512
    points is summed by triangular filters, equally wide on the mel scale from 20 Hz to 8 kHz. No
    dither: it is random and belongs to the loader.

    Args:
        bins: mel filters.
        window: "hamming" (WeSpeaker) or "povey", Kaldi's own (3D-Speaker).
        scale: what a waveform of -1..1 is multiplied by: 32768 gives Kaldi's numbers for 16-bit
            samples (WeSpeaker), 1 leaves it (3D-Speaker). It moves the floor under the energies.
        remove_mean: subtract the utterance's mean from each bin; the variance stays.
    """

    window: Tensor
    mel: Tensor

    def __init__(
        self,
        bins: int = 80,
        window: Window = "hamming",
        scale: float = 32768.0,
        remove_mean: bool = True,
    ) -> None:
        super().__init__()
        self.bins, self.scale, self.remove_mean = bins, scale, remove_mean
        # Constants of the definition, so not part of the state dict.
        self.register_buffer("window", _window(window), persistent=False)
        self.register_buffer("mel", mel_filters(bins), persistent=False)

    def forward(self, waves: Tensor) -> Tensor:
        """Energies (B, bins, T) of waveforms (B, N), 16-bit integers or floats of -1..1.

        T is `frames_of(N)`.

        Raises:
            ValueError: N is shorter than a window.
        """
        if waves.shape[-1] < WINDOW:
            raise ValueError(f"{waves.shape[-1]} samples are less than a window ({WINDOW})")
        # Energies span more orders of magnitude than bfloat16 has digits for.
        with torch.autocast(waves.device.type, enabled=False):
            scale = self.scale / 32768 if waves.dtype == torch.int16 else self.scale
            frames = (waves.float() * scale).unfold(-1, WINDOW, SHIFT)
            frames = frames - frames.mean(-1, keepdim=True)
            before = torch.cat((frames[..., :1], frames[..., :-1]), dim=-1)
            frames = (frames - _PREEMPHASIS * before) * self.window
            spectrum = torch.fft.rfft(frames, _FFT)
            power = spectrum.real.square() + spectrum.imag.square()
            energies: Tensor = (power @ self.mel).clamp_min(_EPSILON).log()
            if self.remove_mean:
                energies = energies - energies.mean(1, keepdim=True)
        return energies.transpose(1, 2)


def mel_filters(bins: int) -> Tensor:
    """Weights (257, bins) of the triangular filters; the Nyquist frequency belongs to none."""
    low, high = _mel(_LOWEST_HZ), _mel(RATE / 2)
    edges = torch.linspace(low, high, bins + 2, dtype=torch.float64)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    hertz = torch.arange(_FFT // 2 + 1, dtype=torch.float64) * RATE / _FFT
    mel = (1127 * torch.log(1 + hertz / 700))[:, None]
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    weights = torch.minimum(rising, falling).clamp_min(0)
    weights[-1] = 0
    return weights.float()


def _mel(hertz: float) -> float:
    return 1127 * math.log(1 + hertz / 700)


def _window(kind: Window) -> Tensor:
    if kind == "hamming":
        return torch.hamming_window(WINDOW, periodic=False)
    # Kaldi's own: like Hamming's, but it reaches zero at the edges.
    return torch.hann_window(WINDOW, periodic=False).pow(0.85)
