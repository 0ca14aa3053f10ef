"""Depth from one picture."""
