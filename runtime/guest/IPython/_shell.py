"""The object that `get_ipython()` answers."""

import sys

import _pymd_display
from _pymd_base import BUILTINS as __builtins__

# Magics that change nothing here: figures are always shown inline.
_QUIET = frozenset({"matplotlib", "load_ext", "reload_ext", "autoreload", "config", "precision"})


class _Events:
    def register(self, event, function):
        """Takes note of nothing: no library needs its events here."""

    def unregister(self, event, function):
        """Does nothing."""


class _Formatter:
    """The functions by which classes are represented in one MIME type."""

    def __init__(self, mime):
        self.format_type = mime
        self.enabled = True

    @property
    def type_printers(self):
        """The functions by class."""
        return _pymd_display.registered.setdefault(self.format_type, {})

    def for_type(self, cls, func=None):
        """Represents objects of the class, or of the one named `module.name`, with `func`."""
        key = tuple(cls.rsplit(".", 1)) if isinstance(cls, str) else cls
        old = self.type_printers.get(key)
        if func is not None:
            self.type_printers[key] = func
        return old

    def for_type_by_name(self, type_module, type_name, func=None):
        """Like `for_type` for a class that need not be imported."""
        return self.for_type(f"{type_module}.{type_name}", func)

    def pop(self, cls, default=None):
        """Forgets the class's function and returns it."""
        return self.type_printers.pop(cls, default)


class _Formatters(dict):
    def __missing__(self, mime):
        return self.setdefault(mime, _Formatter(mime))


class _DisplayFormatter:
    def __init__(self):
        self.formatters = _Formatters()
        self.active_types = ["text/plain", *(mime for mime, _ in _pymd_display.METHODS)]

    def format(self, obj, include=None, exclude=None):
        """The object's representations and their metadata."""
        return _pymd_display.represent(obj, include, exclude) or ({}, {})


class _DisplayPub:
    def publish(self, data, metadata=None, *, transient=None, update=False, **kwargs):
        """Shows a bundle of representations."""
        _pymd_display.publish(data, metadata, (transient or {}).get("display_id"), update)

    def clear_output(self, wait=False):
        """Removes the cell's outputs so far."""
        _pymd_display.clear_output(wait)


class InteractiveShell:
    """The kernel, as libraries ask about it."""

    def __init__(self):
        self.config = {}
        self.events = _Events()
        self.display_formatter = _DisplayFormatter()
        self.display_pub = _DisplayPub()
        self.user_ns = {}
        self.colors = "nocolor"

    @classmethod
    def initialized(cls):
        """Whether there is one: always."""
        return True

    @classmethod
    def instance(cls):
        """The only one."""
        return _shell

    def run_line_magic(self, name, line, _stack_depth=1):
        """Accepts the magics that change nothing here, and says so of all others."""
        if name not in _QUIET:
            print(f"UsageError: there is no line magic %{name} here", file=sys.stderr)

    def run_cell_magic(self, name, line, cell):
        """Says that there are none."""
        print(f"UsageError: there is no cell magic %%{name} here", file=sys.stderr)

    def magic(self, line):
        """The old spelling of `run_line_magic`."""
        name, _, rest = line.lstrip("%").partition(" ")
        self.run_line_magic(name, rest)

    def enable_gui(self, gui=None):
        """Does nothing: there is no window."""

    def register_magic_function(self, func, magic_kind="line", magic_name=None):
        """Does nothing: cells are plain Python."""

    def set_custom_exc(self, exc_tuple, handler):
        """Does nothing."""


_shell = InteractiveShell()


def get_ipython():
    """The kernel."""
    return _shell
