"""Organs and tumours on CT: volumes in, volumes out."""
