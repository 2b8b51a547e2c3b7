"""As much of the pretty printer as libraries call."""

from _pymd_display import text_of


def pretty(obj, verbose=False, max_width=79, newline="\n", max_seq_length=1000):
    """The object's text, long containers on several lines."""
    return text_of(obj)


def pprint(obj, verbose=False, max_width=79, newline="\n", max_seq_length=1000):
    """Prints the object's text."""
    print(text_of(obj))
