import functools
import json
from unittest import mock

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from backbone import MODELS, WEIGHTS, table
from backbone.table import lines, main

measure = functools.cache(table.measure)

# Multiply-accumulates as published, in thousand millions. DLA-60 with Res2NeXt blocks is published
# with 3.6, but timm and we count 3.5.
PUBLISHED_GMACS = {
    "res2net50_48w_2s": 4.2,
    "res2net50_26w_4s": 4.2,
    "res2net50_26w_8s": 8.3,
    "res2net50_18w_4s": 2.9,
    "res2next50": 4.2,
    "res2net50_v1b": 4.5,
    "dla60_res2net": 4.2,
    "dla60_res2next": 3.5,
}


def by_torch(name: str) -> int:
    """PyTorch's own count of floating point operations, two for each multiply-accumulate."""
    with torch.device("meta"):
        trunk = MODELS[name]().eval()
        head = nn.Linear(trunk.channels.c5, 1000)
        # Norms are not counted, and take most of the time.
        norms = mock.patch.object(nn.BatchNorm2d, "forward", lambda _, x: x)
        with norms, FlopCounterMode(display=False) as counter:
            head(trunk(torch.empty(1, 3, 224, 224)).c5.mean((2, 3)))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(
    "name", ["res2net50_26w_4s", "res2next50", "dla60_res2net", "se_res2net50_v1b"]
)
def test_multiplications_are_counted_right(name):
    assert measure(name).macs == by_torch(name)


def test_resnet50_costs_what_everybody_says():
    assert measure("resnet50").macs == 4_089_184_256


@pytest.mark.parametrize(("name", "published"), PUBLISHED_GMACS.items())
def test_costs_are_the_published_ones(name, published):
    assert measure(name).macs / 1e9 == pytest.approx(published, abs=0.09)


def test_both_counts_of_dla():
    row = measure("dla60_res2net")
    assert (row.published_parameters, row.parameters) == (21_145_544, 20_848_072)
    row = measure("dla60_res2next")
    assert (row.published_parameters, row.parameters) == (17_330_456, 17_032_984)
    assert "17,330,456 / 17,032,984" in lines([row])[1]


def test_the_table_and_its_json_name_every_variant(monkeypatch, capsys):
    monkeypatch.setattr(table, "measure", measure)  # each variant once, for all tests
    assert main(["--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(MODELS)
    assert rows["res2net50_26w_4s"] == {
        "name": "res2net50_26w_4s",
        "parameters": 25_699_120,
        "published_parameters": 25_699_120,
        "macs": 4_255_166_464,
        "channels": [64, 256, 512, 1024, 2048],
        "strides": [2, 4, 8, 16, 32],
        "top1_error": 22.01,
        "top5_error": 6.15,
    }
    assert rows["res2net152_v1b"]["top1_error"] is None
    # Of several files the first: the paper's, and PaddlePaddle's before its distilled one.
    assert rows["res2net50_14w_8s"]["top5_error"] == 6.14
    assert rows["res2net50_v1b_summed"]["top1_error"] == 20.2


def test_the_published_files_are_listed_with_what_differs(capsys):
    assert main(["--weights"]) == 0
    lines = {line.partition(" ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines.keys() >= WEIGHTS.keys()
    for name, row in WEIGHTS.items():
        assert (" by hand " in lines[name]) is (row.sha256 is None)
        assert row.licence in lines[name] and (row.differs or "") in lines[name]


def test_lines_are_aligned():
    names = ("res2net26_14w_4s", "dla60_res2net", "res2net50_14w_8s_summed")
    rows = [measure(name) for name in names]
    text = lines(rows)
    assert len({len(line) for line in text}) == 1
    words = text[1].split()
    assert words[:3] == ["res2net26_14w_4s", "10,017,368", "1.43"]
    assert words[3:13] == [str(n) for n in (*rows[0].channels, *rows[0].strides)]
    assert words[13:] == ["-", "-"]
