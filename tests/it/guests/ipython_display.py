# The IPython stand-in: display objects, handles, updates, clearing.
#! displays: "text/html+text/plain text/markdown+text/plain text/latex+text/plain application/json+text/plain"
from IPython.display import HTML, JSON, Markdown, Math, clear_output, display, update_display
display(HTML("<b>"), Markdown("# x"), Math("x^2"), JSON({"a": 1}))
# %%
#! result: "True"
handle = display("first", display_id="one")
handle.update("second")
update_display("third", display_id="one")
handle.display_id == "one"
# %%
#! displays: "text/plain text/html"
from IPython.display import Javascript, display_html
display(Javascript("alert(1)"))
display_html("<i>", raw=True)
# %%
#! outcome: completed
get_ipython().run_line_magic("matplotlib", "inline")
clear_output(wait=True)
