"""The rich-display protocol: from an object to its representations, and from those to the host."""

import base64
import os
import pprint
import sys

import _pymd_figures
import _pymd_streams
from _pymd_base import BUILTINS as __builtins__
from _pymd_base import class_name, clip, complain, safe_str, tell

_REPR_LIMIT = 1 << 20
_PRETTY_LIMIT = 20_000
_WIDTH = 79

# What has no representation but its text.
_PLAIN_TYPES = frozenset({int, float, complex, bool, str, bytes, bytearray, list, tuple, dict, set, frozenset, range})
_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})

# LaTeX before the pictures: a formula that has it needs no picture of itself.
METHODS = (
    ("text/html", "_repr_html_"),
    ("text/latex", "_repr_latex_"),
    ("image/svg+xml", "_repr_svg_"),
    ("image/png", "_repr_png_"),
    ("image/jpeg", "_repr_jpeg_"),
    ("text/markdown", "_repr_markdown_"),
    ("application/json", "_repr_json_"),
)

_PICTURES = frozenset({"image/png", "image/jpeg"})

# Functions that represent a class of other people: {mime: {class or (module, name): function}}.
registered = {}


def _method(value, name):
    """The object's method of that name, or None; objects that have every attribute have none of these."""
    try:
        method = getattr(value, name, None)
        if method is None or not callable(method):
            return None
        return method
    except Exception:
        return None


def _note(value, name, error):
    _pymd_streams.flush()
    complain(f"{class_name(type(value))}.{name} failed: {class_name(type(error))}: {clip(safe_str(error), 1000)}")


def _as_data(mime, data):
    """The representation as JSON carries it; raises TypeError for what can't be shown."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        if mime.startswith("text/") or mime == "image/svg+xml":
            return bytes(data).decode("utf-8", "backslashreplace")
        return base64.b64encode(data).decode("ascii")
    if mime == "application/json" or mime.endswith("+json"):
        return data
    if isinstance(data, str):
        return data
    raise TypeError(f"{mime} must be text or bytes, not {class_name(type(data))}")


def _split(result):
    """A method's answer as `(data, metadata or None)`."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
        return result
    return result, None


def text_of(value):
    """`repr(value)`, long containers on several lines, bounded. Raises what `__repr__` raises."""
    text = repr(value)
    if type(value) in _CONTAINERS and _WIDTH < len(text) <= _PRETTY_LIMIT:
        try:
            text = pprint.pformat(value, width=_WIDTH, compact=True, sort_dicts=False)
        except Exception:
            # Some element behaves differently when asked again: the text on one line will do.
            pass
    if len(text) > _REPR_LIMIT:
        text = f"{text[:_REPR_LIMIT]}\n... ({len(text) - _REPR_LIMIT} more characters)"
    return text


def _registered(value, mime):
    table = registered.get(mime)
    if not table:
        return None
    for cls in type(value).__mro__:
        found = table.get(cls) or table.get((cls.__module__, cls.__qualname__))
        if found is not None:
            return found
    return None


def _represent(value, mime, name, call, data, metadata):
    """Adds one representation, unless it fails or there is none."""
    try:
        result, meta = _split(call())
        if result is None:
            return
        result = _as_data(mime, result)
    except MemoryError:
        raise
    except Exception as error:
        _note(value, name, error)
        return
    data[mime] = result
    if meta:
        metadata[mime] = meta


def _mimebundle(value, include, exclude, data, metadata):
    method = _method(value, "_repr_mimebundle_")
    if method is None:
        return
    try:
        bundle, meta = _split(method(include=include, exclude=exclude))
        if isinstance(bundle, dict):
            for mime, one in bundle.items():
                if one is not None:
                    data[str(mime)] = _as_data(str(mime), one)
            if meta:
                metadata.update(meta)
    except MemoryError:
        raise
    except Exception as error:
        _note(value, "_repr_mimebundle_", error)


