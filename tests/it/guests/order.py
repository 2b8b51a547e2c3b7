# Text of both streams and displays come in the order of the program.
#! stream: "stdout:a;stderr:b;stdout:c\n;display_data;stdout:d"
import sys
print("a", end="")
print("b", file=sys.stderr, end="")
print("c")
display(1)
print("d", end="")
