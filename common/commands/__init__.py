"""What every command does: read its flags, open a run, leave results, and end in one line."""
