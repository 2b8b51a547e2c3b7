# Endless recursion of any kind is a RecursionError with a short traceback.
#! outcome: python_error RecursionError
#! traceback lines: 60
def f(n): return f(n + 1)
f(0)
# %%
#! outcome: python_error RecursionError
#! traceback lines: 160
def even(n): return odd(n + 1)
def odd(n): return even(n + 1)
even(0)
# %%
#! outcome: python_error RecursionError
nested = []
for _ in range(100_000): nested = [nested]
nested
# %%
#! outcome: python_error RecursionError
import json
json.loads("[" * 100_000)
# %%
#! outcome: python_error RecursionError
class Mirror:
    def __repr__(self): return repr(self)
Mirror()
# %%
#! outcome: python_error RecursionError
import sys
sys.setrecursionlimit(60)
f(0)
# %%
#! stdout: "60\n"
print(sys.getrecursionlimit())
