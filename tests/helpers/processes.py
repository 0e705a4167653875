"""Work in a process of its own."""

import os
import traceback
from collections.abc import Callable


def in_a_child(work: Callable[[], None]) -> int:
    """Do some work in a copy of this process, and return its exit code, negative for a signal."""
    process = os.fork()
    if process == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
