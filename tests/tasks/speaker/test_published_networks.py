"""The published networks against outputs of their authors' code, and each rule of theirs."""

import copy
import gzip
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from backbone import MODELS, WeightsError, load
from benchmarks.golden import speaker
from benchmarks.golden.compare import BAR, difference, weights_of
from common.commands import trained
from tasks.speaker.eres2net import FusedStages, Gate
from tasks.speaker.wespeaker import SplitBlock

RECORDED = json.loads(gzip.decompress((Path(__file__).parent / "published.json.gz").read_bytes()))
"""Made from the authors' code with weights that depend on names alone (`compare.weights_of`)."""
RULED = "3dspeaker_eres2net_voxceleb"


@pytest.mark.parametrize("name", RECORDED)
def test_a_network_gives_what_was_recorded(name):
    found = speaker.outcome(name, RECORDED[name], weights_of(RECORDED[name]))
    assert found.passed, found.text


@pytest.mark.parametrize("name", ["3dspeaker_eres2net_voxceleb", "3dspeaker_eres2netv2"])
def test_a_trunk_takes_its_part_of_a_published_file(name, tmp_path):
    state = weights_of(RECORDED[name])
    torch.save(state, tmp_path / "published.ckpt")
    own = speaker.network(name, state).backbone
    fresh = copy.deepcopy(own)
    for tensor in fresh.state_dict().values():
        tensor.zero_()
    trained.load_trunk(fresh, str(tmp_path / "published.ckpt"))
    assert all(torch.equal(a, b) for a, b in zip(own.parameters(), fresh.parameters(), strict=True))
    with pytest.raises(WeightsError, match="made for another network"):
        load(MODELS["res2net50_26w_4s"](), tmp_path / "published.ckpt")


@pytest.fixture(scope="module")
def ruled():
    return speaker.network(RULED, weights_of(RECORDED[RULED]))


def uncut(model, _):
    for block in model.modules():
        if isinstance(block, SplitBlock):
            block.activation = nn.ReLU()


def added(_, monkeypatch):
    monkeypatch.setattr(SplitBlock, "joined", lambda block, place, a, b: a + b)
    monkeypatch.setattr(Gate, "forward", lambda gate, a, b: a + b)


def gate_of_swapped_maps(_, monkeypatch):
    gated = Gate.forward
    monkeypatch.setattr(Gate, "forward", lambda gate, a, b: gated(gate, b, a))


def unfused(_, monkeypatch):
    monkeypatch.setattr(FusedStages, "forward", lambda fusion, plain: plain)


def one_chunk_passes(model, _):
    for block in model.modules():
        if isinstance(block, SplitBlock):
            block.convs, block.bns = block.convs[:-1], block.bns[:-1]


def stride_in_the_last_convolution(model, _):
    for block in model.modules():
        if isinstance(block, SplitBlock):
            block.conv1.stride, block.conv3.stride = (1, 1), block.conv1.stride


def bins_before_channels(model, monkeypatch):
    pooled = model.pooling.forward
    monkeypatch.setattr(model.pooling, "forward", lambda x: pooled(x.transpose(1, 2)))


def deviations_before_means(model, monkeypatch):
    pooled = model.pooling.forward
    monkeypatch.setattr(
        model.pooling, "forward", lambda x: torch.cat(pooled(x).chunk(2, dim=1)[::-1], dim=1)
    )


@pytest.mark.parametrize(
    "broken",
    [
        uncut, added, gate_of_swapped_maps, unfused, one_chunk_passes,
        stride_in_the_last_convolution, bins_before_channels, deviations_before_means,
    ],
)  # fmt: skip
def test_every_rule_decides(ruled, broken, monkeypatch):
    model = copy.deepcopy(ruled)
    broken(model, monkeypatch)
    assert difference([speaker.embeddings(model)], RECORDED[RULED]["outputs"]) > 10 * BAR


def test_the_floor_decides():
    name = "3dspeaker_res2net"
    model = speaker.network(name, weights_of(RECORDED[name]))
    apart = []
    for floor in (1e-8, 1e-7):
        model.pooling.floor = floor
        apart.append(difference([speaker.embeddings(model)], RECORDED[name]["outputs"]))
    assert apart[0] < 3e-6 < 1e-5 < apart[1]
