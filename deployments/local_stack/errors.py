"""What can keep a stack from starting, in words for the person at the terminal."""


class StackError(Exception):
    """Say what is wrong with the machine or the command, and what to do."""
