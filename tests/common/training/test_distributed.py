import json

import pytest
import torch

from common.errors import UserError
from common.training import distributed
from common.training.distributed import World


def test_collectives_on_two_ranks(zygote, tmp_path):
    job = zygote.run("collectives", tmp_path / "output", 2, out=str(tmp_path), lengths=[])
    assert job == [0, 0], (tmp_path / "output").read_text()
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["gather"] == [0, "x", 1, "x"]
    assert second["gather"] == []
    for rank in (first, second):
        assert rank["share"] == {"rank": 0}
        assert rank["from_main"] == 0
        assert rank["refused"] == "refused: rank 0 says no"
        assert rank["any"] is True
        assert rank["none"] is False
        assert rank["mean"] == [0.5]
        assert rank["buffer"] == [1.0, 1.0]


def test_alone():
    world = distributed.start("cpu")
    assert world == World()
    assert world.main
    assert distributed.gather([1, 2], world) == [1, 2]
    assert distributed.share("x", world) == "x"
    assert distributed.from_main(lambda: "x", world) == "x"
    assert distributed.any_true(True, world)
    assert not distributed.any_true(False, world)
    distributed.barrier(world)
    distributed.stop()


def test_unknown_device():
    with pytest.raises(UserError, match=r"--engine\.device tpu: allowed are auto, cpu and cuda"):
        distributed.start("tpu")


def test_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"--engine\.device cuda: this machine has no"):
        distributed.start("cuda")
    assert distributed.start("auto").device.type == "cpu"


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(UserError, match="more processes than this machine has GPUs"):
        distributed.start()
