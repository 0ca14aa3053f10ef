"""The tasks: each folder is independent of the others and has the same files."""
