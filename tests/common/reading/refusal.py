"""What tests of readers ask of an error: one line with the words that matter."""

from collections.abc import Callable
from typing import Any

import pytest

from common.errors import UserError


def refused(words: str, call: Callable[..., Any], *arguments: Any) -> None:
    """Assert that a call raises a UserError whose one line has these words."""
    with pytest.raises(UserError) as caught:
        call(*arguments)
    line = str(caught.value)
    assert "\n" not in line
    assert words in line
