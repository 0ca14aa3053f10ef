"""The benchmark measures what it says, and says what it could not measure."""

import importlib
import json

import pytest
import torch

from benchmarks import backbone as benchmark
from benchmarks import timing
from benchmarks.timing import Measured

TINY = ["--variant", "res2net26_14w_4s_half", "--size", "32", "--batch", "1", "--rounds", "1"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A narrow net in ResNet-50's place; the measuring is the same."""
    from backbone import MODELS

    narrow = {**MODELS, "resnet50": MODELS["resnet26_half"]}
    monkeypatch.setattr(timing, "MODELS", narrow)


def test_inference_as_json(capsys):
    assert benchmark.main([*TINY, "--modes", "deployed", "--json"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert found["modes"]["deployed"].keys() == {"res2net26_14w_4s_half", "resnet50"}
    for one in found["modes"]["deployed"].values():
        assert one["milliseconds"] > 0 and one["memory"] is None
    assert (found["job"], found["precision"], found["batch"], found["size"]) == (
        "infer", "fp32", 1, 32,
    )  # fmt: skip
    assert torch.__version__ in found["hardware"]
    assert "timm has no res2net26_14w_4s_half" in output.err


def test_training_as_a_table(capsys):
    words = [
        *TINY,
        "--batch",
        "2",
        "--job",
        "train",
        "--modes",
        "channels last",
        "--clock",
        "processor",
    ]
    assert benchmark.main(words) == 0
    table = capsys.readouterr().out
    assert "train, fp32, batch 2, 32 x 32" in table and "processor clock, medians of 1" in table
    row = next(line for line in table.splitlines() if line.startswith("channels last"))
    assert all(float(number) > 0 for number in row.split()[2:])


def test_the_ratios_of_the_table():
    found = {
        "plain": {
            name: Measured(ms, None) for name, ms in (("r", 30), ("timm", 60), ("resnet50", 40))
        },
        "deployed": {"r": Measured(20.0, None), "resnet50": Measured(16.0, None)},
        "onnxruntime": {},  # has no figures on CUDA
    }
    text = benchmark.lines(found, "r")
    assert text[1].split() == ["plain", "30.0", "60.0", "40.0", "0.750"]
    assert text[2].split() == ["deployed", "20.0", "-", "16.0", "1.250"]
    assert text[3] == "best mode: r takes 1.250 of resnet50's time"
    assert text[5] == "deployed: 3.00 times as fast as timm's as it comes"


def test_what_a_gpu_is_asked_besides_the_time_stands_beneath():
    found = {
        "compiled": {"r": Measured(9.0, 700.0, 8.26), "resnet50": Measured(6.0, 600.0, 5.5)},
        "graphs": {"r": Measured(8.5, 0.0, 8.24), "resnet50": Measured(5.6)},
    }
    text = benchmark.lines(found, "r")
    assert [line.split() for line in text[1:6]] == [
        ["compiled", "9.0", "6.0", "1.500"],
        ["kernels", "8.3", "5.5"],
        ["peak", "MiB", "700", "600"],
        ["graphs", "8.5", "5.6", "1.518"],
        ["kernels", "8.2", "-"],
    ]
    assert text[6].startswith("best mode: r takes 1.518")


def test_modes_that_only_another_device_or_precision_has(capsys):
    words = [*TINY, "--job", "train", "--modes", "graphs"]
    assert benchmark.main(words) == 2
    assert capsys.readouterr().err == (
        "error: --modes graphs: --job train in fp32 on cpu has plain, channels last, compiled\n"
    )
    assert benchmark.main([*TINY, "--precision", "bf16", "--modes", "onnxruntime"]) == 2
    assert "in bf16 on cpu has plain, deployed, compiled" in capsys.readouterr().err
    gpu = timing.Setting("r", "train", "bf16", 1, 32, torch.device("cuda"), 1, lambda: 0.0)
    assert gpu.modes[-1] == "graphs"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--threads", "0"], "--threads 0: must be at least 1"),
        (["--threads", "-1"], "--threads -1: must be at least 1"),
        (["--job", "train", "--batch", "1", "--size", "32"], "--batch 1 at --size 32 leaves one"),
    ],
)
def test_what_cannot_be_measured_is_one_line(capsys, words, said):
    threads = torch.get_num_threads()
    assert benchmark.main([*TINY, "--modes", "plain", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert torch.get_num_threads() == threads


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_cuda_kernels_take_time_of_their_own(capsys):
    words = [*TINY, "--batch", "2", "--job", "train", "--device", "cuda", "--json"]
    assert benchmark.main([*words, "--modes", "channels last", "graphs"]) == 0
    found = json.loads(capsys.readouterr().out)["modes"]
    assert found.keys() == {"channels last", "graphs"}
    for row in found.values():
        for one in row.values():
            assert one["kernels"] > 0 and one["milliseconds"] > 0


def test_a_mode_that_is_not_installed(monkeypatch, capsys):
    monkeypatch.setattr(timing, "installed", lambda name: None)
    assert benchmark.main([*TINY, "--modes", "onnxruntime"]) == 2
    assert "error: --modes onnxruntime: nothing to measure" in capsys.readouterr().err


def test_a_training_step_updates_the_network():
    setting = timing.Setting(
        "res2net26_14w_4s_half", "train", "bf16", 2, 32, torch.device("cpu"), 1, lambda: 0.0
    )
    net = timing.MODELS[setting.variant]()
    before = net.conv1.weight.clone()
    timing.training(setting, net, "plain", torch.randn(2, 3, 32, 32))()
    assert not torch.equal(net.conv1.weight, before)


def test_what_is_not_installed_is_left_out(monkeypatch, capsys):
    real = importlib.import_module

    def missing(name):
        if name.startswith(("timm", "torchvision", "onnx")):
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    assert benchmark.main([*TINY, "--modes", "plain", "onnxruntime"]) == 0
    output = capsys.readouterr()
    assert "note: timm is not installed" in output.err
    assert "note: onnx is not installed" in output.err
    assert "timm" not in output.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--modes", "channels last"],
            "--modes channels last: --job infer in fp32 on cpu has",
        ),
        (["--batch", "0"], "must be at least 1"),
        (["--device", "cuda"], "PyTorch sees no GPU here; say --device cpu"),
    ],
)
def test_mistakes_are_named(words, message, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmark.main([*TINY, *words]) == 2
    assert message in capsys.readouterr().err
