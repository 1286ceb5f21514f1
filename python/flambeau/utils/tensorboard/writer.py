"""`SummaryWriter`: scalars, histograms, pictures and texts of a training run."""

import os
import socket
import threading
import time

import flambeau as torch

from . import _messages

__all__ = ["FileWriter", "RecordWriter", "SummaryWriter"]


class RecordWriter:
    """Writes framed records to a file."""

    def __init__(self, path):
        self._file = open(path, "ab")

    def write(self, data):
        """Adds a record."""
        self._file.write(_messages.record(data))

    def flush(self):
        """Makes sure that what was written is in the file."""
        self._file.flush()

    def close(self):
        """Closes the file."""
        self._file.close()


class FileWriter:
    """Writes events to a fresh file in a folder; they reach the disk every `flush_secs` seconds."""

    _count = 0

    def __init__(self, log_dir, max_queue=10, flush_secs=120, filename_suffix=""):
        self._folder = str(log_dir)
        os.makedirs(self._folder, exist_ok=True)
        number, FileWriter._count = FileWriter._count, FileWriter._count + 1
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{number}"
        self._records = RecordWriter(os.path.join(self._folder, name + filename_suffix))
        self._max_queue, self._flush_secs = max_queue, flush_secs
        self._pending, self._flushed = 0, time.time()
        self._lock = threading.Lock()
        self._records.write(_messages.event(time.time(), file_version="brain.Event:2"))
        self.flush()

    def get_logdir(self):
        """The folder."""
        return self._folder

    def add_event(self, event, step=None, walltime=None):
        """Adds an encoded event."""
        with self._lock:
            self._records.write(event)
            self._pending += 1
            if self._pending > self._max_queue or time.time() - self._flushed > self._flush_secs:
                self._flush()

    def add_summary(self, summary, global_step=None, walltime=None):
        """Adds an encoded summary."""
        self.add_event(_messages.event(time.time() if walltime is None else walltime, global_step, summary))

    def _flush(self):
        self._records.flush()
        self._pending, self._flushed = 0, time.time()

    def flush(self):
        """Makes sure that what was written is in the file."""
        with self._lock:
            self._flush()

    def close(self):
        """Closes the file."""
        with self._lock:
            self._records.close()


def _array(values):
    """The numbers of a tensor, an array or a sequence as a NumPy array."""
    import numpy

    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else numpy.asarray(values)


def _number(x):
    values = _array(x)
    if values.size != 1:
        raise AssertionError(f"scalar should be 0D, but has {values.size} elements")
    return float(values.reshape(()).item())


def _mismatch(array, dataformats):
    return (
        f"size of input tensor and input format are different. tensor shape: {array.shape}, input_format: {dataformats}"
    )


def _pixels(array, dataformats):
    """An array as bytes in the order rows, columns, channels."""
    import numpy

    if array.ndim != len(dataformats):
        raise AssertionError(_mismatch(array, dataformats))
    if len(set(dataformats)) != len(dataformats):
        raise AssertionError(f"You can not use the same dimension shordhand twice. input_format: {dataformats}")
    if dataformats == "HW":
        array = array[:, :, None]
    else:
        array = array.transpose([dataformats.index(axis) for axis in "HWC"])
    if array.dtype != numpy.uint8:
        array = (array.astype(numpy.float32) * 255).clip(0, 255).astype(numpy.uint8)
    if array.shape[2] not in (1, 3, 4):
        raise TypeError(f"Cannot handle this data type: {array.shape[2]} channels")
    return numpy.ascontiguousarray(array)


