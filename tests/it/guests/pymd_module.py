# What the pymd module shows.
#! displays: "text/markdown+text/plain text/markdown+text/plain text/markdown+text/plain text/markdown+text/plain"
#! display has: "# Title more"
#! display has: "````py\na ``` b\n````"
#! display has: "| a | b |\n| ---: | --- |\n| 1 | x\\|y<br>z |\n"
import pymd
pymd.h1("Title\nmore")
pymd.text("*t*")
pymd.code("a ``` b", "py")
pymd.table([{"a": 1, "b": "x|y\nz"}])
# %%
#! displays: "text/html+text/plain"
#! display has: "controls loop></video><figcaption>&lt;c&gt;</figcaption>"
open("v.mp4", "wb").write(b"123")
pymd.video("v.mp4", caption="<c>", loop=True)
# %%
#! displays: "image/png+text/plain image/svg+xml+text/plain"
pymd.image(b"\x89PNG\r\n\x1a\n", caption="dots")
pymd.image("<svg xmlns='http://www.w3.org/2000/svg'></svg>")
# %%
#! outcome: python_error ValueError
pymd.image(b"no picture")
