"""input(), getpass, exit, help and breakpoint for a program that nobody sits in front of."""

import builtins
import io
import itertools
import re
import sys
import tokenize

import _pymd_compile
import _pymd_streams
from _pymd_base import BUILTINS as __builtins__
from _pymd_base import complain

_ANSWER = re.compile(r"#\s*input:[ \t]?(.*)")
_HOW = "no input left: answer with a comment on the line of the call (# input: value), or send standard input"
# The answers of each cell's text: {line: answer}. Asking again for the same text costs nothing.
_answers = {}


def _answers_of(source):
    found = _answers.get(source)
    if found is not None:
        return found
    found = {}
    if "input:" in source:
        try:
            for token in tokenize.generate_tokens(io.StringIO(source).readline):
                if token.type == tokenize.COMMENT:
                    match = _ANSWER.match(token.string)
                    if match:
                        found[token.start[0]] = match[1].strip()
        except (tokenize.TokenError, SyntaxError):
            pass
    _answers.clear()
    _answers[source] = found
    return found


def _commented(frame):
    """The answer in the comment on one of the lines of the call that the frame is at, or None."""
    code = frame.f_code
    source = _pymd_compile.sources.get(code.co_filename)
    if source is None or "input:" not in source:
        return None
    answers = _answers_of(source)
    first = last = frame.f_lineno
    for position in itertools.islice(code.co_positions(), frame.f_lasti // 2, None):
        first, last = position[0] or first, position[1] or last
        break
    for line in range(last, first - 1, -1):
        if line in answers:
            return answers[line]
    return None


def _ask(prompt, frame, stream):
    if stream is not None and prompt:
        stream.write(prompt)
    _pymd_streams.flush()
    answer = _commented(frame)
    if answer is not None:
        return answer
    source = getattr(sys, "stdin", None)
    if source is None:
        raise RuntimeError("input(): lost sys.stdin")
    line = source.readline()
    if not line:
        raise EOFError(_HOW)
    return line[:-1] if line.endswith("\n") else line


def input(prompt="", /):
    """The answer from the comment `# input: value` on the line of the call, else a line of standard input."""
    return _ask(str(prompt), sys._getframe(1), getattr(sys, "stdout", None))


def getpass(prompt="Password: ", stream=None, *, echo_char=None):
    """Like `input`, with the prompt on standard error."""
    return _ask(str(prompt), sys._getframe(1), stream or getattr(sys, "stderr", None))


class _Exit:
    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"Use {self.name}() to end the cell"

    def __call__(self, code=None):
        raise SystemExit(code)


class _Help:
    def __repr__(self):
        return "Use help(object) to read about the object."

    def __call__(self, *args, **kwargs):
        if not args and not kwargs:
            print(repr(self))
            return
        import pydoc

        pydoc.Helper(output=sys.stdout)(*args, **kwargs)


def _breakpoint(*args, **kwargs):
    """What `breakpoint()` calls: there is nobody to talk to a debugger, so say so and go on."""
    _pymd_streams.flush()
    frame = sys._getframe(1)
    complain(f'breakpoint() at "{frame.f_code.co_filename}", line {frame.f_lineno}: no debugger here, going on')


def patch_getpass(module):
    """Makes the freshly imported `getpass` ask as `input` does."""
    module.getpass = getpass


def install():
    """Puts the functions where programs find them."""
    builtins.input = input
    builtins.exit = _Exit("exit")
    builtins.quit = _Exit("quit")
    builtins.help = _Help()
    sys.breakpointhook = sys.__breakpointhook__ = _breakpoint
