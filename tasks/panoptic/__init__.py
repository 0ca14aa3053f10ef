"""Panoptic segmentation: every pixel belongs to one thing or to one kind of stuff."""
