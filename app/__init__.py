"""The page in the browser: one picture, one pass of the trunk, the answers of all loaded runs."""

import os

# Before the first import of torch, as in `tasks`.
if not (os.environ.get("GOMP_SPINCOUNT") or os.environ.get("OMP_WAIT_POLICY")):
    os.environ["GOMP_SPINCOUNT"] = "1000"
