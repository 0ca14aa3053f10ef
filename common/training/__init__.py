"""The one training loop of all tasks, and the ranks, files and draws that it stands on."""
