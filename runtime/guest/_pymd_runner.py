"""Runs a document's cells inside the sandbox: one turn of the interpreter, one cell.

`install()` makes every later turn of the reactor run the cell that the host hands over through its door, whatever
the turn's own source says. See README.md beside this file for the protocol.
"""

import builtins
import gc
import importlib
import os
import sys
import types

import _pymd_compile
import _pymd_display
import _pymd_errors
import _pymd_figures
import _pymd_hooks
import _pymd_input
import _pymd_loop
import _pymd_packages
import _pymd_streams
import _reactor
from _pymd_base import BUILTINS, ask, call, complain
from _pymd_base import BUILTINS as __builtins__
from _pymd_base import class_name, safe_str, tell

# Loaded when the boot image is made: what nearly every document imports, so that no kernel pays for it again.
_PRELOAD = (
    "asyncio", "base64", "bisect", "collections", "copy", "csv", "dataclasses", "datetime", "decimal", "enum",
    "fractions", "functools", "glob", "hashlib", "heapq", "html", "inspect", "io", "itertools", "json", "logging",
    "math", "operator", "pathlib", "pickle", "random", "re", "secrets", "shutil", "statistics", "string", "tempfile",
    "textwrap", "threading", "time", "timeit", "typing", "urllib.parse", "uuid",
)  # fmt: skip
_ASK_CELL = b'{"op":"cell"}'
_NO_MEMORY = b'{"op":"error","ename":"MemoryError","evalue":"","traceback":["MemoryError"]}'
_HOME = "/work"
_RESERVE_BYTES = 256 * 1024
_CO_COROUTINE = 0x80

_run = eval
_gettrace, _settrace = sys.gettrace, sys.settrace
_getprofile, _setprofile = sys.getprofile, sys.setprofile
_getrecursionlimit, _setrecursionlimit = sys.getrecursionlimit, sys.setrecursionlimit
_urandom = os.urandom
_modules = sys.modules
_main = types.ModuleType("__main__")
_names = vars(_main)
_builtin_names = vars(builtins)
# Filled by install().
_main_names = {}
_builtins_kept = {}
_modules_kept = {}
_reserve = None


def _restore():
    """What a cell needs of the interpreter, put back where the one before took it away."""
    global _reserve
    if len(_builtin_names) < len(_builtins_kept):
        for name, value in _builtins_kept.items():
            _builtin_names.setdefault(name, value)
    for name in ("__import__", "__build_class__"):
        if not callable(_builtin_names.get(name)):
            _builtin_names[name] = _builtins_kept[name]
    if getattr(sys, "modules", None) is not _modules:
        sys.modules = _modules
    if "sys" not in _modules or "builtins" not in _modules or "_pymd_runner" not in _modules:
        for name, module in _modules_kept.items():
            _modules.setdefault(name, module)
    if _modules.get("__main__") is not _main:
        _modules["__main__"] = _main
    if "__name__" not in _names or "__builtins__" not in _names:
        for name, value in _main_names.items():
            _names.setdefault(name, value)
    if _names["__builtins__"] is not builtins:
        _names["__builtins__"] = builtins
    # Each cell warns for itself.
    _names.pop("__warningregistry__", None)
    if not callable(getattr(sys, "displayhook", None)):
        sys.displayhook = _pymd_display.show_result
    if _reserve is None:
        try:
            _reserve = bytearray(_RESERVE_BYTES)
        except MemoryError:
            # The heap is full; this cell may be the one that empties it.
            pass
    _pymd_streams.restore()


