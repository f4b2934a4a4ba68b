"""Code that is not trusted runs in a process of its own, with bounds: a traced module is code."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from labelstream_export.errors import ExportError, reason_of

GIB = 1 << 30
# How PyTorch and Python say that there is none left.
NO_MEMORY = ("alloc_cpu", "memory")


@dataclass(frozen=True)
class Bounds:
    """What the process may take.

    Attributes:
        minutes: of time.
        memory: in GiB, beside what PyTorch takes by itself.
        disk: of each file that it writes, in bytes.
    """

    minutes: float
    memory: float
    disk: int


def run_apart(bounds: Bounds, what: str, function: Callable[..., None], *arguments: Any) -> None:
    """Runs a function in a process of its own.

    Args:
        what: names what is run, for the sentence.
        function: of a module, so that the process finds it.

    Raises:
        ExportError: the function did, or it took more than the bounds allow, or the process ended.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, bounds, function, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(bounds.minutes * 60):
            raise ExportError(
                f"{what} has not ended within {bounds.minutes:g} minutes: see what it does, or "
                "give it more with --traced-minutes"
            )
        problem = receiver.recv()
    except EOFError:
        process.join()
        raise ExportError(
            f"{what} ended its process (status {process.exitcode}): it may have needed more than "
            f"{bounds.memory:g} GiB (--traced-memory)"
        ) from None
    finally:
        process.kill()
        process.join()
        receiver.close()
    if problem is not None:
        raise ExportError(problem)


def _run(
    sender: Connection, bounds: Bounds, function: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    _limit(bounds)
    problem = None
    try:
        function(*arguments)
    except ExportError as error:
        problem = str(error)
    except MemoryError as error:
        problem = str(error) or "memory"
    except Exception as error:
        problem = (
            f"the archive's module could not be taken ({type(error).__name__}: "
            f"{reason_of(error)}): archive the checkpoint with save_mode pretrained"
        )
    if problem is not None and any(sign in problem for sign in NO_MEMORY):
        problem = (
            f"the archive's module needs more than {bounds.memory:g} GiB of memory: give it more "
            "with --traced-memory"
        )
    sender.send(problem)
    sender.close()


def _limit(bounds: Bounds) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    for kind, limit in (
        (resource.RLIMIT_DATA, _taken() + int(bounds.memory * GIB)),
        (resource.RLIMIT_FSIZE, bounds.disk),
    ):
        most = resource.getrlimit(kind)[1]
        if most == resource.RLIM_INFINITY or limit < most:
            resource.setrlimit(kind, (limit, most))


def _taken() -> int:
    """The memory for data that the process has already, in bytes; 0 where it is not told."""
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()[5]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
