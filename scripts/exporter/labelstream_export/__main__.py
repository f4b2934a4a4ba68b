"""The exporter as a command: ``python -m labelstream_export``."""

import sys

from labelstream_export.cli import main

sys.exit(main(sys.argv[1:]))
