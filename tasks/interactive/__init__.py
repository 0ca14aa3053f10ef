"""Interactive segmentation: clicks in, mask out."""
