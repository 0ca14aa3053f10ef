"""How every command ends: quietly, or with one line that says what to do."""

import sys
from collections.abc import Callable

from common.errors import UserError


def run(main: Callable[[], None], *expected: type[Exception]) -> None:
    """Call a command's main function; a user's mistake becomes one line and exit status 2.

    Args:
        main: the command.
        expected: further exceptions that are the user's to mend, such as `backbone.WeightsError`.
    """
    mistakes: tuple[type[Exception], ...] = (UserError, *expected)
    try:
        main()
    except mistakes as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
