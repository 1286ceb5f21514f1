"""What a process started by `multiprocessing` runs first under ``python -m flambeau``: the program, as a module."""

from flambeau._launcher import child

child(globals())
