# Two kernels born from one image draw different numbers; one kernel goes on with its own stream. Compare two runs.
#! outcome: completed
import random, tempfile, uuid
print(random.random(), tempfile.mktemp(), uuid.uuid4())
# %%
#! outcome: completed
import numpy
print(numpy.random.rand(), random.random())
