"""What training code wraps weights in, and which of several it leaves are taken."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from backbone.wrappings import unwrap

STATE = {"conv1.weight": torch.ones(2), "bn1.bias": torch.zeros(3)}
RAW = {key: value - 5 for key, value in STATE.items()}


def under(prefix, state=STATE):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    ("content", "averaged"),
    [
        (STATE, None),
        (under("module."), None),
        (under("_orig_mod."), None),
        (under("module._orig_mod."), None),
        (under("_orig_mod.module."), None),
        ({"conv1._orig_mod.weight": STATE["conv1.weight"], "bn1.bias": STATE["bn1.bias"]}, None),
        (under("_fsdp_wrapped_module."), None),
        ({"state_dict": under("_orig_mod."), "epoch": 3}, None),
        ({"model_state_dict": STATE, "loss": torch.tensor(0.3)}, None),
        ({"net": under("module."), "acc": 93.1}, None),
        ({"model": STATE, "model_ema": None}, None),
        ({"module": under("module."), "dp_world_size": 8}, None),
        ({**STATE, "epoch": 3, "best": None, 5: torch.ones(1)}, None),
        ({"state_dict": RAW, "state_dict_ema": STATE, "arch": "x"}, "state_dict_ema"),
        ({"state_dict": RAW, "state_dict_ema": under("module.")}, "state_dict_ema"),
        ({"ema": {"module": STATE, "updates": 7}, "model": RAW}, "ema"),
        ({"format": 1, "ema": STATE, "model": RAW}, "ema"),
        ({"format": 1, "ema": None, "model": STATE}, None),
        ({"model_state_dict": RAW, "ema_state_dict": STATE}, "ema_state_dict"),
        ({"message_hub": {}, "state_dict": STATE, "ema_state_dict": under("module.", RAW)}, None),
        ({"pytorch-lightning_version": "2.4", "state_dict": under("model.")}, None),
        (
            {
                "pytorch-lightning_version": "2.4",
                "state_dict": {**under("net._orig_mod."), "loss.weight": torch.ones(7)},
            },
            None,
        ),
    ],
)  # fmt: skip
def test_the_weights_are_found_under_their_own_names(content, averaged):
    found = unwrap(content)
    assert found.state.keys() == STATE.keys()
    assert all(torch.equal(found.state[key], STATE[key]) for key in STATE)
    assert found.averaged == averaged


def test_the_average_that_torchvision_keeps():
    model = nn.Linear(2, 1)
    average = AveragedModel(nn.DataParallel(model))
    average.update_parameters(model)
    content = {"model": RAW, "model_ema": average.state_dict(), "scaler": {"scale": 1.0}}
    found = unwrap(content)
    assert found.averaged == "model_ema"
    assert found.state.keys() == {"weight", "bias"}


@pytest.mark.parametrize(
    "content", [None, 3, [STATE], {}, {"state_dict": None}, {"optimizer": STATE}, {"ema": {}}]
)
def test_where_there_are_no_weights_none_are_found(content):
    assert unwrap(content) == ({}, None, None)


def test_a_layer_with_the_name_of_a_prefix_stays():
    state = {"model.weight": torch.ones(1), "head.weight": torch.ones(1)}
    assert unwrap(state).state.keys() == state.keys()
