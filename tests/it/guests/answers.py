# input() is answered by the comment on the line of its call, else by standard input, else it says what to do.
#! stdout: "Name? Hello Bob\n"
name = input("Name? ")  # input: Bob
print("Hello", name)
# %%
#! outcome: python_error EOFError
#! traceback has: "# input: value"
input("# input: not a comment")
# %%
#! result: "['7', '7']"
[input(
    "a"), input("b")]  # input: 7
# %%
#! result: "'secret'"
import getpass
getpass.getpass()  # input: secret
