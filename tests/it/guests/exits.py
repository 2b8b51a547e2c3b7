# sys.exit and exit() end the cell with a code; the kernel goes on.
#! outcome: exited 0
import sys
sys.exit()
# %%
#! outcome: exited 3
sys.exit(3)
# %%
#! outcome: exited 1
#! stderr: "bad\n"
sys.exit("bad")
# %%
#! outcome: exited 4
exit(4)
# %%
#! outcome: exited 1
raise SystemExit(True)
# %%
#! outcome: exited -1
sys.exit(10**30)
# %%
#! stdout: "alive\n"
print("alive")
