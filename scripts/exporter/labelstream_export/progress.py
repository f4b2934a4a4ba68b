"""Lines that tell a user what a long export is doing."""

import sys


def say(line: str) -> None:
    """Prints one line to standard error."""
    print(f"export: {line}", file=sys.stderr, flush=True)
