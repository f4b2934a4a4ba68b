#!/usr/bin/env python3
"""Runs a command inside the virtual environment of Labelstream's Python tools.

    python3 scripts/exporter/bootstrap.py [--dev] [--bench] -- python ARGS...

The environment is the folder named by LABELSTREAM_VENV, else .venv in the repository. It is built
on first use, and its packages are installed again when a requirements file has changed. Only the
standard library is used here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
OLDEST_PYTHON, NEWEST_PYTHON = (3, 9), (3, 13)  # what the pinned torch is built for
USAGE = "usage: bootstrap.py [--dev] [--bench] -- COMMAND ARGS...   (COMMAND: python, pytest, ...)"


def say(line: str) -> None:
    """Prints one line of progress to standard error, which leaves standard output to the tool."""
    print(f"labelstream: {line}", file=sys.stderr, flush=True)


def environment_folder() -> Path:
    """The folder of the virtual environment, which need not exist yet."""
    return Path(os.environ.get("LABELSTREAM_VENV") or REPOSITORY / ".venv").absolute()


def ensure_environment(folder: Path, requirements: Sequence[Path]) -> None:
    """Builds the virtual environment and installs each requirements file, where not yet done.

    A stamp named by the file's hash says that it is installed. Exits with a sentence when the
    environment cannot be built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".labelstream.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two commands at once install one after the other
        for file in requirements:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
            stamp = folder / f".labelstream-{file.stem}-{digest}"
            if not stamp.exists():
                _install(folder, file)
                stamp.touch()


def ensure_peers(folder: Path, file: Path, constraints: Path) -> None:
    """Installs each line of a requirements file by itself, where not yet done: a bench goes on
    without those that this machine does not take."""
    for line in file.read_text("utf-8").splitlines():
        requirement = line.partition("#")[0].strip()
        stamp = folder / f".labelstream-{requirement}"
        if not requirement or stamp.exists():
            continue
        say(f"installing {requirement}")
        command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
        options = ["--disable-pip-version-check", "-c", constraints, requirement]
        done = subprocess.run([*command, *options], stdout=sys.stderr)
        if done.returncode:
            say(f"{requirement} cannot be installed (see pip's lines above): it is left out")
        else:
            stamp.touch()


def _install(folder: Path, file: Path) -> None:
    python = folder / "bin" / "python"
    try:
        if not (folder / "bin" / "pip").exists():
            say(f"creating the virtual environment {folder}")
            venv.create(folder, with_pip=True, symlinks=True)
        say(f"installing {file.name} into it, which takes minutes the first time")
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # Python compiles what is imported, when it is; pip would compile all of it.
        subprocess.run([*command, "--no-compile", "-r", file], check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as failure:
        sys.exit(
            f"labelstream: cannot install {file.name} into {folder} ({failure}): see pip's lines "
            "above; check the network, the free space, pip's settings and that Python has its venv "
            "module (on Debian the package python3-venv), or name another folder in "
            "LABELSTREAM_VENV"
        )


def main(arguments: Sequence[str]) -> None:
    """Prepares the environment and becomes the command after ``--``; does not return."""
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        sys.exit(
            f"labelstream: this is Python {sys.version_info[0]}.{sys.version_info[1]}, and the "
            "pinned torch is built for 3.9 to 3.13: run it with one of these"
        )
    options, command = [], list(arguments)
    if "--" in command:
        end = command.index("--")
        options, command = command[:end], command[end + 1 :]
    if {"-h", "--help"} & set(options or command[:1]):
        print(f"{USAGE}\n\n{__doc__}")
        sys.exit(0)
    if not command or set(options) - {"--dev", "--bench"} or "--" not in arguments:
        print(USAGE, file=sys.stderr)
        sys.exit(2)
    names = ["requirements.txt"] + (["requirements-dev.txt"] if "--dev" in options else [])
    folder = environment_folder()
    ensure_environment(folder, [HERE / name for name in names])
    if "--bench" in options:
        ensure_peers(folder, HERE / "requirements-bench.txt", HERE / "requirements.txt")

    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # so that labelstream_export is importable
    os.environ["PATH"] = os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", "")])
    try:
        os.execvp(command[0], command)
    except OSError as failure:
        sys.exit(f"labelstream: cannot run {command[0]} ({failure.strerror}): give another command")


if __name__ == "__main__":
    main(sys.argv[1:])
