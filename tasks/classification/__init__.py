"""Image classification: where backbone weights come from, and what a backbone looks at."""
