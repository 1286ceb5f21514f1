"""Results that arrive later: set once, waited for by any thread."""

import threading

__all__ = ["Future", "collect_all", "wait_all"]


class Future:
    """A value or an exception that some thread will set."""

    def __init__(self, *, devices=None):
        self._lock = threading.Condition()
        self._done = False
        self._value = self._error = None
        self._callbacks = []

    @classmethod
    def __class_getitem__(cls, item):
        return cls

    def done(self):
        """Whether the value or an exception has been set."""
        return self._done

    def wait(self):
        """The value, once it is there; an exception that was set instead is raised."""
        with self._lock:
            self._lock.wait_for(lambda: self._done)
        if self._error is not None:
            raise self._error
        return self._value

    def value(self):
        """The value; an error if it is not there yet."""
        if not self._done:
            raise RuntimeError("Attempting to get the value of a Future that is not complete")
        return self.wait()

    def then(self, callback):
        """A future of `callback(self)`, which is called once this one is done."""
        later = Future()

        def run(done):
            try:
                later.set_result(callback(done))
            except Exception as error:
                later.set_exception(error)

        self.add_done_callback(run)
        return later

    def add_done_callback(self, callback):
        """Calls `callback(self)` once done: at once if that is now."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)

    def set_result(self, result):
        """Sets the value, which can be done once."""
        self._finish(result, None)

    def set_exception(self, result):
        """Sets an exception for those who wait."""
        if not isinstance(result, Exception):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._finish(None, result)

    def _finish(self, value, error):
        with self._lock:
            if self._done:
                raise RuntimeError("Future can only be marked completed once: it already has a value or an error")
            self._value, self._error, self._done = value, error, True
            callbacks, self._callbacks = self._callbacks, []
            self._lock.notify_all()
        for callback in callbacks:
            callback(self)


def collect_all(futures):
    """A future of the list of all futures, done when all of them are."""
    futures = list(futures)
    result, lock = Future(), threading.Lock()
    left = [len(futures)]

    def one_less(_):
        with lock:
            left[0] -= 1
            last = left[0] == 0
        if last:
            result.set_result(futures)

    if not futures:
        result.set_result(futures)
    for future in futures:
        future.add_done_callback(one_less)
    return result


def wait_all(futures):
    """The values of all futures; the first exception among them is raised."""
    return [future.wait() for future in collect_all(futures).wait()]