def _reseed():
    """Gives a kernel that was just born from a shared image, or forked, random numbers of its own."""
    fresh = _urandom(64)
    module = _modules.get("random")
    if module is not None:
        _try_seed("random", module, fresh)
    module = _modules.get("numpy.random")
    if module is not None:
        # Eight words: as much entropy as it would take by itself, at a tenth of the cost.
        _try_seed("numpy.random", module, [int.from_bytes(fresh[i : i + 4]) for i in range(0, 32, 4)])
    module = _modules.get("tempfile")
    if module is not None:
        module._name_sequence = None
    for number, known in enumerate(_pymd_packages.generators):
        generator = known()
        if generator is not None:
            _try_seed("random.Random", generator, fresh + number.to_bytes(8))


def _try_seed(name, module, seed):
    try:
        module.seed(seed)
    except Exception as error:
        complain(f"{name} could not be seeded: {class_name(type(error))}: {safe_str(error)}")


async def _as_coroutine(program):
    """Runs a cell of which any part awaits, so that all of it runs inside the loop."""
    value = None
    for code in program:
        if code is not None:
            value = _run(code, _names)
            if code.co_flags & _CO_COROUTINE:
                value = await value
    return value


def _execute(program):
    """Runs a cell. Returns the value of its last expression where that is to be shown."""
    body, last = program
    awaits = (0 if body is None else body.co_flags) | (0 if last is None else last.co_flags)
    if awaits & _CO_COROUTINE:
        value = _pymd_loop.run(_as_coroutine(program))
        return value if last is not None else None
    if body is not None:
        _run(body, _names)
    return None if last is None else _run(last, _names)


def _exit_code(error):
    try:
        code = error.code
        if code is None:
            return 0
        if isinstance(code, int):
            code = int.__index__(code)
            return code if -0x80000000 <= code <= 0x7FFFFFFF else -1
    except Exception as fault:
        code = fault
    _pymd_streams.flush()
    complain(safe_str(code))
    return 1


def _settle():
    """Takes back what would run inside the runner itself."""
    if _gettrace() is not None:
        _settrace(None)
    if _getprofile() is not None:
        _setprofile(None)


def _report(error):
    """Tells the host of the exception that ended a cell."""
    global _reserve
    limit = _getrecursionlimit()
    if limit < 400:
        _setrecursionlimit(1000)
    try:
        if isinstance(error, MemoryError):
            _reserve = None
        if isinstance(error, SystemExit):
            message = {"op": "exit", "code": _exit_code(error)}
        else:
            try:
                name, value, lines = _pymd_errors.describe(error)
            except MemoryError:
                _reserve = None
                name, value = class_name(type(error)), ""
                lines = [name]
            message = {"op": "error", "ename": name, "evalue": value, "traceback": lines}
            if not isinstance(error, MemoryError):
                _pymd_errors.remember(error)
        _pymd_streams.flush()
        tell(message)
    finally:
        if limit < 400:
            _setrecursionlimit(limit)


def _show_figures(failed):
    """Shows the figures that the cell left open. Returns the exception of one that can't be drawn."""
    try:
        _pymd_figures.publish_open()
    except BaseException as error:
        if not failed:
            return error
        _pymd_streams.flush()
        complain(f"an open figure could not be shown: {class_name(type(error))}: {safe_str(error)}")
    return None


def _run_cell(cell):
    if cell["born"]:
        _reseed()
    _pymd_figures.begin_cell(cell["figure_format"])
    error = None
    try:
        program = _pymd_compile.compile_cell(cell["code"], "<" + cell["name"] + ">")
        value = _execute(program)
        if program.last is not None:
            sys.displayhook(value)
    except BaseException as caught:
        error = caught
    _settle()
    if _pymd_figures.has_open():
        error = _show_figures(error is not None) or error
    if error is None:
        _pymd_streams.flush()
    else:
        _report(error)


def _load(name):
    """Imports a module into an image."""
    try:
        _pymd_packages.load(name)
    except BaseException as error:
        _settle()
        _report(error)
    else:
        _settle()
        _pymd_streams.flush()


def _enter(site):
    """Makes an environment's packages importable."""
    try:
        _pymd_packages.enter(site)
    except ImportError as error:
        _report(error)


