# Clearing __main__, sys.modules or both ends nothing but the cell's own names.
#! outcome: completed
import sys, __main__
__main__.__dict__.clear()
# %%
#! stdout: "__main__\n"
print(__name__)
# %%
#! outcome: completed
import sys
del sys.modules["__main__"]
sys.modules.clear()
# %%
#! stdout: "True {\"1\": 2}\n"
import json, sys
print(vars(sys.modules["__main__"]) is globals(), json.dumps({1: 2}))
# %%
#! outcome: completed
sys.modules = {}
sys.path = sys.meta_path = None
# %%
#! stdout: "alive\n"
print("alive")
