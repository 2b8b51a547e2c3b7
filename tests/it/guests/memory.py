# Memory that runs out is a MemoryError (or the host's out_of_memory); what was freed is usable again.
#! outcome: python_error MemoryError
hoard = []
while True: hoard.append(bytearray(1 << 20))
# %%
#! outcome: completed
hoard = None
# %%
#! outcome: python_error MemoryError
"a" * (1 << 30)
# %%
#! outcome: completed
big = "a" * 5_000_000
