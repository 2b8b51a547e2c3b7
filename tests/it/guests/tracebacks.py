# Tracebacks show the cell's own lines and none of the runner's.
#! outcome: python_error ZeroDivisionError
#! traceback has: "File \"<cell 1>\", line 7, in divide"
#! traceback has: "return a / b"
#! traceback lacks: "_pymd"
def divide(a, b):
    return a / b
divide(1, 0)
# %%
#! outcome: python_error KeyError
#! traceback has: "direct cause"
#! traceback has: "return a / b"
try:
    divide(1, 0)
except ZeroDivisionError as error:
    raise KeyError("k") from error
# %%
#! outcome: python_error ExceptionGroup
#! traceback has: "TypeError: 2"
raise ExceptionGroup("several", [ValueError(1), ExceptionGroup("inner", [TypeError(2)])])
# %%
#! outcome: python_error SyntaxError
#! traceback has: "    ^"
x = = 1
# %%
#! outcome: python_error FileNotFoundError
#! traceback lacks: "pymd.py"
import pymd
pymd.image("nowhere.png")
# %%
#! stderr has: "<cell 6>:2: UserWarning: careful"
import warnings; warnings.warn("careful")
