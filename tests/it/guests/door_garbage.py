# Whatever a cell sends through the host's door, the cell and the next ones go on.
#! outcome: completed
import _host
for request in (b"", b"\xff", b"{}", b"[]", b'{"op":5}', b'{"op":"nope"}', b"[" * 100_000, b"x" * 10_000_000):
    try:
        _host.call(request)
    except Exception:
        pass
# %%
#! outcome: completed
for request in (b'{"op":"display"}', b'{"op":"display","data":5,"metadata":[],"display_id":1,"update":"x"}',
                b'{"op":"result"}', b'{"op":"clear"}', b'{"op":"problems","items":[{}]}'):
    try:
        _host.call(request)
    except Exception:
        pass
# %%
#! outcome: output_limit_exceeded
_host.call(b"x" * 50_000_000)
# %%
#! stdout: "alive\n"
print("alive")
