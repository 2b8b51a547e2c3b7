"""The three standard streams, and keeping them usable from cell to cell."""

import os
import sys
from io import BufferedReader, BufferedWriter, FileIO, RawIOBase, TextIOWrapper

from _pymd_base import BUILTINS as __builtins__

_OUT_BUFFER = 8192


class _Stderr(RawIOBase):
    """File descriptor 2 unbuffered; what stdout still holds goes first, so the two come as written."""

    name = "<stderr>"
    mode = "wb"

    def writable(self):
        return True

    def fileno(self):
        return 2

    def isatty(self):
        return False

    def write(self, data):
        flush_out()
        return _write(2, data)


class _Stdin(RawIOBase):
    """File descriptor 0, which the host refills for each cell."""

    name = "<stdin>"
    mode = "rb"
    used = False

    def readable(self):
        return True

    def fileno(self):
        return 0

    def isatty(self):
        return False

    def readinto(self, buffer):
        self.used = True
        data = _read(0, len(buffer))
        buffer[: len(data)] = data
        return len(data)


_write = os.write
_read = os.read
out = err = inp = _raw_in = None


def _make_out():
    global out
    raw = FileIO(1, "w", closefd=False)
    raw.name = "<stdout>"
    out = TextIOWrapper(
        BufferedWriter(raw, _OUT_BUFFER), encoding="utf-8", errors="backslashreplace", newline="\n", line_buffering=True
    )
    out.mode = "w"
    sys.stdout = sys.__stdout__ = out


def _make_err():
    global err
    err = TextIOWrapper(_Stderr(), encoding="utf-8", errors="backslashreplace", newline="\n", write_through=True)
    err.mode = "w"
    sys.stderr = sys.__stderr__ = err


def _make_in():
    global inp, _raw_in
    _raw_in = _Stdin()
    inp = TextIOWrapper(BufferedReader(_raw_in, _OUT_BUFFER), encoding="utf-8", errors="replace")
    inp.mode = "r"
    sys.stdin = sys.__stdin__ = inp


def _spoilt(stream):
    try:
        # One attribute is ours ("mode"); any more is a method that a cell laid over the stream.
        return stream.closed or len(stream.__dict__) != 1
    except (ValueError, AttributeError):
        return True


def restore():
    """Working streams for a cell, whatever the one before did to them."""
    if _spoilt(out):
        _make_out()
    if _spoilt(err):
        _make_err()
    if _raw_in.used or _spoilt(inp):
        # What a cell left unread is not the next one's input.
        _make_in()
    try:
        if sys.stdout is out and sys.stderr is err and sys.stdin is inp:
            return
    except AttributeError:
        pass
    sys.stdout = sys.__stdout__ = out
    sys.stderr = sys.__stderr__ = err
    sys.stdin = sys.__stdin__ = inp


def flush_out():
    """Hands on what our stdout still holds."""
    try:
        out.flush()
    except Exception:
        pass


def flush():
    """Hands on what the streams still hold, so that what comes next comes after it."""
    stream = getattr(sys, "stdout", None)
    if stream is not out and stream is not None:
        _flush_other(stream)
    stream = getattr(sys, "stderr", None)
    if stream is not err and stream is not None:
        _flush_other(stream)
    flush_out()


def _flush_other(stream):
    try:
        stream.flush()
    except Exception:
        pass


def install():
    """Replaces the interpreter's streams."""
    _make_out()
    _make_err()
    _make_in()
