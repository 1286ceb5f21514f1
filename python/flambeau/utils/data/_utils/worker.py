"""What a DataLoader's worker processes run."""

import os
import queue
import sys
import threading
import traceback

from flambeau.utils.data._utils import transport

PARENT_CHECK_S = 5.0

_worker_info = None


class WorkerInfo:
    """A worker's `id` (from 0), `num_workers`, `seed` and copy of `dataset`."""

    def __init__(self, **kwargs):
        self.__dict__.update(kwargs)
        self.__dict__["_keys"] = tuple(kwargs)

    def __setattr__(self, key, value):
        raise RuntimeError(f"Cannot assign attributes to {type(self).__name__} objects")

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{key}={getattr(self, key)}' for key in self._keys)})"


def get_worker_info():
    """The WorkerInfo of the worker process that calls it; None in the main process."""
    return _worker_info


class WorkerError:
    """An exception of a worker, as text, to be raised in the main process."""

    def __init__(self, where):
        kind, value, trace = sys.exc_info()
        self.kind = kind
        self.where = where
        self.text = "".join(traceback.format_exception(kind, value, trace))

    def __reduce__(self):
        return _restore_error, (self.kind, self.where, self.text)

    def reraise(self):
        """Raises an exception of the same type, or RuntimeError if its type takes more than a message."""
        message = f"Caught {self.kind.__name__} {self.where}.\nOriginal {self.text}"
        if self.kind is KeyError:
            raise KeyError(_Readable(message))
        try:
            error = self.kind(message)
        except Exception:
            raise RuntimeError(message) from None
        raise error


def _restore_error(kind, where, text):
    error = WorkerError.__new__(WorkerError)
    error.kind, error.where, error.text = kind, where, text
    return error


class _Readable(str):
    """Text whose repr, which is what KeyError shows, is the text itself."""

    def __repr__(self):
        return str(self)


class IterationEnd:
    """A worker's iterable dataset has no more samples."""


class Resume:
    """Asks a persistent worker to start over."""


def _generate_state(base_seed, worker_id):
    """The four numbers from which NumPy's generator starts in a worker."""
    import numpy

    sequence = numpy.random.SeedSequence([worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0])
    return sequence.generate_state(4).tolist()


def _seed(seed, worker_id, base_seed):
    import random

    import numpy

    import flambeau as fl

    random.seed(seed)
    fl.manual_seed(seed)
    numpy.random.seed(_generate_state(base_seed, worker_id))


def _receive(connection, tasks, parent, areas):
    """Moves tasks from the connection to a queue, so that the main process never waits for a busy worker."""
    try:
        while True:
            if connection.poll(PARENT_CHECK_S):
                task = connection.recv()
                if isinstance(task, transport.Freed):
                    areas.give_back(task.number)
                else:
                    tasks.put(task)
            elif os.getppid() != parent:
                break
    except (EOFError, OSError):
        pass
    tasks.put(None)


def _message(index, data, where, areas):
    """A batch as something to send; an error if it cannot be."""
    try:
        return transport.packed((index, data), areas)
    except Exception:
        return transport.packed((index, WorkerError(where)))


def _send(connection, answers):
    """Sends batches as the main process takes them, while others are made."""
    try:
        while (message := answers.get()) is not None:
            transport.send(connection, message)
            del message
    except OSError:
        pass  # the main process is gone, or has enough


def worker_loop(connection, parent, make_fetcher, dataset, base_seed, worker_id, num_workers, init_fn):
    """Answers `(index, indices)` with `(index, batch)` until it gets None."""
    import flambeau as fl

    global _worker_info
    fl.set_num_threads(1)
    seed = base_seed + worker_id
    _seed(seed, worker_id, base_seed)
    _worker_info = WorkerInfo(id=worker_id, num_workers=num_workers, seed=seed, dataset=dataset)
    where = f"in DataLoader worker process {worker_id}"
    tasks, areas = queue.SimpleQueue(), transport.Areas()
    threading.Thread(target=_receive, args=(connection, tasks, parent, areas), daemon=True).start()
    answers = queue.SimpleQueue()
    sender = threading.Thread(target=_send, args=(connection, answers), daemon=True)
    sender.start()
    fetcher, error = None, None
    try:
        if init_fn is not None:
            init_fn(worker_id)
        fetcher = make_fetcher(dataset)
    except Exception:
        error = WorkerError(where)
    try:
        while (task := tasks.get()) is not None:
            if isinstance(task, Resume):
                try:
                    fetcher, error = make_fetcher(dataset), None
                except Exception:
                    error = WorkerError(where)
                continue
            index, indices = task
            if error is not None:
                data, error = error, None
            else:
                try:
                    data = fetcher.fetch(indices)
                except StopIteration:
                    data = IterationEnd() if fetcher.iterable else WorkerError(where)
                except Exception:
                    data = WorkerError(where)
            answers.put(_message(index, data, where, areas))
            del data
    except KeyboardInterrupt:
        pass  # the main process has the last word
    answers.put(None)
    sender.join()
