"""The check of a data set before training: what is in it, what is wrong, and how to mend it."""
