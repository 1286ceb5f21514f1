"""``python -m flambeau script.py``: runs a PyTorch program on flambeau."""

import sys

from ._launcher import main

sys.exit(main(sys.argv[1:]))
