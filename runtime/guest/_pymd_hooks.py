"""Adapting modules of the standard library when they are first imported."""

import sys

from _pymd_base import BUILTINS as __builtins__
from _pymd_base import class_name, complain, safe_str

# Nobody in particular, and not the superuser.
_USER = 1000


class _Loader:
    """A loader that adapts its module once it is loaded."""

    def __init__(self, loader, patch):
        self._loader = loader
        self._patch = patch

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        try:
            self._patch(module)
        except Exception as error:
            complain(f"{module.__name__} could not be adapted: {class_name(type(error))}: {safe_str(error)}")


class Finder:
    """Finds the modules that are adapted, and leaves all others to the finders after it."""

    def __init__(self, patches):
        self._patches = patches

    def find_spec(self, name, path=None, target=None):
        """The module's spec with a loader that adapts it, or None."""
        patch = self._patches.get(name)
        if patch is None:
            return None
        spec = self._find_elsewhere(name, path, target)
        if spec is None or not hasattr(spec.loader, "exec_module"):
            return None
        spec.loader = _Loader(spec.loader, patch)
        return spec

    def _find_elsewhere(self, name, path, target):
        for finder in sys.meta_path:
            if finder is not self:
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None


def install(patches):
    """Adapts modules from now on: `{name: function of the loaded module}`."""
    sys.meta_path.insert(0, Finder(patches))


def complete_os():
    """Gives `os` the names of who runs the process: many packages import them without a look at the platform."""
    import os

    for name in ("getuid", "geteuid", "getgid", "getegid"):
        if not hasattr(os, name):
            setattr(os, name, lambda: _USER)
