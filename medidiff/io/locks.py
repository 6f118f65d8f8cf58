"""A lock on an open file, which a killed process lets go of."""

from __future__ import annotations

import sys
from typing import Any

if sys.platform == "win32":

    def take_lock(file: Any, wait: bool = False) -> bool:
        """Nothing is held here: this system has no such locks."""
        return True

else:
    import fcntl

    def take_lock(file: Any, wait: bool = False) -> bool:
        """Hold an open file for this process alone, until it is closed.

        Args:
            file: It, or its descriptor.
            wait: Until nobody else holds it.

        Returns:
            Whether it is held; False where another process holds it, or the file system has no locks.
        """
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


__all__ = ["take_lock"]
