"""A class that libraries ask about: nothing here is a terminal."""

from IPython._shell import InteractiveShell


class TerminalInteractiveShell(InteractiveShell):
    """IPython in a terminal; there is none."""
