# Runs in a copy of the kernel that is thrown away: whatever it does to the namespace, nobody sees it.
def __pymd_ask():
    import builtins, inspect, json, keyword, re, sys

    question = json.load(sys.stdin)
    code, cursor = question["code"], question["cursor"]
    space = sys.modules["__main__"].__dict__
    before = code[:cursor]

    def find(path):
        parts = path.split(".")
        if parts[0] in space:
            value = space[parts[0]]
        else:
            value = getattr(builtins, parts[0])
        for part in parts[1:]:
            value = getattr(value, part)
        return value

    def text(make, limit):
        try:
            made = make()
        except BaseException:
            return None
        return made[:limit] if isinstance(made, str) else None

    if question["ask"] == "complete":
        dotted = re.search(r"((?:[^\W\d]\w*\.)*)(\w*)$", before)
        path, start = dotted.group(1).rstrip("."), dotted.group(2)
        names = set()
        if start[:1].isdigit():
            pass
        elif path:
            try:
                names.update(name for name in dir(find(path)) if isinstance(name, str))
            except BaseException:
                pass
        elif not before[: dotted.start()].endswith("."):
            names.update(name for name in space if isinstance(name, str))
            names.update(dir(builtins))
            names.update(keyword.kwlist)
        names = [name for name in names if name.startswith(start)]
        if not start.startswith("_"):
            names = [name for name in names if not name.startswith("_")]
        names.sort(key=lambda name: (name.lower(), name))
        answer = {"matches": names[:500], "cursor_start": len(before) - len(start), "cursor_end": cursor}
    else:
        head = re.search(r"(?:[^\W\d]\w*\.)*[^\W\d]?\w*$", before).group()
        path = head + re.match(r"\w*", code[cursor:]).group()
        answer = {"found": False, "name": path, "type_name": None, "signature": None, "documentation": None, "text": None}
        try:
            value = find(path)
            answer["found"] = True
        except BaseException:
            pass
        if answer["found"]:
            answer["type_name"] = text(lambda: type.__dict__["__name__"].__get__(type(value)), 200)
            answer["signature"] = text(lambda: path.rpartition(".")[2] + str(inspect.signature(value)), 2000)
            answer["documentation"] = text(lambda: inspect.getdoc(value), 20000)
            if not callable(value) and not inspect.ismodule(value):
                answer["text"] = text(lambda: repr(value), 2000)
    sys.__stdout__.write(json.dumps(answer))


__pymd_ask()
