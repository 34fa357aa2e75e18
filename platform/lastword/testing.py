"""What applications test with: `Bench` and `bench`, which the floors above give by an entry point.

They need the middleware and the reconcilers, which this package must not import.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from lastword.errors import LastwordError

#: The group whose one member is the module that has them.
TESTING_GROUP = "lastword.testing"

__all__ = ["Bench", "bench"]  # noqa: F822 - given when they are asked for


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = list(entry_points(group=TESTING_GROUP))
    if len(found) != 1:
        raise LastwordError(
            f"{len(found)} packages give lastword.testing",
            expected="one",
            mend="install lastword whole, and once",
        )
    return getattr(found[0].load(), name)
