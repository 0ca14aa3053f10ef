"""How every command ends: quietly, or with one line that says what to do."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from common.errors import UserError

# Of the file system and not of the program, and each names its file.
_FILES = FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError


def run(main: Callable[[], None], *expected: type[Exception]) -> None:
    """Call a command's main function; a user's mistake becomes one line and exit status 2.

    So does a file or folder that the system refuses, wherever that shows. Ctrl-C ends a command
    without a word, with the status 130 of shells.

    Args:
        main: the command.
        expected: further exceptions that are the user's to mend, such as `backbone.WeightsError`.
    """
    mistakes: tuple[type[Exception], ...] = (UserError, *expected)
    try:
        main()
    except mistakes as error:
        _end(str(error))
    except _FILES as error:
        if error.filename is None:
            raise
        _end(f"{error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _end(message: str) -> NoReturn:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
