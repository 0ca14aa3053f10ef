"""Who follows the description of the exported file finds the joints that predict finds."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tasks.pose.boxes import Box
from tasks.pose.config import Config, DataConfig, ScoringConfig
from tasks.pose.export import graph
from tasks.pose.metrics import decode
from tasks.pose.model import build
from tasks.pose.predict import PredictConfig
from tests.tasks.pose import small
from tests.tasks.pose.oracle import find_people
from tests.test_deployed_tasks import SLIM, randomise

BOX = (41.0, 22.5, 50.0, 70.0)
WIDTH, HEIGHT = 64, 64


def crop_of(picture, description, unbiased):
    """The crop by the description's words, and the matrix (2, 3) of a place in it by size."""
    x, y, width, height = BOX
    centre = np.array([x + width / 2, y + height / 2])
    width, height = max(width, height * WIDTH / HEIGHT), max(height, width * HEIGHT / WIDTH)
    extent = np.array([width, height]) * description["padding"]

    def matrix(across, down):
        if unbiased:
            scale = np.array([(across - 1) / extent[0], (down - 1) / extent[1]])
            middle = np.array([(across - 1) / 2, (down - 1) / 2])
        else:
            scale, middle = np.full(2, across / extent[0]), np.array([across / 2, down / 2])
        return np.column_stack([np.diag(scale), middle - scale * centre])

    return cv2.warpAffine(picture, matrix(WIDTH, HEIGHT), (WIDTH, HEIGHT)), matrix


@pytest.mark.parametrize("coding", ["unbiased", "published"])
@pytest.mark.parametrize("flip", [True, False])
def test_the_description_leads_to_the_joints_of_predict(coding, flip):
    data = DataConfig(coding=coding, padding=1.2, sigma=1.5, input_size=(HEIGHT, WIDTH))
    config = Config(data=data, test=ScoringConfig(flip=flip))
    torch.manual_seed(0)
    model = randomise(build(SLIM, 17, (16, 16)))
    picture = np.asarray(small.picture(3))
    predicting = PredictConfig(data=data, test=config.test)
    found = find_people(model, picture, [Box(BOX, 1.0)], predicting)
    file = graph(config, model)
    description = file.description
    assert ("(W - 1)" in description["crop"]) == (coding == "unbiased")
    crop, matrix = crop_of(picture, description, coding == "unbiased")
    with torch.inference_mode():
        views = torch.from_numpy(np.stack([crop, crop[:, ::-1]])).permute(0, 3, 1, 2)
        own, mirrored = file.module(views).float()
        heatmaps = own
        if flip:
            order = list(range(len(own)))
            for left, right in description["flip_pairs"]:
                order[left], order[right] = right, left
            back = mirrored.flip(-1)[order]
            if "moved a pixel to the right" in description["mirrored"]:
                back[:, :, 1:] = back[:, :, :-1].clone()
            heatmaps = (own + back) / 2
        sigma = {"sigma": description["sigma"]} if coding == "unbiased" else {}
        points, _ = decode(heatmaps[None], coding == "unbiased", **sigma)
    square = np.vstack([matrix(WIDTH // 4, HEIGHT // 4), [0, 0, 1]])
    placed = np.column_stack([points[0].double().numpy(), np.ones(len(own))])
    joints = (placed @ np.linalg.inv(square).T)[:, :2]
    np.testing.assert_allclose(joints, found[0][0, :, :2], atol=0.05)


def test_the_joints_and_their_threshold_are_named():
    model = randomise(build(SLIM, 17, (16, 16)))
    config = Config(test=replace(ScoringConfig(), joint_threshold=0.3))
    description = graph(config, model).description
    assert description["joints"][0] == "nose"
    assert description["joint_threshold"] == 0.3
