"""DataLoader's iterator with worker processes."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import time

from flambeau.utils.data._utils import transport, worker
from flambeau.utils.data.dataloader import _BaseDataLoaderIter, _DatasetKind, _pin

JOIN_TIMEOUT_S = 5.0


class _Worker:
    """A worker process, the connection to it, and whether it still has samples."""

    def __init__(self, process, connection):
        self.process = process
        self.connection = connection
        self.areas = {}
        self.active = True


def _how_it_ended(process):
    code = process.exitcode
    if code is not None and code < 0:
        return f"DataLoader worker (pid {process.pid}) is killed by signal: {signal.strsignal(-code)}. "
    return (
        f"DataLoader worker (pid {process.pid}) exited unexpectedly with exit code {code}. Details are lost due to "
        "multiprocessing. Rerunning with num_workers=0 may give better error trace."
    )


class _FetcherFactory:
    """Makes a worker's fetcher; unlike the iterator itself it can be sent to a spawned process."""

    def __init__(self, kind, auto_collation, collate_fn, drop_last):
        self.arguments = auto_collation, collate_fn, drop_last
        self.iterable = kind == _DatasetKind.Iterable

    def __call__(self, dataset):
        from flambeau.utils.data._utils.fetch import IterableFetcher, MapFetcher

        return (IterableFetcher if self.iterable else MapFetcher)(dataset, *self.arguments)


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Has batch i made by worker i modulo their number, as long as all of them have samples.

    Each worker has a connection of its own, so that the death of one is noticed and disturbs no other.
    """

    def __init__(self, loader):
        super().__init__(loader)
        self._prefetch_factor = loader.prefetch_factor
        self._in_order = loader.in_order
        self._workers = []
        self._closed = False
        context = loader.multiprocessing_context or multiprocessing
        factory = _FetcherFactory(self._dataset_kind, self._auto_collation, self._collate_fn, self._drop_last)
        for worker_id in range(self._num_workers):
            mine, theirs = context.Pipe(duplex=True)
            process = context.Process(
                target=worker.worker_loop,
                args=(
                    theirs,
                    os.getpid(),
                    factory,
                    self._dataset,
                    self._base_seed,
                    worker_id,
                    self._num_workers,
                    loader.worker_init_fn,
                ),
                daemon=True,
            )
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, mine))
        self._start()

    def _start(self):
        self._sent = 0  # index of the next batch to ask for
        self._next = 0  # index of the next batch to give out
        self._asked = {}  # index of a batch that was asked for -> its worker
        self._arrived = {}  # index of a batch that came before its turn -> the batch
        self._turn = 0
        for entry in self._workers:
            entry.active = True
        for _ in range(self._prefetch_factor * self._num_workers):
            self._ask()

    def _reset(self, loader, first_iter=False):
        while self._asked:  # batches of an unfinished pass
            self._receive()
        super()._reset(loader, first_iter)
        for entry in self._workers:
            self._send(entry, worker.Resume())
        self._start()

    def _send(self, entry, message):
        try:
            entry.connection.send(message)
        except OSError:
            pass  # it died; that shows when its batch is waited for, after those that are there

    def _ask(self):
        """Sends the sampler's next indices to the next worker that has samples."""
        if not any(entry.active for entry in self._workers):
            return
        try:
            indices = next(self._sampler_iter)
        except StopIteration:
            return
        while not self._workers[self._turn].active:
            self._turn = (self._turn + 1) % self._num_workers
        entry = self._workers[self._turn]
        self._turn = (self._turn + 1) % self._num_workers
        self._asked[self._sent] = entry
        self._send(entry, (self._sent, indices))
        self._sent += 1

    def _raise_dead(self):
        processes = [entry.process for entry in self._workers]
        ended = multiprocessing.connection.wait([process.sentinel for process in processes], JOIN_TIMEOUT_S)
        dead = [process for process in processes if process.sentinel in ended]
        for process in dead:
            process.join(JOIN_TIMEOUT_S)
        pids = ", ".join(str(process.pid) for process in dead)
        cause = RuntimeError(_how_it_ended(dead[0])) if dead else None
        self._close()
        raise RuntimeError(f"DataLoader worker (pid(s) {pids}) exited unexpectedly") from cause

    def _receive(self):
        """Waits for one message: `(index, data, worker)`."""
        deadline = time.monotonic() + self._timeout if self._timeout > 0 else None
        busy = {id(entry): entry for entry in self._asked.values()}.values()
        sources = {entry.connection: entry for entry in busy}
        sentinels = [entry.process.sentinel for entry in busy]
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = multiprocessing.connection.wait([*sources, *sentinels], left)
        if not ready:
            self._close()
            raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        for source in ready:
            if source in sources:
                entry = sources[source]
                try:
                    (index, data), area = transport.receive(source, entry.areas)
                except (EOFError, ConnectionResetError):
                    self._raise_dead()
                if area is not None:
                    self._send(entry, transport.Freed(area))
                return index, data, self._asked.pop(index)
        self._raise_dead()

    def _next_data(self):
        while True:
            if self._next in self._arrived:
                data = self._arrived.pop(self._next)
                self._next += 1
                if data is _ENDED:
                    continue
                return self._give(data)
            if not self._asked:
                if not self._persistent_workers:
                    self._close()
                raise StopIteration
            index, data, entry = self._receive()
            if isinstance(data, worker.IterationEnd):
                entry.active = False
                data = _ENDED
            if not self._in_order:
                if data is _ENDED:
                    self._ask()
                    continue
                return self._give(data)
            if data is _ENDED:
                self._ask()
            self._arrived[index] = data

    def _give(self, data):
        self._ask()
        if isinstance(data, worker.WorkerError):
            data.reraise()
        return _pin(data) if self._pin_memory else data

    def _close(self):
        """Ends the workers."""
        if self._closed:
            return
        self._closed = True
        for entry in self._workers:
            try:
                entry.connection.send(None)
            except OSError:
                pass
            entry.connection.close()
        for entry in self._workers:
            # one that is in the middle of a batch finds its connection closed when it is done with it
            if self._asked:
                entry.process.terminate()
            entry.process.join(JOIN_TIMEOUT_S)
            if entry.process.is_alive():
                entry.process.terminate()
                entry.process.join()
        self._asked = {}

    def __del__(self):
        if getattr(self, "_workers", None) and os.getpid() == self._workers[0].process._parent_pid:
            self._close()


_ENDED = object()
