"""How much is fuzzed, and what of: texts, JSON values and bytes that parsers stumble over."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from lastword.errors import LastwordError
from lastword.reasons import RunFailure
from tests.campaigns import IS_LONG, volume


def fuzzed(short: int, *, long: int, shrinks: bool = True) -> settings:
    """So many examples: the same ones with every change, ever new ones in a long campaign.

    Args:
        short: how many with every change.
        long: how many in a long campaign.
        shrinks: whether what fails is made smaller, which tries it again and again.
    """
    return settings(
        phases=[phase for phase in Phase if shrinks or phase not in (Phase.shrink, Phase.explain)],
        max_examples=volume(short, long=long),
        derandomize=not IS_LONG,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


#: Texts that have been trouble to somebody: no text, half a character, NUL, digits that are none.
ODD_TEXTS = (
    *("", " ", "\0", "a\0b", "\ud800", "\udfff x", "é", "²", "٣", "\u2028", "\x85", "\x1b[31m"),
    *("nan", "NaN", "inf", "-inf", "Infinity", "1e999", "-0", "1_000", "+1", "0x10", "1e5", ".5"),
    *("9" * 30, "9" * 400, "9" * 5000, "0" * 19 + "59999999", "true", "null", "None", "[]", "{}"),
    *("../../etc/passwd", "%00", "%ff", "%(x)s", "${X}", "{{7*7}}", "' OR 1=1 --", "a" * 3000),
    *("2026-13-45", "2026-02-30T25:61", "9999-12-31T23:59:59-23:59", "0001-01-01", "::1", "[::1"),
)

texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=40))

#: Texts that UTF-8 can carry, as files, arguments and headers hold them.
utf8 = texts.map(lambda text: text.encode(errors="replace").decode())

numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**30, 10**400, 1e308, -0.0]),
)

scalars: st.SearchStrategy[Any] = st.one_of(st.none(), st.booleans(), numbers, texts)

values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)

#: How deep lists may lie in each other: around what the interpreter takes, and far beyond.
depths = st.sampled_from([1, 50, 200, 400, 700, 800, 850, 900, 920, 940, 960, 980, 990, 1000, 5000])


def nested(depth: int, core: str = "1") -> str:
    """JSON whose lists lie so deep in each other."""
    return "[" * depth + core + "]" * depth


#: What comes where JSON is expected: JSON, JSON with something broken in it, and anything.
json_bytes: st.SearchStrategy[bytes] = st.one_of(
    values.map(lambda value: json.dumps(value).encode()),
    st.builds(lambda value, cut: json.dumps(value).encode()[:cut], values, st.integers(0, 200)),
    depths.map(lambda depth: nested(depth).encode()),
    st.binary(max_size=80),
    st.sampled_from([b"", b"\xff\xfe", b"\xef\xbb\xbf{}", b"NaN", b'"\\ud800"', b"9" * 5000]),
)


def changed(document: dict[str, Any], replacements: st.SearchStrategy[Any] = values) -> Any:
    """`document` with some of its members replaced, left out, or others beside them."""
    names = sorted(document)
    return st.builds(
        lambda new, gone, more: {
            name: value for name, value in {**more, **document, **new}.items() if name not in gone
        },
        st.dictionaries(st.sampled_from(names), replacements, max_size=3),
        st.sets(st.sampled_from(names), max_size=1),
        st.dictionaries(texts, replacements, max_size=2),
    )


def require_clear(error: LastwordError) -> None:
    """An error that says what was seen, in what one line can hold and a log can print."""
    assert error.seen.strip()
    assert error.sentence.encode()
    assert len(error.sentence) < 100_000


def require_told(failure: RunFailure) -> None:
    """A failure that a run can end with: its reason, and a sentence for people."""
    assert failure.reason
    assert failure.message.isprintable()


def require_said(error: Exception, *beginnings: str) -> None:
    """An error whose words are its own, and not those of what it came across."""
    assert str(error).startswith(beginnings or tuple("abcdefghijklmnopqrstuvwxyz"))
