"""The error of everything that has to do with weights."""


class WeightsError(ValueError):
    """Weights that cannot be had or do not fit; one line says what was found and what to do."""
