"""An ONNX file is checked against PyTorch, and says what it is."""

import importlib
import json
import re

import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from common.commands import export
from common.commands.export import ExportFlags, Graph
from common.commands.trained import Trained
from common.errors import UserError


class Tiny(nn.Module):
    """Bytes in, two tensors out; sizes that the stride does not divide are rounded up."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(3)

    def forward(self, images):
        features = self.conv(images.float() / 255)
        return features, self.pool(features)


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "best.pt"
    file.write_bytes(b"weights")
    return Trained(file, {}, 3)


def graph(module, **changes):
    parts = {
        "module": module,
        "entry": "images",
        "results": ("features", "pooled"),
        "dynamic": export.PICTURES,
        "examples": export.pictures((32, 48), (17, 33), (64, 21)),
        "description": {"task": "toy", "images": "bytes, RGB"},
    }
    return Graph(**{**parts, **changes})


def test_the_file_takes_any_size_and_describes_itself(tmp_path, weights):
    torch.manual_seed(0)
    model, target = Tiny(), tmp_path / "out" / "tiny.onnx"
    target.parent.mkdir()
    target.with_suffix(".json").write_text('{"largest_difference": 0.5}')  # of an export before
    content = export.write(graph(model), target, weights)
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    images = torch.randint(0, 256, (5, 3, 40, 31), dtype=torch.uint8)
    features, mean = session.run(["features", "pooled"], {"images": images.numpy()})
    expected = model(images)
    torch.testing.assert_close(torch.from_numpy(features), expected[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(mean), expected[1], rtol=1e-4, atol=1e-5)
    stored = json.loads(target.with_suffix(".json").read_text())
    assert stored == content
    assert list(stored["differences"]) == ["2 x 3 x 32 x 48", "1 x 3 x 17 x 33", "3 x 3 x 64 x 21"]
    assert stored["largest_difference"] == max(stored["differences"].values()) < 1e-5
    assert stored["checkpoint"]["file"] == "best.pt" and stored["checkpoint"]["epoch"] == 3
    inside = {one.key: one.value for one in onnx.load(target).metadata_props}
    assert json.loads(inside["description"])["images"] == "bytes, RGB"
    assert not list(target.parent.glob("*.tmp"))
    require_portable(target, ["batch", 3, "height", "width"])
    assert content["least_onnxruntime"] == "1.17"


def require_portable(file, entry):
    """What onnxruntime 1.17 opens (its table of versions: IR 9, operators 20), and axes' names."""
    stored = onnx.load(file)
    assert stored.ir_version <= 9
    assert {one.domain: one.version <= 20 for one in stored.opset_import} == {"": True}
    (image,) = stored.graph.input
    assert [one.dim_param or one.dim_value for one in image.type.tensor_type.shape.dim] == entry
    for result in stored.graph.output:
        axes = [one.dim_param for one in result.type.tensor_type.shape.dim]
        assert axes[0] == "batch"
        assert not any(re.search(r"\bs\d+\b", axis) for axis in axes), axes


def test_a_file_that_computes_something_else_is_not_written(tmp_path, weights, monkeypatch):
    def other(_, path, __):
        """What a broken exporter would write: half of the output."""
        image = helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 3, 8, 8])
        result = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 3, 8, 8])
        cast = helper.make_node("Cast", ["images"], ["sum"], to=TensorProto.FLOAT)
        onnx.save(
            helper.make_model(helper.make_graph([cast], "other", [image], [result]), ir_version=10),
            path,
        )

    monkeypatch.setattr(export, "_export", other)
    broken = graph(Doubled(), results=("sum",), examples=[torch.ones(1, 3, 8, 8).byte()])
    with pytest.raises(UserError, match=r"differ by 0.5 of the largest output for an input of"):
        export.write(broken, tmp_path / "tiny.onnx", weights)
    assert not list(tmp_path.glob("tiny*"))