def represent(value, include=None, exclude=None):
    """The object's `(data, metadata)`, or None when it displayed itself."""
    data, metadata = {}, {}
    kind = type(value)
    if kind in _PLAIN_TYPES and not registered:
        return {"text/plain": text_of(value)}, metadata
    if not isinstance(value, type) and _method(value, "_pymd_no_such_method_") is None:
        _mimebundle(value, include, exclude, data, metadata)
        if not data:
            method = _method(value, "_ipython_display_")
            if method is not None:
                try:
                    method()
                    return None
                except NotImplementedError:
                    pass
                except MemoryError:
                    raise
                except Exception as error:
                    _note(value, "_ipython_display_", error)
        if not data and _pymd_figures.is_figure(value):
            data, metadata = _pymd_figures.represent(value)
        for mime, name in METHODS:
            if mime in data or (mime in _PICTURES and ("text/latex" in data or "image/png" in data)):
                continue
            method = _registered(value, mime) if registered else None
            if method is not None:
                _represent(value, mime, name, lambda: method(value), data, metadata)
            else:
                method = _method(value, name)
                if method is not None:
                    _represent(value, mime, name, method, data, metadata)
    if "text/plain" not in data:
        data["text/plain"] = _plain_text(value, bool(data))
    if include or exclude:
        data = {m: d for m, d in data.items() if (not include or m in include) and (not exclude or m not in exclude)}
    return data, metadata


def _plain_text(value, has_other):
    method = _registered(value, "text/plain") if registered else None
    if method is not None:
        try:
            printer = _Printer()
            result = method(value, printer, False)
            return clip(printer.text() or (result if isinstance(result, str) else ""), _REPR_LIMIT)
        except Exception as error:
            _note(value, "the registered text/plain printer", error)
    try:
        return text_of(value)
    except Exception as error:
        if not has_other:
            raise
        _note(value, "__repr__", error)
        return object.__repr__(value)


class _Printer:
    """As much of a pretty printer as registered text formatters use."""

    def __init__(self):
        self.parts = []

    def text(self, *parts):
        if not parts:
            return "".join(self.parts)
        self.parts.extend(map(str, parts))

    def pretty(self, value):
        self.parts.append(repr(value))

    def breakable(self, sep=" "):
        self.parts.append(sep)


def publish(data, metadata=None, display_id=None, update=False):
    """Hands a display to the host, after all text so far."""
    _pymd_streams.flush()
    data = {str(mime): _as_data(str(mime), one) for mime, one in data.items()}
    message = {"op": "display", "data": data, "metadata": metadata or {}, "display_id": display_id, "update": update}
    tell(message)


def new_id():
    """A name for a display that no other has."""
    return os.urandom(16).hex()


class DisplayHandle:
    """A display that can be shown again with other content."""

    def __init__(self, display_id=None):
        self.display_id = display_id or new_id()

    def __repr__(self):
        return f"<DisplayHandle display_id={self.display_id}>"

    def display(self, value, **options):
        """Shows the object under this name."""
        display(value, display_id=self.display_id, **options)

    def update(self, value, **options):
        """Replaces what the display shows."""
        update_display(value, display_id=self.display_id, **options)


def display(
    *objs,
    include=None,
    exclude=None,
    metadata=None,
    transient=None,
    display_id=None,
    raw=False,
    clear=False,
    update=False,
    **kwargs,
):
    """Shows objects with their richest representations; with `raw=True` the objects are dicts by MIME type.

    Returns a handle for later updates if there is a `display_id` (True makes one)."""
    if display_id is None and transient:
        display_id = transient.get("display_id")
    handle = None
    if display_id is True:
        display_id = new_id()
    if display_id is not None:
        display_id = str(display_id)
        handle = DisplayHandle(display_id)
    elif update:
        raise TypeError("display_id required for update_display")
    if clear:
        clear_output(wait=True)
    for value in objs:
        if raw:
            shown = dict(value), {}
        else:
            shown = represent(value, include, exclude)
        if shown is None:
            continue
        data, meta = shown
        if metadata:
            meta = {**meta, **metadata}
        publish(data, meta, display_id, update)
    return handle


def update_display(value, *, display_id, **options):
    """Replaces what the display of that name shows."""
    display(value, display_id=display_id, update=True, **options)


def clear_output(wait=False):
    """Removes the cell's outputs so far; with `wait` only when the next one comes."""
    _pymd_streams.flush()
    tell({"op": "clear", "wait": bool(wait)})


def show_result(value):
    """The default `sys.displayhook`: shows a cell's value and keeps it as `_`."""
    if value is None:
        return
    shown = represent(value)
    names = _real_builtins
    names["___"] = names.get("__")
    names["__"] = names.get("_")
    names["_"] = value
    if shown is not None:
        _pymd_streams.flush()
        tell({"op": "result", "data": shown[0], "metadata": shown[1]})


_real_builtins = vars(sys.modules["builtins"])
