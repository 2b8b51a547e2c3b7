# Exceptions that misbehave are reported all the same, within bounds.
#! outcome: python_error Mute
class Mute(Exception):
    def __str__(self): raise ValueError("no")
raise Mute
# %%
#! outcome: python_error Nameless
class Meta(type):
    @property
    def __name__(cls): raise ValueError
class Nameless(Exception, metaclass=Meta): pass
raise Nameless
# %%
#! outcome: python_error Base
class Base(BaseException): pass
raise Base
# %%
#! outcome: python_error KeyboardInterrupt
raise KeyboardInterrupt
# %%
#! outcome: python_error GeneratorExit
raise GeneratorExit
# %%
#! outcome: python_error ValueError
#! traceback lines: 200
chain = None
for number in range(3000):
    link = ValueError(number)
    link.__context__ = chain
    chain = link
raise chain
# %%
#! outcome: python_error ValueError
#! traceback bytes: 70000
raise ValueError("a\n" * 100_000 + "\ud800" + "b" * 1_000_000)
# %%
#! outcome: python_error ValueError
loop = ValueError("loop")
loop.__cause__ = loop
raise loop
# %%
#! outcome: python_error MemoryError
raise MemoryError
