"""The one kind of failure that a user sees."""

from __future__ import annotations

from pathlib import Path


class ExportError(Exception):
    """An export that cannot be done; its message is one sentence with the way out."""


def reason_of(error: BaseException, most: int = 70) -> str:
    """The first line of what another program says of its failure, cut to fit into a sentence."""
    return _cut((str(error).strip() or type(error).__name__).splitlines()[0], most)


def last_reason_of(error: BaseException, most: int = 70) -> str:
    """The last line, where libtorch has it."""
    return _cut((str(error).strip() or type(error).__name__).splitlines()[-1], most)


def _cut(line: str, most: int) -> str:
    line = line.replace(str(Path.home()), "~").strip().rstrip(".:")
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
