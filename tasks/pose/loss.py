"""The training loss of the heat maps."""

from torch import Tensor


def heatmap_loss(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Half the mean squared error between heat maps whose joints are weighted.

    Equals (1 / J) * sum over joints of 0.5 * MSE(w * predicted, w * target), the loss of the
    published SimpleBaseline: invisible joints (weight 0) count in the mean as zero error.

    Args:
        predicted: (B, J, h, w), any float type; the loss is taken in float32.
        target: (B, J, h, w), peaks of height 1.
        weights: (B, J), 0 for a joint without supervision and 1 otherwise.

    Returns:
        The scalar loss, not negative.
    """
    error = (predicted.float() - target) * weights[..., None, None]
    return 0.5 * error.square().mean()
