# A cell that replaces, closes or deletes the streams costs the next cell nothing.
#! stdout: ""
import io, sys
sys.stdout = io.StringIO()
sys.stderr = None
sys.stdin.close()
print("lost")
# %%
#! stdout: "back\n"
#! stderr: "here\n"
print("back")
print("here", file=sys.stderr)
sys.stdout.close()
sys.stderr.detach()
# %%
#! stdout: "again\n"
print("again")
sys.stdout.write = None
del sys.stdin, sys.stderr
# %%
#! stdout: "'' \\ud800\n"
print(repr(sys.stdin.read()), "\ud800")
