#!/usr/bin/env python3
"""Turns a Hugging Face checkpoint into a Labelstream model folder.

Needs nothing but Python itself: the first run builds the virtual environment that the exporter
works in (see exporter/bootstrap.py).
"""

import sys

if sys.version_info[:2] < (3, 9):  # noqa: UP036  an older Python cannot read the imports below
    sys.exit("export_model.py: needs Python 3.9 to 3.13: run it with a newer python3")

from pathlib import Path

EXPORTER = Path(__file__).resolve().parent / "exporter"


def main() -> None:
    """Checks the command line, then runs the exporter in its virtual environment."""
    sys.path.insert(0, str(EXPORTER))
    import bootstrap
    from labelstream_export.cli import parse

    parse(sys.argv[1:])  # wrong use and --help end here, before anything is installed
    bootstrap.main(["--", "python", "-m", "labelstream_export", *sys.argv[1:]])


if __name__ == "__main__":
    main()
