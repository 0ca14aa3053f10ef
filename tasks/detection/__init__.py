"""Object detection and instance segmentation: torchvision's detectors on a Res2Net backbone."""
