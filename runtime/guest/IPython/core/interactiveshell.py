"""The old place of InteractiveShell."""

from IPython._shell import InteractiveShell

__all__ = ["InteractiveShell"]
