"""Semantic segmentation: DeepLabV3+ and other decoders on a Res2Net backbone."""
