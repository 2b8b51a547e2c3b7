# Top-level await on a loop that lasts from cell to cell.
#! result: "[1, 2]"
import asyncio
async def later(n):
    await asyncio.sleep(n / 1000)
    return n
task = asyncio.create_task(later(3))
await asyncio.gather(later(1), later(2))
# %%
#! result: "3"
await task
# %%
#! stdout: "late\n"
try:
    await asyncio.wait_for(asyncio.sleep(10), 0.01)
except TimeoutError:
    print("late")
# %%
#! result: "7"
asyncio.run(later(7))
# %%
#! result: "5"
await asyncio.to_thread(lambda: 5)
# %%
#! outcome: python_error RuntimeError
#! traceback has: "await asyncio.Future()"
await asyncio.Future()
# %%
#! outcome: python_error ValueError
#! traceback lacks: "base_events"
async def fail():
    raise ValueError("async")
await fail()
# %%
#! outcome: exited 2
import sys
await asyncio.sleep(0); sys.exit(2)
# %%
#! result: "[0, 1]"
async def count():
    for i in range(2): yield i
[i async for i in count()]
