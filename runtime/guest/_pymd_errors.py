"""From an exception to its name, its message and a traceback of bounded length."""

import builtins
import sys
import traceback
from types import TracebackType

import _pymd_compile
from _pymd_base import BUILTINS as __builtins__
from _pymd_base import HERE, class_name, clip, safe_str

_VALUE_LIMIT = 16_384
_LINE_LIMIT = 2_000
_TOTAL_LIMIT = 65_536
_CHAIN_LIMIT = 12
_FRAMES_HEAD = 12
_FRAMES_TAIL = 28
_OURS = (HERE, "<reactor>", "<turn ")

_TracebackException = traceback.TracebackException
_StackSummary = traceback.StackSummary
_get_tb = BaseException.__traceback__.__get__
_get_cause = BaseException.__cause__.__get__
_get_context = BaseException.__context__.__get__


class _Cut(_StackSummary):
    """A stack whose middle was left out."""

    left_out = 0

    def format(self, **options):
        if len(self) != _FRAMES_HEAD + _FRAMES_TAIL:
            return super().format(**options)
        head = _StackSummary.format(_StackSummary(self[:_FRAMES_HEAD]), **options)
        tail = _StackSummary.format(_StackSummary(self[_FRAMES_HEAD:]), **options)
        return [*head, f"  [{self.left_out} more frames]\n", *tail]


def _users_frames(tb):
    """The traceback's links without the runner's own, and whether that changed anything."""
    links = []
    total = 0
    while tb is not None:
        total += 1
        if not tb.tb_frame.f_code.co_filename.startswith(_OURS):
            links.append(tb)
        tb = tb.tb_next
    # What drives an awaited cell stands before the cell's first frame.
    for index, link in enumerate(links[:8]):
        if link.tb_frame.f_code.co_filename in _pymd_compile.sources:
            del links[:index]
            break
    return links, total


def _relink(error):
    """Leaves the user's frames in the exception's traceback, and at most the first and the last of very many.

    Returns how many were left out."""
    links, total = _users_frames(_get_tb(error))
    left_out = 0
    if len(links) > _FRAMES_HEAD + _FRAMES_TAIL:
        left_out = len(links) - _FRAMES_HEAD - _FRAMES_TAIL
        links = links[:_FRAMES_HEAD] + links[-_FRAMES_TAIL:]
    if len(links) != total:
        tb = None
        for link in reversed(links):
            tb = TracebackType(tb, link.tb_frame, link.tb_lasti, link.tb_lineno)
        error.__traceback__ = tb
    return left_out


def _tidy(error):
    """Shortens the tracebacks of an exception and of all that led to it; cuts a chain that never ends.

    Returns how many frames were left out, by the exception's id, and how to undo the cut."""
    left_out = {}
    undo = []
    queue = [(error, 0)]
    seen = set()
    while queue:
        one, depth = queue.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        left_out[id(one)] = _relink(one)
        cause, context = _get_cause(one), _get_context(one)
        if depth >= _CHAIN_LIMIT or len(seen) >= 200:
            if cause is not None or context is not None:
                undo.append((one, cause, context, one.__suppress_context__))
                one.__cause__ = one.__context__ = None
            continue
        queue.append((cause, depth + 1))
        queue.append((context, depth + 1))
        if isinstance(one, BaseExceptionGroup):
            queue.extend((inner, depth + 1) for inner in one.exceptions[:20])
    return left_out, undo


def _mark_cuts(report, error, left_out):
    """Puts a note where frames were left out of the report on the exception and on those it is chained to."""
    pairs = [(report, error)]
    seen = set()
    while pairs:
        one, exception = pairs.pop()
        if one is None or exception is None or id(one) in seen:
            continue
        seen.add(id(one))
        count = left_out.get(id(exception), 0)
        if count and one.stack is not None:
            one.stack = _Cut(one.stack)
            one.stack.left_out = count
        pairs.append((one.__cause__, _get_cause(exception)))
        pairs.append((one.__context__, _get_context(exception)))
        if one.exceptions:
            pairs.extend(zip(one.exceptions[:20], exception.exceptions))


def _bounded(lines):
    """The lines, each and all together of bounded length, the beginning and the end kept."""
    lines = [line if len(line) <= _LINE_LIMIT else clip(line, _LINE_LIMIT) for line in lines]
    if sum(map(len, lines)) + len(lines) <= _TOTAL_LIMIT:
        return lines
    head, tail, room = [], [], _TOTAL_LIMIT // 3
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        head.append(line)
    room = _TOTAL_LIMIT * 2 // 3 - 100
    for line in reversed(lines[len(head) :]):
        room -= len(line) + 1
        if room < 0:
            break
        tail.append(line)
    tail.reverse()
    return [*head, f"[{len(lines) - len(head) - len(tail)} more lines]", *tail]


def _source_line(filename, number):
    source = _pymd_compile.sources.get(filename, "")
    lines = source.split("\n", number)[:number] if 0 < number < 100_000 else []
    return lines[-1] if len(lines) == number else ""


def _plain_lines(error, name, value):
    """A traceback that needs nothing but the frames: for when memory is short, or the full one failed."""
    lines = []
    tb = _get_tb(error)
    count = 0
    while tb is not None and count < 30:
        code = tb.tb_frame.f_code
        if not code.co_filename.startswith(_OURS):
            lines.append(f'  File "{code.co_filename}", line {tb.tb_lineno}, in {code.co_name}')
            text = _source_line(code.co_filename, tb.tb_lineno or 0).strip()
            if text:
                lines.append("    " + clip(text, 200))
            count += 1
        tb = tb.tb_next
    if lines:
        lines.insert(0, "Traceback (most recent call last):")
    lines.append(clip(f"{name}: {value}" if value else name, _LINE_LIMIT))
    return lines


def _full_lines(error):
    left_out, undo = _tidy(error)
    try:
        report = _TracebackException(type(error), error, _get_tb(error))
        _mark_cuts(report, error, left_out)
        lines = "".join(report.format()).rstrip("\n").split("\n")
    finally:
        for one, cause, context, suppress in undo:
            one.__cause__, one.__context__, one.__suppress_context__ = cause, context, suppress
    if undo:
        lines.insert(0, "[earlier exceptions of this chain are left out]")
    return _bounded(lines)


def _with_own_builtins(function, *args):
    """Calls the function while `builtins` is as it was at boot: the standard library looks names up there."""
    names = vars(builtins)
    users = dict(names)
    names.update(__builtins__)
    try:
        return function(*args)
    finally:
        names.clear()
        names.update(users)


def describe(error):
    """The exception as `(ename, evalue, traceback lines)`. Never raises but for want of memory."""
    name = class_name(type(error))
    if isinstance(error, MemoryError):
        return name, clip(safe_str(error), 200), _plain_lines(error, name, "")
    value = clip(safe_str(error), _VALUE_LIMIT)
    try:
        _pymd_compile.relearn()
        if isinstance(error, SyntaxError) and error.text is None and error.filename in _pymd_compile.sources:
            # The compiler's later stages don't have the text at hand.
            error.text = _source_line(error.filename, error.lineno or 0) or None
        return name, value, _full_lines(error)
    except MemoryError:
        raise
    except BaseException:
        pass
    try:
        return name, value, _with_own_builtins(_full_lines, error)
    except MemoryError:
        raise
    except BaseException:
        return name, value, _plain_lines(error, name, value)


def remember(error):
    """Leaves the exception where `pdb.pm()` and `traceback.print_last()` look for it."""
    sys.last_exc = sys.last_value = error
    sys.last_type = type(error)
    sys.last_traceback = _get_tb(error)
