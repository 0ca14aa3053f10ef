"""How every command ends: quietly, or with one line that says what to do."""

import errno
import io
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from backbone.errors import WeightsError
from common.errors import UserError

# Of the file system and not of the program, and each names its file.
_FILES = FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError


def run(main: Callable[[], None]) -> None:
    """Call a command's main function; a user's mistake becomes one line and exit status 2.

    So does a file or folder that the system refuses, wherever that shows. Ctrl-C, and a reader of
    the output that goes away, end a command without a message, with the status of shells.

    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files need not be text
    try:
        main()
        sys.stdout.flush()
    except (UserError, WeightsError) as error:
        _end(str(error))
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        named = isinstance(error, _FILES) or error.errno == errno.ENAMETOOLONG
        if error.filename is None or not named:
            raise
        _end(f"{error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _reader_is_gone() -> bool:
    """Whether it is the output that broke, as in `evaluate | head`; the rest then goes nowhere."""
    if not hasattr(select, "poll"):  # Windows, where a pipe that breaks is an OSError of its own
        return False
    state = select.poll()
    state.register(sys.stdout.fileno(), 0)
    if not state.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _end(message: str) -> NoReturn:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
