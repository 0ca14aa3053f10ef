"""The page in the browser: one picture, one pass of the trunk, the answers of all loaded runs."""

import os

# Before the first import of torch, as in `tasks`.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
