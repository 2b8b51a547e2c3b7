"""IPython.display over the cell runner: objects that know their representations, and functions that show them."""

import html as _html
import mimetypes as _mimetypes
import os as _os
import struct as _struct

from _pymd_base import BUILTINS as __builtins__
from _pymd_display import DisplayHandle, clear_output, display, publish, update_display
from _pymd_media import data_uri as _data_uri
from _pymd_media import fence as _fence
from _pymd_media import image_type as _image_type
from _pymd_media import is_url as _is_url

__all__ = [
    "Audio", "Code", "DisplayHandle", "DisplayObject", "HTML", "IFrame", "Image", "JSON", "Javascript", "Latex",
    "Markdown", "Math", "Pretty", "ProgressBar", "SVG", "TextDisplayObject", "Video", "YouTubeVideo", "clear_output",
    "display", "display_html", "display_javascript", "display_jpeg", "display_json", "display_latex",
    "display_markdown", "display_pdf", "display_png", "display_pretty", "display_svg", "publish_display_data",
    "set_matplotlib_formats", "update_display",
]  # fmt: skip


class DisplayObject:
    """Data of one kind, given, or read from a file when it is made."""

    _read_flags = "r"

    def __init__(self, data=None, url=None, filename=None, metadata=None):
        if isinstance(data, _os.PathLike):
            data, filename = None, data
        self.data, self.url, self.metadata = data, url, metadata or {}
        self.filename = None if filename is None else _os.fspath(filename)
        self.reload()

    def __repr__(self):
        return f"<IPython.display.{type(self).__name__} object>"

    def reload(self):
        """Reads the file again, if the data came from one."""
        if self.filename is not None:
            encoding = None if "b" in self._read_flags else "utf-8"
            with open(self.filename, self._read_flags, encoding=encoding) as file:
                self.data = file.read()

    def _answer(self):
        return (self.data, self.metadata) if self.metadata else self.data

    def _link(self):
        return {"text/plain": f"{type(self).__name__}: {self.url}"}


class TextDisplayObject(DisplayObject):
    """Data that is text."""

    def __init__(self, data=None, url=None, filename=None, metadata=None):
        if data is not None and not isinstance(data, (str, bytes, _os.PathLike)):
            raise TypeError(f"{type(self).__name__} expects text, not {data!r:.200}")
        super().__init__(data, url, filename, metadata)


class Pretty(TextDisplayObject):
    """Plain text."""

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": self.data or ""}


class HTML(TextDisplayObject):
    """HTML; it is sanitised before it is shown."""

    def _repr_html_(self):
        return self._answer()

    def __html__(self):
        return self.data


class Markdown(TextDisplayObject):
    """Markdown."""

    def _repr_markdown_(self):
        return self._answer()


class Latex(TextDisplayObject):
    """LaTeX, with its own `$`."""

    def _repr_latex_(self):
        return self._answer()


class Math(TextDisplayObject):
    """A formula in LaTeX; the `$` are added."""

    def _repr_latex_(self):
        formula = (self.data or "").strip("$")
        return f"$\\displaystyle {formula}$"


class SVG(DisplayObject):
    """A drawing in SVG."""

    def _repr_svg_(self):
        return self._answer()


class JSON(DisplayObject):
    """Data that JSON can carry, or its text."""

    def __init__(self, data=None, url=None, filename=None, expanded=False, metadata=None, root="root", **kwargs):
        super().__init__(data, url, filename, {"expanded": expanded, "root": root, **(metadata or {}), **kwargs})

    def _repr_json_(self):
        data = self.data
        if isinstance(data, (str, bytes)):
            import json

            data = json.loads(data)
        return data, self.metadata


class Javascript(TextDisplayObject):
    """A script: never run, kept as text."""

    def __init__(self, data=None, url=None, filename=None, lib=None, css=None):
        super().__init__(data, url, filename)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": self.data or f"Javascript: {self.url}"}


