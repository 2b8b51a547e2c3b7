"""The matplotlib backend of a cell: draws with Agg; `show()` hands the open figures to the host."""

from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

import _pymd_figures


def show(*args, **kwargs):
    """Shows the open figures and closes them."""
    _pymd_figures.publish_open()


class FigureManager(FigureManagerBase):
    """A figure without a window."""

    def show(self):
        """Shows this figure alone."""
        from _pymd_display import display

        display(self.canvas.figure)


class FigureCanvas(FigureCanvasAgg):
    """Agg's canvas."""

    manager_class = FigureManager
