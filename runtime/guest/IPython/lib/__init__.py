"""Old places of what libraries import."""

from IPython.lib import pretty

__all__ = ["pretty"]
