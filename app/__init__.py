"""The page in the browser: one picture, one pass of the trunk, the answers of all loaded runs."""
