"""The error of everything that has to do with weights, and how it quotes others."""


class WeightsError(ValueError):
    """Weights that cannot be had or do not fit; one line says what was found and what to do."""


def one_line(error: Exception) -> str:
    """What another package says of an error, short enough for a message of one line."""
    return str(error).strip().partition("\n")[0][:100]
