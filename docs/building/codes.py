"""The page of reason codes."""

from __future__ import annotations

from docs.building.writing import table

from lastword.reasons import SENTENCES, Reason

_ABOUT = """# Reason codes

Why a run ended, kept apart from its outcome. Codes are added and never renamed. Each has a runbook:
what it means, what to look at, what to do.

"""


def reasons_page() -> str:
    """Every code with its sentence and its runbook."""
    rows = [
        (f"[`{reason}`](../../deploy/runbooks/reasons/{reason}.md)", SENTENCES[reason])
        for reason in Reason
    ]
    return _ABOUT + table(["code", "what operators read"], rows)
