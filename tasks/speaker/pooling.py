"""Layers that make one vector of all frames: statistics over time, plain or attentive.

Both have a floor under the root of the deviation: its gradient must stay finite where a channel is
silent throughout.
"""

import torch
from torch import Tensor, nn


class StatisticsPooling(nn.Module):
    """Mean and deviation over time of every channel at every frequency.

    Snyder et al., "X-vectors", ICASSP 2018. The deviation is sqrt(unbiased variance + floor).

    Args:
        channels: C of the features.
        height: F of the features, in bins that are left.
        floor: 1e-7 in WeSpeaker, 1e-8 in 3D-Speaker.
    """

    def __init__(self, channels: int, height: int, floor: float = 1e-7) -> None:
        super().__init__()
        self.floor = floor
        self.out_features = 2 * channels * height

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, 2 C F), all means first; T is at least 2."""
        # Sums over time need more digits than a forward pass in bfloat16.
        frames = features.flatten(1, 2).float()
        mean = frames.mean(-1, keepdim=True)
        # torch.var_mean over so short an axis takes twice as long.
        variance = (frames - mean).square().sum(-1) / (frames.shape[-1] - 1)
        return torch.cat((mean.squeeze(-1), (variance + self.floor).sqrt()), dim=1)


class AttentiveStatisticsPooling(nn.Module):
    """Mean and deviation over time under weights that the frames themselves decide.

    Okabe et al., Interspeech 2018, with a weight for each channel as in ECAPA-TDNN (Desplanques et
    al., Interspeech 2020), without its global context.

    Args:
        channels: C of the features.
        height: F of the features.
        floor: the least variance.
        bottleneck: hidden units of the attention.
    """

    def __init__(
        self, channels: int, height: int, floor: float = 1e-7, bottleneck: int = 128
    ) -> None:
        super().__init__()
        self.floor = floor
        self.out_features = 2 * channels * height
        self.hidden = nn.Conv1d(channels * height, bottleneck, 1)
        self.weights = nn.Conv1d(bottleneck, channels * height, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, 2 C F), all means first."""
        frames = features.flatten(1, 2)
        # tanh: with ReLU this attention does not train well.
        weights = self.weights(torch.tanh(self.hidden(frames))).float().softmax(dim=-1)
        frames = frames.float()
        mean = (weights * frames).sum(-1)
        variance = (weights * frames.square()).sum(-1) - mean.square()
        return torch.cat((mean, variance.clamp_min(self.floor).sqrt()), dim=1)
