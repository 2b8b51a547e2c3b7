# The last expression is shown, the others are not; a semicolon hides it; None shows nothing.
#! stdout: "one\n"
#! result: "3"
print("one")
1 + 1
3
# %%
#! result: null
5;
# %%
#! result: "'a;b'"
"a;b"  # ; not a semicolon of the statement
# %%
#! result: null
(1,
 2) ; # hidden
# %%
#! result: null
None
# %%
#! result: "('a;b', 3)"
_, __
