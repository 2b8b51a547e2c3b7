"""What a document's code can show: headings, text, code, pictures, films and tables."""

import html as _html
import mimetypes as _mimetypes
import os as _os
import sys as _sys

from _pymd_base import BUILTINS as __builtins__
from _pymd_display import publish as _publish
from _pymd_display import represent as _represent
from _pymd_media import data_uri as _data_uri
from _pymd_media import fence as _fence
from _pymd_media import image_type as _image_type
from _pymd_media import is_url as _is_url
from _pymd_media import png_of_array as _png_of_array

__all__ = ["code", "h1", "h2", "h3", "image", "table", "text", "video"]

_TABLE_ROWS = 1000


def _markdown(source, plain):
    _publish({"text/markdown": source, "text/plain": plain})


def _heading(level, content):
    line = " ".join(str(content).split())
    _markdown(f"{'#' * level} {line}\n", line)


def h1(content):
    """A heading of the first level. Markdown inside a line stays Markdown."""
    _heading(1, content)


def h2(content):
    """A heading of the second level."""
    _heading(2, content)


def h3(content):
    """A heading of the third level."""
    _heading(3, content)


def text(content):
    """Markdown text."""
    _markdown(str(content), str(content))


def code(src, language="python"):
    """Source code, shown and not run."""
    src = str(src)
    _markdown(_fence(src, language), src)


def _current_figure():
    pyplot = _sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not pyplot.get_fignums():
        raise ValueError("pymd.image() needs a path, bytes, a picture or a figure, or an open matplotlib figure")
    return pyplot.gcf()


def _image_bundle(value):
    """A picture's representations and the MIME type of the picture among them."""
    if isinstance(value, (str, _os.PathLike)):
        value = _os.fspath(value)
        if isinstance(value, bytes):
            value = _os.fsdecode(value)
        if value.lstrip()[:5].lower() in ("<svg ", "<?xml"):
            return {"image/svg+xml": value}, "image/svg+xml"
        with open(value, "rb") as file:
            data = file.read()
        kind = _image_type(data) or _mimetypes.guess_type(value)[0]
        if kind is None or not kind.startswith("image/"):
            raise ValueError(f"{value!r} is no image that can be shown")
        return {kind: data}, kind
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        kind = _image_type(data)
        if kind is None:
            raise ValueError("these bytes are no PNG, JPEG, GIF, WebP, BMP, AVIF or SVG image")
        return {kind: data}, kind
    if hasattr(value, "__array_interface__") and not hasattr(value, "_repr_png_"):
        return {"image/png": _png_of_array(value)}, "image/png"
    shown = _represent(value)
    for kind in ("image/svg+xml", "image/png", "image/jpeg"):
        if shown and kind in shown[0]:
            return shown[0], kind
    axes = getattr(value, "figure", None) or getattr(value, "fig", None)
    if axes is not None:
        return _image_bundle(axes)
    if isinstance(value, (list, tuple)):
        return {"image/png": _png_of_array(value)}, "image/png"
    raise TypeError(f"pymd.image() can't show a {type(value).__name__}")


def image(obj_or_path=None, caption=None):
    """A picture: a path, bytes, a PIL image, an array, a matplotlib figure, or the current figure.

    The caption goes along as metadata: `{"caption": ..., "<type of the image>": {"alt": ...}}`."""
    if isinstance(obj_or_path, str) and _is_url(obj_or_path):
        address, words = _html.escape(obj_or_path), _html.escape(str(caption or ""))
        below = f"<figcaption>{words}</figcaption>" if caption is not None else ""
        source = f'<figure><img src="{address}" alt="{words}">{below}</figure>'
        _publish({"text/html": source, "text/plain": obj_or_path})
        return
    bundle, kind = _image_bundle(_current_figure() if obj_or_path is None else obj_or_path)
    bundle.pop("text/html", None)
    bundle["text/plain"] = "<image>" if caption is None else str(caption)
    _publish(bundle, {} if caption is None else {"caption": str(caption), kind: {"alt": str(caption)}})


