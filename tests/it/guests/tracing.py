# A trace function does not outlive its cell, nor see the runner.
#! outcome: completed
import sys
seen = set()
def trace(frame, event, arg):
    seen.add(frame.f_code.co_filename)
    return trace
sys.settrace(trace)
sys.setprofile(trace)
# %%
#! result: "(None, None)"
sys.gettrace(), sys.getprofile()
