# help, breakpoint, exit's repr, threads and processes behave where nobody sits in front.
#! stdout has: "Return the number of items in a container."
help(len)
# %%
#! stdout: "after\n"
#! stderr has: "no debugger here"
breakpoint()
print("after")
# %%
#! result: "Use exit() to end the cell"
exit
# %%
#! outcome: python_error RuntimeError
import threading
threading.Thread(target=print).start()
# %%
#! outcome: python_error OSError
import subprocess
subprocess.run(["ls"])
# %%
#! stdout: "/work /work [''] True\n"
import os, sys
print(os.getcwd(), os.environ["HOME"], sys.argv, "__file__" not in globals())
# %%
#! result: "5"
open("helper.py", "w").write("y = 5")
import helper
helper.y
