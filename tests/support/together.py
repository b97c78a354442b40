"""A thread that acts in the middle of what this thread does, as far as locks let it."""

import threading

from indipydriver.locks import TOGETHER


def in_a_thread_unless_locked(function):
    """Let another thread call the function now, if it would not have to wait for the lock of values."""

    def work():
        if TOGETHER.acquire(blocking=False):
            try:
                function()
            finally:
                TOGETHER.release()

    def act():
        if threading.current_thread() is main:
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()

    main = threading.current_thread()
    return act