def _step():
    """One turn. Returns what the reactor wants: the exit status, and whether the interpreter is to end."""
    global _reserve
    try:
        request = ask(_ASK_CELL)
        _restore()
        if request["mode"] == "run":
            _run_cell(request)
        elif request["mode"] == "check":
            tell({"op": "problems", "items": _pymd_compile.check(request["cells"])})
        elif request["mode"] == "enter":
            _enter(request["site"])
        elif request["mode"] == "import":
            _load(request["module"])
        elif request["mode"] == "compile":
            _pymd_packages.compile_all(request["root"], request["out"], request["files"])
        elif request["mode"] == "collect":
            gc.collect()
        elif request["mode"] == "freeze":
            _pymd_packages.leave()
            gc.collect()
            gc.freeze()
        else:
            raise ValueError("unknown mode")
    except MemoryError:
        _reserve = None
        call(_NO_MEMORY)
        return 1, False
    except BaseException as error:
        # Only a fault of the runner, or a cell that broke the interpreter under it, gets here.
        complain(f"the cell runner failed: {class_name(type(error))}: {safe_str(error)}")
        return 1, False
    return 0, False


def _turn(source, environ=None, *, step=_step):
    return step()


def _patch_tqdm(module):
    # Its monitor would be a thread, and it warns where there are none.
    module.tqdm.monitor_interval = 0


def _set_environment():
    os.environ.update(
        HOME=_HOME,
        TMPDIR="/tmp",
        PYTHONTZPATH="",
        MPLBACKEND="module://_pymd_mpl",
        MPLCONFIGDIR="/var/cache/matplotlib",
    )
    try:
        os.chdir(_HOME)
    except OSError:
        pass
    sys.argv = [""]
    sys.path[:0] = [_HOME]


def install():
    """Takes over the interpreter's turns. Called once, when the boot image is made; returns the turn's function."""
    global _reserve
    import IPython.display
    import pymd

    _set_environment()
    _pymd_hooks.complete_os()
    _pymd_streams.install()
    _pymd_input.install()
    _pymd_hooks.install(
        {
            "asyncio.selector_events": _pymd_loop.patch_loop,
            "getpass": _pymd_input.patch_getpass,
            "matplotlib.artist": _pymd_figures.patch_artist,
            "tqdm.std": _patch_tqdm,
        },
    )
    for name in _PRELOAD:
        importlib.import_module(name)
    builtins.display = _pymd_display.display
    builtins.get_ipython = IPython.get_ipython
    builtins.pymd = pymd
    sys.displayhook = sys.__displayhook__ = _pymd_display.show_result
    _main_names.update(_names, __builtins__=builtins)
    _names.update(_main_names)
    IPython.get_ipython().user_ns = _names
    _modules["__main__"] = _main
    _builtins_kept.update(_builtin_names)
    BUILTINS.update(_builtin_names)
    _modules_kept.update(_modules)
    _reserve = bytearray(_RESERVE_BYTES)
    _warm_up()
    # The reactor keeps a reference to its function, so the function itself changes: nothing that a cell can reach
    # by a name stands between the host and the runner.
    _reactor.turn.__code__ = _turn.__code__
    _reactor.turn.__kwdefaults__ = _turn.__kwdefaults__
    gc.collect()
    gc.freeze()
    return _step


def _warm_up():
    """Runs through what an ordinary cell does, so that no cell pays for first uses."""
    for source in ("def f():\n    raise ValueError('x')\nf()", "[1, 'a']", "unknown", "def f(:", "if 1:\nx"):
        try:
            program = _pymd_compile.compile_cell(source, "<boot>")
            names = {}
            if program.body is not None:
                _run(program.body, names)
            _pymd_display.represent(_run(program.last, names))
        except Exception as error:
            _pymd_errors.describe(error)
    _pymd_display.represent([1, "a" * 100])
    _pymd_loop.loop()
    _pymd_compile.forget("<boot>")
