# matplotlib: show(), figures left open, a figure as the last expression, figures of a cell that failed.
#! displays: "image/png+text/plain"
#! stdout: "[]\n"
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.show()
print(plt.get_fignums())
# %%
#! displays: "image/png+text/plain image/png+text/plain"
#! result: null
plt.figure(); plt.plot([1])
plt.figure(); plt.plot([2]);
# %%
#! displays: ""
#! result mimes: "image/png text/plain"
fig, ax = plt.subplots()
fig
# %%
#! displays: "image/png+text/plain"
#! outcome: python_error ZeroDivisionError
plt.plot([1])
1 / 0
# %%
#! displays: "image/png+text/plain"
plt.plot([1])
pymd.image(caption="once")
# %%
#! outcome: python_error ValueError
plt.title("$\\bad{$");
# %%
#! displays: ""
plt.get_fignums()
