"""The base of every model of a YAML mapping, and the error with which a value is refused."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Model(BaseModel):
    """One YAML mapping: frozen, unknown keys refused, usable under YAML keys and attribute names."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def refusal(what: str, *, fix: str = "", at: Sequence[str | int] = (), up: int = 0) -> PydanticCustomError:
    """The error that a validator raises.

    Args:
        what: What is wrong with the value, as a sentence without the key's name.
        fix: What to write instead.
        at: Keys below the validated one, where the error stands elsewhere than the validator.
        up: How many keys to leave first: `up=1, at=("until",)` points at a neighbour.
    """
    return PydanticCustomError("spec", "{what}", {"what": what, "fix": fix, "at": tuple(at), "up": up})
