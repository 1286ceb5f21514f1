"""Downloads of pretrained weights. Code from repositories is not run: `load`, `list` and `help` are not here."""

import hashlib
import os
import re
import shutil
import sys
import tempfile
from urllib.parse import urlparse
from urllib.request import Request, urlopen

try:
    from tqdm import tqdm
except ImportError:

    class tqdm:
        """What is called of tqdm's bar, for where tqdm is not installed: a count of what has been done."""

        def __init__(self, iterable=None, total=None, disable=False, **settings):
            self.iterable, self.total, self.disable, self.n = iterable, total, disable, 0

        def __iter__(self):
            for item in self.iterable:
                yield item
                self.update()

        def update(self, n=1):
            """Counts, and writes how far it is."""
            self.n += n
            if not self.disable:
                done = f"{100 * self.n / self.total:.1f}%" if self.total else f"{self.n:.1f} bytes"
                sys.stderr.write(f"\r{done}")
                sys.stderr.flush()

        def set_description(self, *args, **kwargs):
            """Descriptions are not written."""

        def close(self):
            """Ends the line."""
            if not self.disable:
                sys.stderr.write("\n")
                self.disable = True

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.close()


__all__ = ["download_url_to_file", "get_dir", "load_state_dict_from_url", "set_dir"]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
_folder = None


def _get_torch_home():
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    return os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch")))


def get_dir():
    """The folder of downloads: set by `set_dir`, else ``$TORCH_HOME/hub``, else ``~/.cache/torch/hub``."""
    if _folder is not None:
        return _folder
    return os.path.join(_get_torch_home(), "hub")


def set_dir(d):
    """Sets the folder of downloads."""
    global _folder
    _folder = os.path.expanduser(d)


def download_url_to_file(url, dst, hash_prefix=None, progress=True):
    """Downloads a file; the SHA-256 of its contents must begin with `hash_prefix`, if one is given."""
    dst = os.path.expanduser(dst)
    folder = os.path.dirname(dst) or "."
    digest = hashlib.sha256() if hash_prefix else None
    with urlopen(Request(url, headers={"User-Agent": "flambeau.hub"})) as source:
        total = int(source.headers.get("Content-Length") or 0)
        file = tempfile.NamedTemporaryFile(delete=False, dir=folder)
        try:
            bar = tqdm(total=total or None, disable=not progress, unit="B", unit_scale=True, unit_divisor=1024)
            with file, bar:
                while chunk := source.read(1 << 17):
                    file.write(chunk)
                    if digest is not None:
                        digest.update(chunk)
                    bar.update(len(chunk))
            if digest is not None and not digest.hexdigest().startswith(hash_prefix):
                raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")')
            shutil.move(file.name, dst)
        finally:
            if os.path.exists(file.name):
                os.remove(file.name)


def load_state_dict_from_url(
    url, model_dir=None, map_location=None, progress=True, check_hash=False, file_name=None, weights_only=True
):
    """Loads a checkpoint from a URL, downloading it unless it is in `model_dir` already.

    With `check_hash` the name of the file must end in ``-`` and the beginning of its SHA-256.
    """
    from . import load

    model_dir = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    os.makedirs(model_dir, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(model_dir, name)
    if not os.path.exists(path):
        sys.stderr.write(f'Downloading: "{url}" to {path}\n')
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, found.group(1) if found else None, progress=progress)
    return load(path, map_location=map_location, weights_only=weights_only)
