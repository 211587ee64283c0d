"""How a run asks its tasks to stop."""

__all__ = ["Stopped"]


class Stopped(BaseException):
    """A task was asked to stop, through its progress report; what it has done so far may be written on the way out.

    It is no `Exception`, as one that handles errors must let it pass.
    """
