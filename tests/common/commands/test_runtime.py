"""A trunk by onnxruntime: the same features, one file for all heads on it, and what is refused."""

import json

import pytest
import torch
from torch import nn

from backbone import Trunk, res2net
from common.commands import export, runtime
from common.commands.opened import opened
from common.commands.runtime import RuntimeTrunk
from common.commands.settings import TrainedFlags
from common.commands.trained import Trained
from common.errors import UserError
from tests.test_deployed_tasks import randomise

CPU = torch.device("cpu")


class Net(nn.Module):
    """A trunk, and the mean of each feature of its last stage."""

    def __init__(self):
        super().__init__()
        self.backbone = res2net((2, 1, 1, 1), width=16, scale=3)

    def forward(self, x):
        return self.backbone(x).c5.mean(dim=(2, 3))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return randomise(Net())


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def open_net(model, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("RES2NET_CACHE", str(cache))
    (tmp_path / "best.pt").write_bytes(b"weights")
    weights = Trained(tmp_path / "best.pt", model.state_dict(), 3)
    return lambda **flags: opened(TrainedFlags(**flags), Net(), weights, lambda *_: "", CPU)


def test_the_features_are_those_of_pytorch_at_any_size(open_net, cache):
    found, plain = open_net(backend="onnxruntime"), open_net()
    assert isinstance(found.layers.backbone, RuntimeTrunk) and isinstance(
        found.model.backbone, Trunk
    )
    assert found.layers.backbone.strides == found.model.backbone.strides
    for size in ((2, 3, 64, 64), (1, 3, 97, 61)):
        x = torch.randn(size)
        for one, other in zip(found.trunk(x), plain.trunk(x), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
        with found.running():
            torch.testing.assert_close(found.network(x), plain.network(x), rtol=1e-4, atol=1e-4)
    assert found.backend == "onnxruntime" and plain.backend == "torch"
    (file,) = (cache / "onnx").glob("*.onnx")
    written = file.stat().st_mtime_ns
    assert json.loads(file.with_suffix(".json").read_text())["largest_difference"] < 1e-4
    open_net(backend="onnxruntime")
    assert file.stat().st_mtime_ns == written, "another head on the trunk takes the same file"


def test_a_damaged_file_is_named(open_net, cache):
    open_net(backend="onnxruntime")
    (file,) = (cache / "onnx").glob("*.onnx")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=rf"{file}: onnxruntime cannot read it.*remove it"):
        open_net(backend="onnxruntime")
    file.write_bytes(content)


@pytest.mark.parametrize(
    "flags", [{"precision": "bf16"}, {"deploy": False}, {"compile": True}], ids=str
)
def test_what_it_cannot_do_is_refused(open_net, flags):
    with pytest.raises(UserError, match="--backend onnxruntime: runs a deployed trunk in fp32"):
        open_net(backend="onnxruntime", **flags)


def test_auto_takes_what_was_measured_to_be_faster(open_net, monkeypatch, capsys):
    for capability, installed, wanted in (
        ("AVX2", True, "onnxruntime"),
        ("AVX2", False, "torch"),
        ("AVX512", True, "torch"),
        ("DEFAULT", True, "torch"),
    ):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda one=capability: one)
        packages = ("onnxruntime",) if installed else ("no_such_package",)
        monkeypatch.setattr(export, "_PACKAGES", packages)
        assert open_net(backend="auto").backend == wanted
        assert f"--backend auto: {wanted}" in capsys.readouterr().err
    assert runtime.fastest(torch.device("cuda")) == "torch"


def test_the_package_that_is_missing_is_named(open_net, monkeypatch):
    monkeypatch.setattr(export, "_PACKAGES", ("no_such_package",))
    with pytest.raises(UserError, match=r"needs no_such_package.*\[export\]"):
        open_net(backend="onnxruntime")
