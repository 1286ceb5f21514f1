"""Event files for TensorBoard, written without TensorBoard being installed."""

from .writer import FileWriter, RecordWriter, SummaryWriter

__all__ = ["FileWriter", "RecordWriter", "SummaryWriter"]
