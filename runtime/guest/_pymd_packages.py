"""An environment's packages: finding them, importing them into an image, compiling them."""

import importlib
import importlib.util
import os
import random
import sys
import warnings
import weakref
from importlib._bootstrap_external import _code_to_hash_pyc
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

from _pymd_base import BUILTINS as __builtins__
from _pymd_base import HERE, class_name, clip, safe_str

_compile = compile
_import_module = importlib.import_module
_source_hash = importlib.util.source_hash
_stdlib = frozenset(sys.stdlib_module_names)
_own_seed = random.Random.seed
_MESSAGE_LIMIT = 1000

# The random number generators that packages made for themselves while the image was made, without a seed of theirs.
generators = []


class _Finder:
    """Keeps an environment's packages and the runtime's own apart.

    The environment comes before the runtime's archive on `sys.path`, so that its version of a package wins over the one
    that is linked in. That must not hold for the standard library, which is in the same archive; and of a package that
    is the environment's, no part must come from those that are linked in.
    """

    def __init__(self, site):
        self._site = site

    def find_spec(self, name, path=None, target=None):
        """The module's spec where this finder has a say, or None."""
        if path is None:
            if name in _stdlib and name not in sys.builtin_module_names and not FrozenImporter.find_spec(name):
                return PathFinder.find_spec(name, [entry for entry in sys.path if entry != self._site], target)
        elif name in sys.builtin_module_names and self._is_ours(path):
            spec = PathFinder.find_spec(name, path, target)
            if spec is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return spec
        return None

    def _is_ours(self, path):
        below = self._site + "/"
        return all(isinstance(entry, str) and entry.startswith(below) for entry in path)


def _linked_in(name):
    """Whether a module that is loaded is a package of the runtime's, neither standard library nor ours."""
    spec = getattr(sys.modules[name], "__spec__", None)
    origin = getattr(spec, "origin", None)
    return name not in _stdlib and isinstance(origin, str) and not origin.startswith(HERE) and ".zip/" in origin


def enter(site):
    """Puts the packages in `site` on the path. Raises ImportError where others of their names are loaded already."""
    names = {entry.partition(".")[0] for entry in os.listdir(site)}
    for name in sorted(names.intersection(sys.modules)):
        if _linked_in(name):
            raise ImportError(f"{name} is loaded already")
    at = sys.path.index(HERE.rstrip("/")) + 1
    sys.path.insert(at, site)
    sys.meta_path.insert(sys.meta_path.index(BuiltinImporter), _Finder(site))
    sys.path_importer_cache.pop(site, None)
    importlib.invalidate_caches()
    random.Random.seed = _watched_seed


def _watched_seed(self, a=None, version=2):
    _own_seed(self, a, version)
    if a is None:
        generators.append(weakref.ref(self))
    else:
        generators[:] = [known for known in generators if known() is not self]


def leave():
    """Ends what holds only while an image is made."""
    if random.Random.seed is _watched_seed:
        random.Random.seed = _own_seed
    generators[:] = [known for known in generators if known() is not None]


def load(name):
    """Imports a module into the image."""
    _import_module(name)


def compile_all(root, out, files):
    """Compiles the files `[[number, path], ...]` below `root`, to `number.pyc` or, with what is wrong, `number.error`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, path in files:
            name = f"{root}/{path}"
            try:
                with open(name, "rb") as file:
                    source = file.read()
                code = _compile(source, name, "exec", 0, True)
                result, content = "pyc", _code_to_hash_pyc(code, _source_hash(source), False)
            except Exception as error:
                if isinstance(error, MemoryError) and not error.args:
                    # The heap is full. (The parser says so, too, of code that is nested too deeply.)
                    raise
                message = clip(f"{class_name(type(error))}: {safe_str(error)}", _MESSAGE_LIMIT)
                result, content = "error", message.encode("utf-8", "backslashreplace")
            # Whole or not there: the host looks whenever the turn ends.
            with open(f"{out}/unfinished", "wb") as file:
                file.write(content)
            os.rename(f"{out}/unfinished", f"{out}/{number}.{result}")
