# Names, imports and `from __future__` last from cell to cell; __main__ is the cells' namespace.
#! result: null
from __future__ import annotations
import math
import pickle
class Point:
    pass
x = 41
# %%
#! stdout: "42 __main__ True\n"
import __main__
print(x + 1, __name__, vars(__main__) is globals())
# %%
#! result: "{'a': 'undefined'}"
def f(a: undefined): pass
f.__annotations__
# %%
#! result: "True"
isinstance(pickle.loads(pickle.dumps(Point())), Point)
