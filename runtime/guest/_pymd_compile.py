"""From a cell's text to code objects, and finding its faults without running it."""

import __future__ as _futures
import ast
import io
import linecache
import warnings
from collections import namedtuple

from _pymd_base import BUILTINS as __builtins__
from _pymd_base import class_name, clip, safe_str

_compile = compile
_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_TREE = ast.PyCF_ONLY_AST | _AWAIT
_FUTURE_MASK = 0
for _name in _futures.all_feature_names:
    _FUTURE_MASK |= getattr(_futures, _name).compiler_flag
_Expr, _Expression, _Module = ast.Expr, ast.Expression, ast.Module
_cache = linecache.cache
_StringIO = io.StringIO

_MESSAGE_LIMIT = 1000
_TOO_DEEP = "the code is nested too deeply"

# The text of every cell by file name: tracebacks, inspect and input() read it.
sources = {}
# What `from __future__ import` said so far.
_flags = 0

Program = namedtuple("Program", "body last")
Program.__doc__ = "A cell's code objects: its statements, and its last expression where that is to be shown."


def _remember(filename, source):
    if linecache.cache is not _cache:
        linecache.cache = _cache
    sources[filename] = source
    _cache[filename] = (len(source), None, list(_StringIO(source, None)), filename)


def forget(filename):
    """Drops a cell's text."""
    sources.pop(filename, None)
    _cache.pop(filename, None)


def relearn():
    """Puts back the cells' lines that a cell took out of the line cache."""
    linecache.cache = _cache
    for filename, source in sources.items():
        if filename not in _cache:
            _remember(filename, source)


def _is_silent(source, node):
    """Whether a semicolon follows the last expression.

    Behind it only brackets, comments and blanks can stand, so no string can hold the semicolon or the `#`.
    """
    if "\r" in source:
        source = source.replace("\r\n", "\n").replace("\r", "\n")
    lines = source.split("\n")[node.end_lineno - 1 :]
    lines[0] = lines[0].encode()[node.end_col_offset :].decode()
    return any(";" in line.partition("#")[0] for line in lines)


def compile_cell(source, filename):
    """The program of a cell. Raises what `compile` raises."""
    if source[:1] == "\ufeff":
        source = source[1:]
    _remember(filename, source)
    try:
        return _compile_parts(source, filename)
    except MemoryError as error:
        # The parser says so of code that is nested too deeply; a heap that is full says nothing.
        if not error.args:
            raise
        raise SyntaxError(_TOO_DEEP) from None


def _compile_parts(source, filename):
    global _flags
    try:
        tree = _compile(source, filename, "exec", _TREE | _flags, True)
    except RecursionError:
        # Too deep to be looked at as a tree; the compiler itself may manage.
        body = _compile(source, filename, "exec", _AWAIT | _flags, True)
        _flags |= body.co_flags & _FUTURE_MASK
        return Program(body, None)
    statements = tree.body
    last = None
    if statements and type(statements[-1]) is _Expr:
        last = statements[-1]
        if ";" in source and _is_silent(source, last):
            last = None
        else:
            statements.pop()
    body = None
    if statements:
        body = _compile(tree, filename, "exec", _AWAIT | _flags, True)
        _flags |= body.co_flags & _FUTURE_MASK
    if last is not None:
        last = _compile(_Expression(last.value), filename, "eval", _AWAIT | _flags, True)
    return Program(body, last)


def _number(value):
    return max(1, value) if isinstance(value, int) else 1


def check(cells):
    """The faults of the cells, as the runner would meet them: `{cell, line, column, message}` in order."""
    problems = []
    flags = _flags
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index, cell in enumerate(cells):
            try:
                source = cell["code"].removeprefix("\ufeff")
                code = _compile(source, f"<{cell['name']}>", "exec", _AWAIT | flags, True)
                flags |= code.co_flags & _FUTURE_MASK
                continue
            except SyntaxError as error:
                line, column, message = _number(error.lineno), _number(error.offset), safe_str(error.msg)
                kind = class_name(type(error))
            except (RecursionError, MemoryError):
                line, column, kind, message = 1, 1, "SyntaxError", _TOO_DEEP
            except Exception as error:
                line, column, kind, message = 1, 1, class_name(type(error)), safe_str(error)
            message = clip(f"{kind}: {message}", _MESSAGE_LIMIT)
            problems.append({"cell": index, "line": line, "column": column, "message": message})
    return problems
