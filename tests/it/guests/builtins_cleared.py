# Builtins that are gone are there again in the next cell; overwritten ones don't break error reports.
#! outcome: completed
import builtins
builtins.__dict__.clear()
# %%
#! stdout: "2\n"
print(len([1, 2]))
# %%
#! outcome: completed
builtins.isinstance = builtins.len = builtins.type = builtins.__import__ = None
# %%
#! outcome: python_error ZeroDivisionError
#! traceback has: "1 / 0"
import math
1 / 0
