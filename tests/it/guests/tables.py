# DataFrames: as the last expression and through pymd.table.
#! result mimes: "text/html text/plain"
import pandas as pd
frame = pd.DataFrame({"a": [1, 2], "b": ["x|y", "z"]})
frame
# %%
#! display has: "| a | b |\n| ---: | --- |\n| 1 | x\\|y |\n| 2 | z |\n"
import pymd
pymd.table(frame)
# %%
#! display has: "|  | b |\n| --- | --- |\n| i | x\\|y |\n| ii | z |\n"
pymd.table(frame[["b"]].set_axis(["i", "ii"]))
