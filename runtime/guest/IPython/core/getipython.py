"""The old place of get_ipython."""

from IPython._shell import get_ipython

__all__ = ["get_ipython"]
