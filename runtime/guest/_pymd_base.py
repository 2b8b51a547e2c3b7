"""What every part of the runner stands on: its own builtins, its own references, and the host's door.

A cell may delete or replace anything it can reach. So each module of the runner begins with
`from _pymd_base import BUILTINS as __builtins__`: functions made after that line look names up in this
private copy, whatever a cell does to the real `builtins`.
"""

import builtins
import codecs
import json
import math
import os

import _host

BUILTINS = dict(vars(builtins))
__builtins__ = BUILTINS

HERE = os.path.dirname(__file__) + "/"

call = _host.call
_write = os.write
_decoder = json.JSONDecoder()
_scan = _decoder.scan_once


def _literal_escapes(error):
    # A surrogate that stands alone is no text in JSON: show its escape as text instead.
    piece = error.object[error.start : error.end]
    return "".join("\\\\u%04x" % ord(c) for c in piece), error.end


codecs.register_error("pymd-literal", _literal_escapes)


def _plain(value):
    """A JSON value for what JSON has no type for: numpy's scalars and arrays as theirs, all else as text."""
    for method in ("item", "tolist"):
        convert = getattr(value, method, None)
        if convert is not None:
            try:
                return convert()
            except Exception:
                continue
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "backslashreplace")
    return str(value)


_encode = json.encoder.c_make_encoder(
    None, _plain, json.encoder.encode_basestring, None, ":", ",", False, True, False
)


def _finite(value, depth=0):
    """The value with NaN and the infinities as null."""
    if depth > 100:
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v, depth + 1) for k, v in value.items() if not isinstance(k, float) or math.isfinite(k)}
    if isinstance(value, (list, tuple)):
        return [_finite(v, depth + 1) for v in value]
    if value is None or isinstance(value, (str, int)):
        return value
    return _finite(_plain(value), depth + 1)


def dumps(value):
    """Compact JSON in UTF-8, without NaN, infinities or lone surrogates."""
    try:
        text = "".join(_encode(value, 0))
    except ValueError:
        text = "".join(_encode(_finite(value), 0))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "pymd-literal")


def ask(request):
    """The host's answer to the request's bytes, as a dict."""
    return _scan(call(request).decode(), 0)[0]


def tell(message):
    """Hands a message to the host."""
    call(dumps(message))


def complain(text):
    """A line for the reader on standard error, past whatever a cell did to `sys.stderr`."""
    try:
        _write(2, (text + "\n").encode("utf-8", "backslashreplace"))
    except Exception:
        pass


def class_name(cls):
    """The name of a class, whatever its metaclass says."""
    try:
        return type.__dict__["__name__"].__get__(cls)
    except Exception:
        return "object"


def safe_str(value):
    """`str(value)`, or a note in its place where that fails."""
    try:
        return str.__str__(str(value))
    except MemoryError:
        raise
    except BaseException as error:
        return f"<str() of this {class_name(type(value))} raised {class_name(type(error))}>"


def clip(text, limit):
    """At most `limit` characters of the text, with a note of what is left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}... ({len(text) - limit} more characters)"

