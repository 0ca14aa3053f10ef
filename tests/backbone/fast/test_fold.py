"""BatchNorm is folded wherever it provably follows a layer, and nowhere else."""

import pytest
import torch
from torch import nn

from backbone import deploy
from backbone.fast.fold import FoldedLinear
from tests.backbone.fast.test_deploy import agree, norms, randomised


def head(*layers):
    return randomised(nn.Sequential(*layers))


HEADS = {
    "conv, bias": (head(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU()), (2, 4, 9, 9)),
    "conv transposed": (
        head(nn.ConvTranspose2d(4, 6, 4, 2, 1, bias=False), nn.BatchNorm2d(6)),
        (2, 4, 9, 9),
    ),
    "grouped, transposed": (
        head(nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)),
        (2, 4, 9, 9),
    ),
    "conv1d": (head(nn.Conv1d(4, 6, 3, padding=1), nn.BatchNorm1d(6)), (2, 4, 9)),
    "conv3d": (head(nn.Conv3d(2, 3, 3), nn.BatchNorm3d(3), nn.ReLU()), (1, 2, 5, 6, 7)),
    "linear": (head(nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False)), (5, 4)),
    "depthwise": (
        head(nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 1)), nn.BatchNorm2d(8)),
        (2, 4, 9, 9),
    ),
    "same, reflected": (
        head(
            nn.Conv2d(4, 4, 3, padding="same"),
            nn.BatchNorm2d(4),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
            nn.BatchNorm2d(4),
        ),
        (2, 4, 9, 9),
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_folded(name):
    module, size = HEADS[name]
    fast, x = deploy(module), torch.randn(size)
    assert not norms(fast)
    with torch.inference_mode():
        agree([fast(x)], [module(x)])


class Shared(nn.Module):
    """One convolution before two norms; only folding neither is right."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4)])

    def forward(self, x):
        return [norm(self.conv(x)) for norm in self.norms]


class Tapped(nn.Module):
    """The convolution's result is used besides."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU()

    def forward(self, x):
        features = self.conv(x)
        return [self.relu(self.norm(features)), features]


class Between(Tapped):
    """Something comes between the two."""

    def forward(self, x):
        return [self.norm(self.conv(x).tanh())]


class Levels(Tapped):
    """One head for several levels; its two layers always follow each other."""

    def forward(self, x):
        return [self.relu(self.norm(self.conv(level))) for level in (x, 2 * x)]


class Branching(nn.Module):
    """Cannot be traced as a whole; its parts can."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.tail, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        if x.sum() > 0:
            return [self.norm(self.tail(self.body(x)))]
        return [self.norm(self.body(x)), self.tail(x)]


@pytest.mark.parametrize(
    ("kind", "left"), [(Shared, 2), (Tapped, 1), (Between, 1), (Levels, 0), (Branching, 1)]
)
def test_only_what_provably_follows_is_folded(kind, left):
    module = randomised(kind())
    fast = deploy(module)
    assert len(norms(fast)) == left
    with torch.inference_mode():
        for x in (torch.rand(2, 4, 8, 8), -torch.rand(2, 4, 8, 8)):
            agree(fast(x), module(x))


def test_a_layer_in_two_places_is_not_folded():
    conv, norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
    module = randomised(nn.ModuleList([nn.Sequential(conv, norm), nn.Sequential(conv)]))
    assert len(norms(deploy(module))) == 1


def test_a_folded_linear_layer_refuses_what_it_would_get_wrong():
    fast = deploy(HEADS["linear"][0])
    assert isinstance(fast[0], FoldedLinear)
    with pytest.raises(ValueError, match=r"inputs \(B, C\); found \(2, 6, 4\)"):
        fast(torch.rand(2, 6, 4))


class ReadsItsWeight(nn.Module):
    """Calls a layer before a BatchNorm, and reads the layer's weight beside it."""

    def __init__(self):
        super().__init__()
        self.a, self.n = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.n(self.a(x)) + nn.functional.conv2d(x, self.a.weight, padding=1)


class Tokens(nn.Module):
    """A BatchNorm over tokens and not over what the linear layer before it puts out."""

    def __init__(self):
        super().__init__()
        self.a, self.n = nn.Linear(8, 5), nn.BatchNorm1d(3)

    def forward(self, x):
        return self.n(self.a(x))


@pytest.mark.parametrize(
    ("module", "shape"),
    [(ReadsItsWeight, (2, 3, 9, 9)), (Tokens, (2, 3, 8))],
    ids=["read", "tokens"],
)
def test_what_must_not_be_folded_stays(module, shape):
    trained = randomised(module())
    x = torch.randn(shape)
    fast = deploy(trained)
    assert len(norms(fast)) == 1
    agree([fast(x)], [trained(x)])


def test_hooks_are_kept():
    module = head(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    seen = []
    module[0].register_forward_hook(lambda *_: seen.append(1))
    fast = deploy(module)
    fast(torch.rand(1, 4, 8, 8))
    assert seen and len(norms(fast)) == 1
