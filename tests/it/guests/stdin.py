# Standard input is each cell's own; its end in one cell does not stick to the next. Give both cells "one\ntwo\n".
#! stdin: "one\ntwo\n"
#! result: "('one', 'two\\n', '')"
import sys
input(), sys.stdin.readline(), sys.stdin.read()
# %%
#! stdin: "one\ntwo\n"
#! result: "'one'"
input()
# %%
#! stdin: "three"
#! result: "'three'"
input()
