"""Published networks against recorded outputs of their authors' own code."""
