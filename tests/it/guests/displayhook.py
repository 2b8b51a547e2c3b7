# A cell's own displayhook is honoured; a broken one is a Python error, and one that can't be called is put back.
#! stdout: ""
import sys
sys.displayhook = lambda value: print("hook", value)
# %%
#! stdout: "hook 42\n"
#! result: null
42
# %%
#! outcome: completed
def sys_hook(value): raise KeyError(value)
sys.displayhook = sys_hook
# %%
#! outcome: python_error KeyError
43
# %%
#! outcome: completed
sys.displayhook = 7;
# %%
#! result: "44"
44
