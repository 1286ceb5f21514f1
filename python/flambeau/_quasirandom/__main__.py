"""Packs the table of direction numbers: the published text, and the file to write."""

import pathlib
import sys

from . import pack

pathlib.Path(sys.argv[2]).write_bytes(pack(pathlib.Path(sys.argv[1]).read_text()))