def _grid(array, dataformats):
    """Several pictures as one, in rows and columns; NCHW."""
    import numpy

    array = array.transpose([dataformats.index(axis) for axis in "NCHW"])
    count, channels, height, width = array.shape
    columns = int(numpy.ceil(numpy.sqrt(count))) if count > 8 else max(count, 1)
    rows = -(-count // columns) if count else 0
    out = numpy.zeros((channels, rows * height, columns * width), dtype=array.dtype)
    for i in range(count):
        y, x = i // columns * height, i % columns * width
        out[:, y : y + height, x : x + width] = array[i]
    return out


def _default_bins():
    edges, x = [], 1e-12
    while x < 1e20:
        edges.append(x)
        x *= 1.1
    return [-v for v in reversed(edges)] + [0.0] + edges


class SummaryWriter:
    """Writes events to a folder, by default ``runs/DATE_TIME_HOST`` with `comment` at its end."""

    def __init__(self, log_dir=None, comment="", purge_step=None, max_queue=10, flush_secs=120, filename_suffix=""):
        if not log_dir:
            from datetime import datetime

            name = datetime.now().strftime("%b%d_%H-%M-%S") + "_" + socket.gethostname() + comment
            log_dir = os.path.join("runs", name)
        self.log_dir = os.fspath(log_dir)
        self.purge_step, self.max_queue, self.flush_secs = purge_step, max_queue, flush_secs
        self.filename_suffix = filename_suffix
        self.file_writer = self.all_writers = None
        self._get_file_writer()

    def _new_writer(self, folder):
        return FileWriter(folder, self.max_queue, self.flush_secs, self.filename_suffix)

    def _get_file_writer(self):
        if self.file_writer is None:
            self.file_writer = self._new_writer(self.log_dir)
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
        return self.file_writer

    def get_logdir(self):
        """The folder."""
        return self.log_dir

    def _add(self, summary, global_step, walltime):
        self._get_file_writer().add_summary(summary, global_step, walltime)

    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None, new_style=False, double_precision=False):
        """Adds a number."""
        x = _number(scalar_value)
        summary = (
            _messages.scalar_tensor(tag, x, double_precision)
            if new_style or double_precision
            else _messages.scalar(tag, x)
        )
        self._add(summary, global_step, walltime)

    def add_scalars(self, main_tag, tag_scalar_dict, global_step=None, walltime=None):
        """Adds several numbers that are shown together, each in a folder of its own."""
        base = self._get_file_writer().get_logdir()
        for tag, x in tag_scalar_dict.items():
            folder = f"{base}/{main_tag.replace('/', '_')}_{tag}"
            if folder not in self.all_writers:
                self.all_writers[folder] = self._new_writer(folder)
            self.all_writers[folder].add_summary(_messages.scalar(main_tag, _number(x)), global_step, walltime)

    def add_histogram(self, tag, values, global_step=None, bins="tensorflow", walltime=None, max_bins=None):
        """Adds the distribution of numbers; `bins` as `numpy.histogram` takes them, or TensorBoard's own."""
        import numpy

        values = _array(values).astype(numpy.float64).reshape(-1)
        if values.size == 0:
            raise ValueError("The input has no element.")
        counts, edges = numpy.histogram(values, bins=_default_bins() if bins == "tensorflow" else bins)
        if max_bins is not None and len(counts) > max_bins:
            step = len(counts) // max_bins
            counts = numpy.add.reduceat(counts, numpy.arange(0, len(counts), step))
            edges = numpy.append(edges[:-1][::step], edges[-1])
        used = numpy.flatnonzero(counts)
        first, last = (used[0], used[-1]) if used.size else (0, 0)
        # One empty bucket before the first with values gives that its lower end.
        limits, counts = edges[first : last + 2], numpy.append([0], counts[first : last + 1])
        self._add(
            _messages.histogram(
                tag, values.min(), values.max(), len(values), values.sum(), values.dot(values), limits.tolist(),
                counts.tolist(),
            ),
            global_step, walltime,
        )  # fmt: skip

    def add_image(self, tag, img_tensor, global_step=None, walltime=None, dataformats="CHW"):
        """Adds a picture: bytes, or numbers from 0 to 1, with dimensions in the order of `dataformats`."""
        pixels = _pixels(_array(img_tensor), dataformats.upper())
        height, width, channels = pixels.shape
        png = _messages.png(pixels.tobytes(), height, width, channels)
        self._add(_messages.image(tag, height, width, channels, png), global_step, walltime)

    def add_images(self, tag, img_tensor, global_step=None, walltime=None, dataformats="NCHW"):
        """Adds several pictures as one."""
        array, formats = _array(img_tensor), dataformats.upper()
        if array.ndim != 4 or sorted(formats) != sorted("NCHW"):
            raise AssertionError(_mismatch(array, dataformats))
        self.add_image(tag, _grid(array, formats), global_step, walltime)

    def add_figure(self, tag, figure, global_step=None, close=True, walltime=None):
        """Adds figures of matplotlib."""
        import numpy

        figures = figure if isinstance(figure, (list, tuple)) else [figure]
        drawn = []
        for item in figures:
            item.canvas.draw()
            drawn.append(numpy.asarray(item.canvas.buffer_rgba())[:, :, :3])
            if close:
                from matplotlib import pyplot

                pyplot.close(item)
        if len(drawn) == 1:
            self.add_image(tag, drawn[0], global_step, walltime, dataformats="HWC")
        else:
            self.add_images(tag, numpy.stack(drawn), global_step, walltime, dataformats="NHWC")

    def add_hparams(self, hparam_dict, metric_dict, hparam_domain_discrete=None, run_name=None, global_step=None):
        """Adds hyperparameters and what came of them, in a folder of its own below this one."""
        from ._hparams import summaries

        described = summaries(hparam_dict, metric_dict, hparam_domain_discrete)
        name = str(time.time()) if run_name is None else run_name
        with SummaryWriter(os.path.join(self._get_file_writer().get_logdir(), name)) as writer:
            for summary in described:
                writer._add(summary, global_step, None)
            for tag, x in metric_dict.items():
                writer.add_scalar(tag, x, global_step)

    def add_text(self, tag, text_string, global_step=None, walltime=None):
        """Adds a text in Markdown."""
        self._add(_messages.text(tag, text_string), global_step, walltime)

    def flush(self):
        """Makes sure that what was written is in the files."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self):
        """Closes the files; the next addition opens fresh ones."""
        for writer in (self.all_writers or {}).values():
            writer.flush()
            writer.close()
        self.file_writer = self.all_writers = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
