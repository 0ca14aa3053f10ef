"""What train leaves of a model in its run directory, for runs of untrained networks."""

from common.commands import config
from common.training import checkpoint


def write(folder, settings, model):
    """The config, and the best and the last checkpoint, of epochs 3 and 5."""
    config.save(settings, folder / "config.yaml")
    for name, epoch in (("best", 3), ("last", 5)):
        checkpoint.save(
            folder / f"{name}.pt",
            {
                "format": checkpoint.FORMAT,
                "model": model.state_dict(),
                "ema": None,
                "progress": {"epoch": epoch, "samples": 0, "step": 9, "best": 0.5},
                "config": config.to_yaml(settings),
            },
        )
