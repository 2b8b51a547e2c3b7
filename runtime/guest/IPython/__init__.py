"""As much of IPython's interface as notebooks' code uses, over the cell runner."""

from _pymd_base import BUILTINS as __builtins__
from IPython import display, lib
from IPython._shell import InteractiveShell, get_ipython

__version__ = "9.0.0"
version_info = (9, 0, 0)

__all__ = ["InteractiveShell", "display", "get_ipython", "lib", "version_info"]