def video(path, caption=None, width=None, height=None, controls=True, autoplay=False, loop=False):
    """A film from a file, which becomes part of the document, or from an address."""
    address = path = _os.fspath(path)
    if not _is_url(path):
        kind = _mimetypes.guess_type(path)[0] or "video/mp4"
        if not kind.startswith("video/"):
            raise ValueError(f"{path!r} is no video")
        with open(path, "rb") as file:
            address = _data_uri(file.read(), kind)
    parts = [f'<video src="{_html.escape(address)}"']
    for name, value in (("width", width), ("height", height)):
        if value is not None:
            parts.append(f'{name}="{_html.escape(str(value))}"')
    parts += [name for name, wanted in (("controls", controls), ("autoplay", autoplay), ("loop", loop)) if wanted]
    if autoplay:
        # Browsers start no film with sound by themselves.
        parts.append("muted")
    source = " ".join(parts) + "></video>"
    if caption is not None:
        source = f"<figure>{source}<figcaption>{_html.escape(str(caption))}</figcaption></figure>"
    _publish({"text/html": source, "text/plain": str(caption or path if len(path) < 1000 else "<video>")})


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, float) and value != value:
        return "NaN"
    words = str(value).replace("\\", "\\\\").replace("|", "\\|")
    return "<br>".join(words.splitlines())


def _is_number(value):
    return hasattr(value, "__float__") and not isinstance(value, (str, bool))


def _frame_rows(frame):
    """The header and the rows of a data frame or of a series."""
    if getattr(frame, "ndim", 2) == 1:
        frame = frame.to_frame(name="" if frame.name is None else frame.name)
    count = len(frame)
    frame = frame.head(_TABLE_ROWS)
    index = frame.index
    plain = type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1 and index.name is None
    header = [" ".join(map(str, c)) if isinstance(c, tuple) else c for c in frame.columns]
    columns = [frame.iloc[:, position].tolist() for position in range(len(header))]
    if not plain:
        labels = [" ".join(map(str, label)) if isinstance(label, tuple) else label for label in index.tolist()]
        header.insert(0, " ".join(str(name) for name in index.names if name is not None))
        columns.insert(0, labels)
    return header, list(zip(*columns)) if columns else [], count


def _as_list(values):
    """The values as a list; one value is a list of one."""
    return list(values) if isinstance(values, (list, tuple, range)) or hasattr(values, "tolist") else [values]


def _rows(data):
    """The header (or None), the first rows and the count of all rows of any kind of table."""
    if hasattr(data, "iloc") and hasattr(data, "index"):
        return _frame_rows(data)
    if isinstance(data, dict):
        columns = {name: _as_list(values) for name, values in data.items()}
        count = max((len(column) for column in columns.values()), default=0)
        shown = min(count, _TABLE_ROWS)
        rows = [[column[i] if i < len(column) else None for column in columns.values()] for i in range(shown)]
        return list(columns), rows, count
    rows = list(data.tolist() if hasattr(data, "tolist") else data)
    count = len(rows)
    if rows and all(isinstance(row, dict) for row in rows):
        header = list(dict.fromkeys(key for row in rows for key in row))
        return header, [[row.get(key) for key in header] for row in rows[:_TABLE_ROWS]], count
    rows = [_as_list(row) for row in rows]
    if rows and hasattr(data, "dtype"):
        return list(range(len(rows[0]))), rows[:_TABLE_ROWS], count
    return None, rows[: _TABLE_ROWS + 1], count


def table(df_or_rows):
    """A table: a DataFrame, a Series, a list of dicts, a dict of lists, or a list of rows whose first is the header.

    At most 1,000 rows are shown."""
    header, rows, count = _rows(df_or_rows)
    if header is None:
        if not rows:
            text("*(empty table)*")
            return
        header, rows, count = rows[0], rows[1:], count - 1
    width = max([len(header), *(len(row) for row in rows)], default=0)
    if not width:
        text("*(empty table)*")
        return
    header = [*header, *[""] * (width - len(header))]
    rows = [[*row, *[None] * (width - len(row))] for row in rows]
    right = [bool(rows) and all(row[i] is None or _is_number(row[i]) for row in rows) for i in range(width)]
    lines = ["| " + " | ".join(map(_cell, header)) + " |"]
    lines.append("| " + " | ".join("---:" if one else "---" for one in right) + " |")
    lines.extend("| " + " | ".join(map(_cell, row)) + " |" for row in rows)
    source = "\n".join(lines) + "\n"
    if count > len(rows):
        source += f"\n*{count - len(rows)} more rows*\n"
    _markdown(source, source)
