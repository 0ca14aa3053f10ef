"""Errors that are reported to the user in one line."""


class UserError(ValueError):
    """A mistake of the user: names the flag or file, what was found and what is allowed."""


class DamagedFile(UserError):
    """A file of the data set that cannot be read. The message begins with the file's path."""
