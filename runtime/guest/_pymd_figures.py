"""Showing matplotlib's figures, without importing matplotlib for those who don't."""

import base64
import io
import sys

import _pymd_streams
from _pymd_base import BUILTINS as __builtins__
from _pymd_base import class_name, clip, complain, safe_str, tell

_modules = sys.modules
figure_format = "png"
# Figures that the current cell has shown by itself.
_shown = {}


def is_figure(value):
    """Whether the object is a matplotlib figure."""
    module = _modules.get("matplotlib.figure")
    figure = getattr(module, "Figure", None)
    return figure is not None and isinstance(value, figure)


def _bundle(figure, kind):
    file = io.BytesIO()
    # Without the date, the same figure is the same bytes.
    extra = {"metadata": {"Date": None}} if kind == "svg" else {}
    figure.savefig(file, format=kind, bbox_inches="tight", **extra)
    return file.getvalue()


def represent(figure):
    """The figure's `(data, metadata)`, in the cell's format."""
    _shown[id(figure)] = figure
    if figure_format == "svg":
        source = _bundle(figure, "svg").decode("utf-8", "replace")
        data = {"image/svg+xml": source[max(source.find("<svg"), 0) :]}
    else:
        data = {"image/png": base64.b64encode(_bundle(figure, "png")).decode("ascii")}
    # Drawn: whatever is added from now on makes it stale again.
    figure.stale = False
    data["text/plain"] = repr(figure)
    return data, {}


def publish_open():
    """Shows the open figures that were not shown yet, in order, and closes them all. Returns how many."""
    pyplot = _modules.get("matplotlib.pyplot")
    if pyplot is None:
        return 0
    count = 0
    try:
        numbers = pyplot.get_fignums()
        if not numbers:
            return 0
        figures = [pyplot.figure(number) for number in numbers]
        pyplot.close("all")
    except Exception as error:
        complain(f"the open figures could not be shown: {class_name(type(error))}: {clip(safe_str(error), 1000)}")
        return 0
    for figure in figures:
        if id(figure) in _shown and not figure.stale:
            continue
        data, metadata = represent(figure)
        _pymd_streams.flush()
        tell({"op": "display", "data": data, "metadata": metadata, "display_id": None, "update": False})
        count += 1
    return count


def begin_cell(kind):
    """Starts a cell whose figures are shown as `png` or `svg`."""
    global figure_format
    figure_format = kind
    if _shown:
        _shown.clear()


def has_open():
    """Whether there may be figures to show: matplotlib's pyplot is loaded."""
    return "matplotlib.pyplot" in _modules


def patch_artist(module):
    """Spares matplotlib the tables of properties in its docstrings, a third of what its import costs."""
    module.kwdoc = lambda artist: ""
