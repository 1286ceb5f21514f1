"""What is done with captured programs as a whole."""

from . import shape_prop
