"""The base of every model of a YAML mapping, and the error with which a value is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Model(BaseModel):
    """One YAML mapping: frozen, unknown keys refused, usable under YAML keys and attribute names.

    A key without a value (`limits:` with every line below it commented out) counts as left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    null_is_a_value: ClassVar[bool] = False

    @classmethod
    def keys(cls) -> frozenset[str]:
        """The YAML keys."""
        return frozenset(field.alias or name for name, field in cls.model_fields.items())

    @model_validator(mode="before")
    @classmethod
    def _empty_keys_are_left_out(cls, data: Any) -> Any:
        if cls.null_is_a_value or not isinstance(data, Mapping) or None not in data.values():
            return data
        known = cls.keys() | cls.model_fields.keys()
        return {key: value for key, value in data.items() if value is not None or key not in known}


def any_case(word: str) -> str:
    """A pattern for a word in upper or lower case; JSON Schema knows no flags."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in word)


def refusal(
    what: str, *, fix: str = "", at: Sequence[str | int] = (), up: int = 0, compares: bool = False
) -> PydanticCustomError:
    """The error that a validator raises.

    Args:
        what: What is wrong with the value, as a sentence without the key's name.
        fix: What to write instead.
        at: Keys below the validated one, where the error stands elsewhere than the validator.
        up: How many keys to leave first: `up=1, at=("until",)` points at a neighbour.
        compares: Whether the judgement rests on other values, too, which may be in error themselves.
    """
    return PydanticCustomError(
        "spec", "{what}", {"what": what, "fix": fix, "at": tuple(at), "up": up, "compares": compares}
    )
