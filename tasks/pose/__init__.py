"""Human pose estimation: SimpleBaseline heat maps on a Res2Net backbone."""
