"""Who follows the description of the exported file gets the features that evaluate compares."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tasks.reid.config import Config, ScoringConfig
from tasks.reid.data import ScoringSet
from tasks.reid.export import graph
from tasks.reid.inference import embed
from tasks.reid.model import build
from tests.tasks.reid import small
from tests.test_deployed_tasks import SLIM, randomise


@pytest.mark.parametrize("normalize", [True, False])
def test_the_description_leads_to_the_features_of_evaluate(tmp_path, normalize):
    test = ScoringConfig(flip=True, normalize=normalize)
    config = Config(backbone=SLIM, data=replace(small.PLAIN, input_size=(64, 32)), test=test)
    torch.manual_seed(0)
    model = randomise(build(config.backbone, config.model))
    file = graph(config, model)
    path = small.save(tmp_path / "a.png", 3)
    whole = torch.from_numpy(ScoringSet((path,), config.data)[0]["image"])[None]
    with torch.inference_mode():
        expected = embed(model, whole, test)[0].numpy()
        assert "64 x 32" in file.description["images"]
        assert "Pillow's BILINEAR" in file.description["resize"]
        scaled = np.array(Image.open(path).resize((32, 64), Image.Resampling.BILINEAR))
        views = torch.from_numpy(np.stack([scaled, scaled[:, ::-1]])).permute(0, 3, 1, 2)
        features = file.module(views).numpy().mean(axis=0)
    text = file.description["mirrored"]
    assert text.startswith("a picture's features are the mean of its own and its mirror image's")
    assert ("length 1" in text) == normalize
    if normalize:
        features /= np.linalg.norm(features)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_what_evaluate_does_besides_is_named():
    def described(**test):
        config = Config(backbone=SLIM, test=ScoringConfig(**test))
        return graph(config, randomise(build(SLIM, config.model))).description

    assert described()["mirrored"] == "nothing"
    assert described()["distance"] == "squared Euclidean"
    both = described(expansion=3, rerank=True)["distance"]
    assert both.endswith("; evaluate adds query expansion by 3 and k-reciprocal re-ranking")