class Code(TextDisplayObject):
    """Source code."""

    def __init__(self, data=None, url=None, filename=None, language=None):
        self.language = language or ("python" if filename is None else _os.path.splitext(str(filename))[1][1:])
        super().__init__(data, url, filename)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": self.data, "text/markdown": _fence(self.data, self.language)}


class Image(DisplayObject):
    """A picture: bytes, a file, or a URL (which is only linked to)."""

    _read_flags = "rb"

    def __init__(
        self, data=None, url=None, filename=None, format=None, embed=None, width=None, height=None, retina=False,
        unconfined=False, metadata=None, alt=None,
    ):  # fmt: skip
        if isinstance(data, str):
            data, url, filename = None, *((data, filename) if _is_url(data) else (url, data))
        if data is None and url is None and filename is None:
            raise ValueError("No image data found. Expecting filename, url, or data.")
        self.width, self.height, self.alt, self.format = width, height, alt, format
        super().__init__(data, url, filename, metadata)
        if self.data is not None:
            self.mime = _image_type(self.data) or f"image/{(format or 'png').lower().replace('jpg', 'jpeg')}"
            self.format = self.mime.partition("/")[2].partition("+")[0]
            if retina and width is None:
                self.width, self.height = _half_size(self.data)

    def _repr_mimebundle_(self, include=None, exclude=None):
        if self.data is None:
            size = "".join(f' {n}="{_html.escape(str(v))}"' for n, v in self._size().items())
            return {"text/html": f'<img src="{_html.escape(self.url)}"{size}>', "text/plain": self.url}
        meta = {**self.metadata, **self._size()}
        return {self.mime: self.data, "text/plain": repr(self)}, {self.mime: meta} if meta else {}

    def _size(self):
        found = {"width": self.width, "height": self.height, "alt": self.alt}
        return {name: value for name, value in found.items() if value is not None}


def _half_size(data):
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = _struct.unpack(">II", data[16:24])
        return width // 2, height // 2
    return None, None


class _Media(DisplayObject):
    _read_flags = "rb"
    _tag = ""
    _default_type = ""

    def _source(self):
        if self.data is None:
            return self.url or ""
        return _data_uri(self.data, self.mimetype or self._default_type)

    def _element(self, attributes):
        return f'<{self._tag} src="{_html.escape(self._source())}" {attributes}></{self._tag}>'


class Video(_Media):
    """A film: a file or bytes become part of the document, a URL stays one."""

    _tag, _default_type = "video", "video/mp4"

    def __init__(
        self, data=None, url=None, filename=None, embed=False, mimetype=None, width=None, height=None,
        html_attributes="controls",
    ):  # fmt: skip
        if isinstance(data, str):
            data, url, filename = None, *((data, filename) if _is_url(data) else (url, data))
        self.width, self.height, self.html_attributes = width, height, html_attributes
        self.mimetype = mimetype or _mimetypes.guess_type(str(filename or url or ""))[0]
        super().__init__(data, url, filename)

    def _repr_html_(self):
        size = [f'{n}="{_html.escape(str(v))}"' for n, v in (("width", self.width), ("height", self.height)) if v]
        return self._element(" ".join([self.html_attributes, *size]).strip())


class Audio(_Media):
    """A sound: a file, bytes, a URL, or samples (numbers from -1 to 1, or scaled to that) with their `rate`."""

    _tag, _default_type = "audio", "audio/wav"

    def __init__(
        self, data=None, filename=None, url=None, embed=None, rate=None, autoplay=False, normalize=True, *,
        element_id=None,
    ):  # fmt: skip
        if isinstance(data, str):
            data, url, filename = None, *((data, filename) if _is_url(data) else (url, data))
        self.mimetype = _mimetypes.guess_type(str(filename or url or ""))[0]
        if data is not None and not isinstance(data, (bytes, _os.PathLike)):
            if rate is None:
                raise ValueError("rate must be specified when data is a numpy array or list of audio samples.")
            data, self.mimetype = _wave(data, rate, normalize), "audio/wav"
        self.autoplay = autoplay
        super().__init__(data, url, filename)

    def _repr_html_(self):
        return self._element("controls autoplay" if self.autoplay else "controls")


