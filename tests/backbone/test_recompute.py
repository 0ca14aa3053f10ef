"""Computing activations again in the backward pass changes memory and time, and nothing else."""

import pytest
import torch

from backbone import MODELS, res2net

SMALL = (1, 1, 1, 1)


def gradients(trunk, x):
    trunk.train()
    sum(feature.square().mean() for feature in trunk(x)).backward()
    return [parameter.grad for parameter in trunk.parameters()]


@pytest.mark.parametrize("stages", [(1,), (2, 4), (1, 2, 3, 4)])
def test_weights_and_statistics_learn_the_same(stages):
    torch.manual_seed(0)
    kept = res2net(SMALL, width=16)
    again = res2net(SMALL, width=16, recomputed=stages)
    again.load_state_dict(kept.state_dict())
    x = torch.randn(2, 3, 64, 64)
    for _ in range(2):
        pairs = zip(gradients(kept, x), gradients(again, x), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    after = zip(kept.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in after)
    assert again.bn1.momentum == again.layer1[0].bn1.momentum == 0.1


def test_it_keeps_less():
    def saved(trunk):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda one: sizes.append(one.numel()) or one, lambda one: one
        ):
            trunk.train()(x)
        return sum(sizes)

    x = torch.randn(1, 3, 64, 64)
    kept = saved(res2net(SMALL, width=16))
    assert saved(res2net(SMALL, width=16, recomputed=(1, 2, 3, 4))) < 0.5 * kept


def test_dla_too():
    torch.manual_seed(0)
    kept = MODELS["dla60_res2next"]()
    again = MODELS["dla60_res2next"](recomputed=(2, 3))
    again.load_state_dict(kept.state_dict())
    x = torch.randn(2, 3, 32, 32)
    pairs = zip(gradients(kept, x), gradients(again, x), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_wrong_stages_are_named():
    with pytest.raises(ValueError, match=r"recomputed is \(0, 1\); needed: stages from 1 to 4"):
        res2net(SMALL, recomputed=(0, 1))
