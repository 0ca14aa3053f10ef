"""What the page shows of each task's answers: a file for each task that has more than a drawing."""