def _wave(samples, rate, normalize):
    import array
    import io
    import wave

    if hasattr(samples, "tolist"):
        samples = samples.tolist()
    channels = samples if samples and isinstance(samples[0], (list, tuple)) else [samples]
    peak = max((abs(x) for channel in channels for x in channel), default=0)
    if not normalize and peak > 1:
        raise ValueError("Audio data must be between -1 and 1 when normalize=False.")
    scale = 32767 / (peak or 1) if normalize else 32767
    frames = array.array("h", (int(x * scale) for frame in zip(*channels) for x in frame))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(len(channels))
        out.setsampwidth(2)
        out.setframerate(int(rate))
        out.writeframes(frames.tobytes())
    return file.getvalue()


class IFrame:
    """Another page: shown as its address, for documents hold no frames."""

    def __init__(self, src, width=None, height=None, extras=None, **kwargs):
        self.src, self.width, self.height, self.params = src, width, height, kwargs

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": str(self.src)}

    def __repr__(self):
        return f"<IPython.display.{type(self).__name__} object>"


class YouTubeVideo(IFrame):
    """A film on YouTube: shown as its address."""

    def __init__(self, id, width=400, height=300, **kwargs):
        super().__init__(f"https://www.youtube.com/watch?v={id}", width, height, **kwargs)


class ProgressBar:
    """A bar that counts to `total`; iterating it shows each step."""

    def __init__(self, total):
        self.total, self._progress, self._handle = total, -1, None

    def __repr__(self):
        done = max(self._progress, 0)
        filled = int(60 * done / self.total) if self.total else 60
        return f"[{'=' * filled:<60}] {done}/{self.total}"

    def _repr_html_(self):
        return f'<progress style="width:60ex" max="{self.total}" value="{max(self._progress, 0)}"></progress>'

    def display(self):
        """Shows the bar."""
        self._handle = display(self, display_id=True)

    def update(self):
        """Shows the bar's present state in its place."""
        self._handle.update(self)

    @property
    def progress(self):
        """How far it is."""
        return self._progress

    @progress.setter
    def progress(self, value):
        self._progress = value
        if self._handle is not None:
            self.update()

    def __iter__(self):
        self.display()
        self._progress = -1
        return self

    def __next__(self):
        self.progress += 1
        if self.progress < self.total:
            return self.progress
        raise StopIteration


def publish_display_data(data, metadata=None, *, transient=None, **kwargs):
    """Shows a bundle of representations by MIME type."""
    publish(data, metadata, (transient or {}).get("display_id"), bool(kwargs.get("update", False)))


def _shower(mime, cls):
    def show(*objs, raw=False, metadata=None, **kwargs):
        for one in objs:
            if raw:
                publish({mime: one}, {mime: metadata} if metadata else None)
            else:
                display(one, include=[mime, "text/plain"], metadata=metadata)

    show.__doc__ = f"Shows objects as {mime}; with `raw=True` the objects are the data itself."
    show.__name__ = f"display_{cls}"
    return show


display_pretty = _shower("text/plain", "pretty")
display_html = _shower("text/html", "html")
display_markdown = _shower("text/markdown", "markdown")
display_svg = _shower("image/svg+xml", "svg")
display_png = _shower("image/png", "png")
display_jpeg = _shower("image/jpeg", "jpeg")
display_latex = _shower("text/latex", "latex")
display_json = _shower("application/json", "json")
display_javascript = _shower("application/javascript", "javascript")
display_pdf = _shower("application/pdf", "pdf")


def set_matplotlib_formats(*formats, **kwargs):
    """Chooses how this cell's figures are shown: "png" or "svg"."""
    import _pymd_figures

    _pymd_figures.figure_format = "svg" if "svg" in formats else "png"