class Above(nn.Module):
    """The share of white of what is brighter than a threshold, which is a buffer."""

    def __init__(self, threshold):
        super().__init__()
        self.register_buffer("threshold", torch.tensor(threshold))

    def forward(self, images):
        share = images.float() / 255
        return share * (share > self.threshold)


def test_a_file_is_checked_with_other_buffers_too(tmp_path, weights, monkeypatch):
    """Above 1.0 there is nothing, in which nothing could differ."""
    varied = {"threshold": torch.tensor(0.25)}
    checked = graph(Above(1.0), results=("share",), varied=varied)
    content = export.write(checked, tmp_path / "above.onnx", weights)
    assert content["varied"]["threshold"] == 0.25
    assert content["varied"]["differences"].keys() == content["differences"].keys()
    session = onnxruntime.InferenceSession(tmp_path / "above.onnx")
    (found,) = session.run(None, {"images": checked.examples[0].numpy()})
    assert not found.any() and not checked.module(checked.examples[0]).any()

    def folded(_, path, __):
        """What a broken exporter would write: the buffer's value under no name of the module."""
        stored = onnx.load(tmp_path / "above.onnx")
        (value,) = (one for one in stored.graph.initializer if one.name == "threshold")
        value.name = "constant"
        for node in stored.graph.node:
            node.input[:] = ["constant" if one == "threshold" else one for one in node.input]
        onnx.save(stored, path)

    monkeypatch.setattr(export, "_export", folded)
    with pytest.raises(UserError, match=r"differ by 1 of the largest output for an input of"):
        export.write(checked, tmp_path / "folded.onnx", weights)
    assert not list(tmp_path.glob("folded*"))


def test_a_file_that_is_no_card_of_an_export_is_not_replaced(tmp_path, weights):
    scores = tmp_path / "metrics.json"
    scores.write_text('{"metrics": {}}')
    with pytest.raises(UserError, match=r"metrics.json: .* is not a card of an export"):
        export.write(graph(Tiny()), tmp_path / "metrics.onnx", weights)
    assert scores.read_text() == '{"metrics": {}}'
    assert not (tmp_path / "metrics.onnx").exists()


def test_no_output_may_be_nan(tmp_path, weights):
    broken = graph(Divided(), results=("half", "lost"), examples=export.pictures((8, 8), (9, 5)))
    with pytest.raises(UserError, match=r"differ by nan of the largest output"):
        export.write(broken, tmp_path / "tiny.onnx", weights)


class Divided(nn.Module):
    """Half of the bytes, and what is no number."""

    def forward(self, images):
        half = images.float() / 2
        return half, (half - half) / (half - half)


class Doubled(nn.Module):
    """Bytes in, twice their value out."""

    def forward(self, images):
        return images.float() * 2


def test_pools_of_any_size():
    x = torch.randn(2, 3, 17, 23)
    for size in (1, 3, (5, 4), (6, 1)):
        model = nn.Sequential(nn.AdaptiveAvgPool2d(size))
        expected = model(x)
        export.replace_pools(model)
        assert isinstance(model[0], export.AdaptiveAverage) == (size != 1)
        torch.testing.assert_close(model(x), expected)


def test_missing_packages_are_named(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"needs onnx, .* pip install '\.\[export\]'"):
        export.require_packages()


def test_the_flags():
    from pathlib import Path

    assert ExportFlags(file=(Path("a.onnx"),)).target == Path("a.onnx")
    with pytest.raises(UserError, match=r"OUT.onnx; found nothing"):
        _ = ExportFlags().target
    with pytest.raises(UserError, match=r"found a.pt"):
        _ = ExportFlags(file=(Path("a.pt"),)).target
    with pytest.raises(UserError, match="--precision bf16"):
        _ = ExportFlags(file=(Path("a.onnx"),), precision="bf16").target
    with pytest.raises(UserError, match="--deploy false: what is exported is always deployed"):
        _ = ExportFlags(file=(Path("a.onnx"),), deploy=False).target
