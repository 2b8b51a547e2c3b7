"""asyncio without sockets or threads, and awaiting at a cell's top level."""

import sys
import time

from _pymd_base import BUILTINS as __builtins__

_STUCK = "this await can never finish: nothing is left to run and nothing to wait for"
_loop = None


class _Stuck(RuntimeError):
    """A RuntimeError to all who meet it; told apart from others here."""


_Stuck.__name__ = _Stuck.__qualname__ = "RuntimeError"
_Stuck.__module__ = "builtins"


class _Selector:
    """Waits for the clock: there is nothing else to wait for."""

    def __init__(self):
        self._selector = None

    def _real(self):
        if self._selector is None:
            import selectors

            self._selector = selectors.DefaultSelector()
        return self._selector

    def select(self, timeout=None):
        if self._selector is not None and self._selector.get_map():
            return self._selector.select(timeout)
        if timeout is None:
            raise _Stuck(_STUCK)
        if timeout > 0:
            time.sleep(timeout)
        return []

    def get_map(self):
        return {} if self._selector is None else self._selector.get_map()

    def close(self):
        if self._selector is not None:
            self._selector.close()

    def __getattr__(self, name):
        return getattr(self._real(), name)


def patch_loop(module):
    """Lets asyncio's loop do without the socket pair by which threads and signals would wake it."""
    loop_class = module.BaseSelectorEventLoop
    init = loop_class.__init__

    def __init__(self, selector=None):
        init(self, _Selector() if selector is None else selector)

    def _make_self_pipe(self):
        self._ssock = self._csock = None

    def _close_self_pipe(self):
        pass

    def run_in_executor(self, executor, func, *args):
        """Runs the function at once: there are no threads."""
        if executor is not None:
            return super(loop_class, self).run_in_executor(executor, func, *args)
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    loop_class.__init__ = __init__
    loop_class._make_self_pipe = _make_self_pipe
    loop_class._close_self_pipe = _close_self_pipe
    loop_class.run_in_executor = run_in_executor


def loop():
    """The kernel's loop, which lasts from cell to cell."""
    global _loop
    import asyncio

    if _loop is None or _loop.is_closed():
        _loop = asyncio.new_event_loop()
        asyncio.set_event_loop(_loop)
    return _loop


def run(coroutine):
    """Runs a cell's coroutine on the kernel's loop. Returns its value."""
    from asyncio import CancelledError

    kernels = loop()
    task = kernels.create_task(coroutine)
    try:
        return kernels.run_until_complete(task)
    except _Stuck:
        if task.done():
            raise
    # Ended from inside, so that its `finally` blocks run and the traceback shows where it waited.
    task.cancel()
    try:
        return kernels.run_until_complete(task)
    except CancelledError as error:
        raise RuntimeError(_STUCK).with_traceback(error.__traceback__) from None
