# The rich-display protocol: what is shown, in which types.
#! result mimes: "application/json image/png text/html text/plain"
#! stderr has: "Rich._repr_markdown_ failed: ValueError: no"
class Rich:
    def _repr_html_(self): return "<b>x</b>"
    def _repr_png_(self): return b"\x89PNG"
    def _repr_markdown_(self): raise ValueError("no")
    def _repr_json_(self): return {"a": float("nan")}, {"expanded": True}
Rich()
# %%
#! result: "bundle"
#! result mimes: "text/html text/plain"
class Bundle:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": "bundle", "text/html": "<i>"}, {"text/html": {"isolated": True}}
Bundle()
# %%
#! stdout: "myself\n"
#! result: null
class Self:
    def _ipython_display_(self): print("myself")
Self()
# %%
#! result: "Proxy"
class Proxy:
    def __getattr__(self, name): return lambda *args, **kwargs: 5
    def __repr__(self): return "Proxy"
Proxy()
# %%
#! outcome: python_error ValueError
class Bad:
    def __repr__(self): raise ValueError("repr")
Bad()
# %%
#! result bytes: 1200000
"x" * 3_000_000
# %%
#! result: "'\\ud800'"
"\ud800"
