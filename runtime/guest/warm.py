"""Imports the data packages into the warm image, and uses each once, so that what they load late is there too.

It runs in a fresh kernel, of whose namespace it leaves nothing behind.
"""


def _warm():
    import gc
    import io

    import matplotlib.pyplot as plt
    import numpy as np
    import pandas as pd
    from matplotlib import font_manager

    frame = pd.DataFrame({"x": np.arange(4), "y": np.random.default_rng(1).normal(size=4), "z": list("abab")})
    frame.describe()
    frame.groupby("z").agg({"y": "mean"}).reset_index()
    frame.merge(frame, on="x")._repr_html_()
    repr(frame)
    frame.to_markdown()
    pd.date_range("2026-01-01", periods=4, freq="D")
    figure, axes = plt.subplots(figsize=(2, 2))
    axes.plot(frame.x, frame.y, label="line")
    axes.bar(frame.x, frame.y)
    axes.hist(frame.y)
    axes.set_title("title")
    axes.legend()
    figure.savefig(io.BytesIO(), format="png", bbox_inches="tight")
    plt.close(figure)
    # Its fonts are open files, which an image can't hold.
    font_manager._get_font.cache_clear()
    gc.collect()


_warm()

import _pymd_compile

# Tracebacks of later cells must not show this one's lines.
_pymd_compile.forget("<warm>")
for _name in [name for name in globals() if name not in ("__name__", "__builtins__") and not name.startswith("__")]:
    if _name != "_name":
        del globals()[_name]
del _name
