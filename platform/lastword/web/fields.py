"""Fields of a query or a form: each bounded and parsed, and what is wrong named."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from lastword.errors import LastwordError

#: Fields of one query or form at most.
MOST_FIELDS = 100

#: Digits of a number at most.
LONGEST_NUMBER = 18

#: Characters of a query or a form at most.
LONGEST_TEXT = 32_768


class BadInput(LastwordError):
    """A field of a query or a form holds what it cannot hold."""

    def __init__(self, field: str, seen: object, *, expected: str, mend: str = "") -> None:
        # Half of a surrogate pair, which JSON may have in a name, fits into no answer.
        self.field = field.encode(errors="backslashreplace").decode()
        super().__init__(f"{self.field} is {str(seen)[:80]!a}", expected=expected, mend=mend)


class Fields:
    """The fields of a query or a form, in order.

    Args:
        pairs: name and value of each.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs = [(name, value) for name, value in pairs if value != ""]

    @classmethod
    def parsed(cls, text: str) -> Fields:
        """The fields of an urlencoded text.

        Raises:
            BadInput: it is too long, or has too many of them.
        """
        if len(text) > LONGEST_TEXT:
            raise BadInput("the request", f"{len(text)} characters", expected=f"{LONGEST_TEXT}")
        try:
            pairs = parse_qsl(
                text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
            )
        except (ValueError, UnicodeDecodeError):
            expected = f"at most {MOST_FIELDS} fields of UTF-8"
            raise BadInput("the request", "something else", expected=expected) from None
        if any("\0" in name + value for name, value in pairs):
            raise BadInput("the request", "NUL in a field", expected="text")
        return cls(pairs)

    def only(self, known: Collection[str]) -> None:
        """Refuse every field that is not one of these: a filter that is ignored would be a lie.

        Raises:
            BadInput: with the first that is unknown.
        """
        for name, value in self.pairs:
            if name not in known:
                expected = f"some of {', '.join(sorted(known))}"
                raise BadInput(f"the unknown field {name[:40]!a}", value, expected=expected)

    def many(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for key, value in self.pairs if key == name]

    def text(self, name: str, *, longest: int = 200) -> str | None:
        """The value of a field; None if it is not there.

        Raises:
            BadInput: it is there twice, too long, or cannot be printed.
        """
        values = self.many(name)
        if not values:
            return None
        if len(values) > 1:
            raise BadInput(name, " and ".join(values[:2]), expected="one value")
        [value] = values
        if len(value) > longest or not value.isprintable():
            raise BadInput(name, value, expected=f"at most {longest} characters that can be read")
        return value

    def required(self, name: str, *, longest: int = 200) -> str:
        """The value of a field that has to be there.

        Raises:
            BadInput: it is not, or `text` refuses it.
        """
        value = self.text(name, longest=longest)
        if value is None:
            raise BadInput(name, "empty", expected="a value")
        return value

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """The value of a field that holds one of some words; None if it is not there.

        Raises:
            BadInput: it is none of them.
        """
        value = self.text(name)
        if value is not None and value not in set(allowed):
            raise BadInput(name, value, expected=f"one of {', '.join(sorted(allowed))}")
        return value

    def flag(self, name: str) -> bool | None:
        """A field that is `true` or `false`; None if it is not there."""
        value = self.choice(name, ("true", "false"))
        return None if value is None else value == "true"

    def number(self, name: str, low: int, high: int) -> int | None:
        """A whole number in these bounds; None if the field is not there.

        Raises:
            BadInput: it is none, or outside.
        """
        value = self.text(name)
        if value is None:
            return None
        is_number = value.isascii() and value.isdigit() and len(value) <= LONGEST_NUMBER
        if not is_number or not low <= int(value) <= high:
            raise BadInput(name, value, expected=f"a whole number from {low} to {high}")
        return int(value)

    def moment_ms(self, name: str) -> int | None:
        """A day or a moment in ISO 8601, as milliseconds since 1970; UTC if it names no zone.

        Raises:
            BadInput: it is none, or before 1970 or after 9998.
        """
        value = self.text(name, longest=40)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            milliseconds = int(aware.timestamp() * 1000)
        except (ValueError, OverflowError):
            milliseconds = -1
        if not 0 <= milliseconds < 253_370_764_800_000:
            expected = "a day or a moment such as 2026-11-25 or 2026-11-25T10:42:10Z"
            raise BadInput(name, value, expected=expected)
        return milliseconds
