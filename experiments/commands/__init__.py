"""One story a command, read top to bottom."""
