"""Networks that several tasks put on a trunk."""
