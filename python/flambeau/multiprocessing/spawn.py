"""Running a function in several processes."""

import multiprocessing
import multiprocessing.connection
import signal
import traceback


class ProcessException(Exception):
    """One of the processes failed."""

    __slots__ = ["error_index", "error_pid"]

    def __init__(self, msg, error_index, pid):
        super().__init__(msg)
        self.msg = msg
        self.error_index = error_index
        self.pid = pid

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid)


class ProcessRaisedException(ProcessException):
    """One of the processes ended with an exception."""

    def __init__(self, msg, error_index, error_pid):
        super().__init__(msg, error_index, error_pid)


class ProcessExitedException(ProcessException):
    """One of the processes ended by a signal or with an exit code."""

    __slots__ = ["exit_code", "signal_name"]

    def __init__(self, msg, error_index, error_pid, exit_code, signal_name=None):
        super().__init__(msg, error_index, error_pid)
        self.exit_code = exit_code
        self.signal_name = signal_name

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid, self.exit_code, self.signal_name)


def _run(fn, index, args, connection):
    try:
        fn(index, *args)
    except KeyboardInterrupt:
        pass
    except Exception:
        connection.send(traceback.format_exc())
        raise SystemExit(1) from None
    finally:
        connection.close()


class ProcessContext:
    """The processes that `start_processes` started."""

    def __init__(self, processes, connections):
        self.processes = processes
        self._connections = connections
        self.sentinels = {process.sentinel: index for index, process in enumerate(processes)}

    def pids(self):
        """Their ids."""
        return [process.pid for process in self.processes]

    def join(self, timeout=None, grace_period=None):
        """Waits for them; true when all have ended well. When one fails, the others are stopped and its error is
        raised here."""
        if not self.sentinels:
            return True
        ready = multiprocessing.connection.wait(list(self.sentinels), timeout=timeout)
        failed = None
        for sentinel in ready:
            index = self.sentinels.pop(sentinel)
            self.processes[index].join()
            if self.processes[index].exitcode != 0 and failed is None:
                failed = index
        if failed is None:
            return not self.sentinels
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join(grace_period)
            if process.is_alive():
                process.kill()
                process.join()
        self._raise(failed)

    def _raise(self, index):
        process, connection = self.processes[index], self._connections[index]
        text = None
        try:
            if connection.poll():
                text = connection.recv()
        except (EOFError, OSError):
            pass
        if text is not None:
            message = f"\n\n-- Process {index} terminated with the following error:\n{text}"
            raise ProcessRaisedException(message, index, process.pid)
        code = process.exitcode
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"<Unknown signal {-code}>"
            raise ProcessExitedException(
                f"process {index} terminated with signal {name}", index, process.pid, code, name
            )
        raise ProcessExitedException(f"process {index} terminated with exit code {code}", index, process.pid, code)


class SpawnContext(ProcessContext):
    """The processes that `spawn` started."""


def start_processes(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """Runs ``fn(i, *args)`` in `nprocs` processes, i from 0; waits for them if `join`."""
    return _start(ProcessContext, fn, args, nprocs, join, daemon, start_method)


def spawn(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """As `start_processes`, with processes started afresh."""
    return _start(SpawnContext, fn, args, nprocs, join, daemon, start_method)


def _start(kind, fn, args, nprocs, join, daemon, start_method):
    context = multiprocessing.get_context(start_method)
    processes, connections = [], []
    for index in range(nprocs):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(fn, index, args, sender), daemon=daemon)
        process.start()
        sender.close()
        processes.append(process)
        connections.append(receiver)
    started = kind(processes, connections)
    if not join:
        return started
    while not started.join():
        pass
    return None
