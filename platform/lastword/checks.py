"""What `lastword check` finds: one value for every kind of thing that can be wrong.

Upper floors add to it through the entry point group `lastword.checks`: each member is called with
the configuration and the modules that were named, and gives findings.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The entry point group whose members look at what this floor does not know.
CHECKS_GROUP = "lastword.checks"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        said: what was seen and what was expected, with the values.
        mend: what to do about it.
        rule: the rule that it breaks, if it is one of timing.
    """

    said: str
    mend: str
    rule: str = ""

    @property
    def sentence(self) -> str:
        """The finding as one line."""
        return f"{self.said}; {self.mend}" if self.mend else self.said
