"""Pictures, films and code fences: finding out what bytes are, and writing them into a document."""

import base64
import struct
import zlib

from _pymd_base import BUILTINS as __builtins__


def is_url(text):
    """Whether the text is an address rather than a path."""
    return text.startswith(("http://", "https://", "data:"))


def image_type(data):
    """The MIME type of a picture's bytes or text, or None."""
    if isinstance(data, str):
        data = data[:1024].encode("utf-8", "replace")
    head = bytes(data[:1024])
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith(b"BM"):
        return "image/bmp"
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!")) and b"<svg" in text):
        return "image/svg+xml"
    return None


def data_uri(data, mime):
    """The bytes as a `data:` address."""
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


def fence(source, language):
    """A Markdown code block that the source can't break out of."""
    longest = run = 0
    for char in source:
        run = run + 1 if char == "`" else 0
        longest = max(longest, run)
    ticks = "`" * max(3, longest + 1)
    tag = "".join(c for c in str(language or "") if c.isalnum() or c in "+#-_.")
    return f"{ticks}{tag}\n{source.rstrip(chr(10))}\n{ticks}\n"


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_array(array):
    """A PNG of an array of shape (height, width) or (height, width, 1, 3 or 4).

    Whole numbers are levels from 0 to 255; fractions and truth values from 0 to 1.
    """
    import numpy

    array = numpy.asarray(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise ValueError(f"an image needs shape (height, width[, 1, 3 or 4]), not {array.shape}")
    if array.dtype == bool or array.dtype.kind == "f":
        array = numpy.nan_to_num(array.astype("float64")) * 255 + 0.5
    elif array.dtype.kind not in "iu":
        raise TypeError(f"an image needs numbers, not {array.dtype}")
    array = numpy.clip(array, 0, 255).astype("uint8")
    height, width = array.shape[:2]
    color = 0 if array.ndim == 2 else {3: 2, 4: 6}[array.shape[2]]
    lines = numpy.zeros((height, 1 + array[0].size), "uint8")
    lines[:, 1:] = array.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines.tobytes(), 6)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
