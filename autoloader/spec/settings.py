"""The settings of a project: state, catalog, engine, storage, prices, guardrails and variables."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from autoloader.spec.model import Model, refusal
from autoloader.spec.quantities import (
    DURATION,
    MONEY,
    SIZE,
    Flag,
    Money,
    PositiveCount,
    Text,
    parse_count,
    parse_duration,
    parse_money,
    parse_percent,
    parse_size,
)
from autoloader.spec.source import Name

SCHEMES: Final = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "az": "az", "file": "file"}


def _endpoint(value: str) -> str:
    if re.fullmatch(r"https?://[^/@\s]+(/[^@\s]*)?", value) is None:
        fix = "Write a URL such as http://localhost:9000, without user name and password."
        raise refusal("is not an endpoint", fix=fix)
    return value


class StorageSettings(Model):
    """How to reach one scheme. Credentials never stand here: the provider's own chain finds them."""

    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = None
    region: str | None = None
    profile: str | None = None
    anonymous: Flag = False


class SparkSettings(Model):
    """Which Spark runs the tasks."""

    engine: Literal["auto", "local", "cluster", "connect", "sail"] = "auto"
    master: str | None = None
    remote: str | None = None
    conf: dict[str, Text] = Field(default_factory=dict)


class ComputeProfile(Model):
    """A size of compute and its price."""

    usd_per_hour: Money | None = None
    cores: PositiveCount | None = None
    conf: dict[str, Text] = Field(default_factory=dict)


class Prices(Model):
    """The price book; None = unknown, never free."""

    null_is_a_value: ClassVar[bool] = True

    usd_per_gb: Money | None = Decimal("0.25")
    usd_per_1000_list: Money | None = None
    usd_per_1000_get: Money | None = None
    usd_per_gb_month: Money | None = None


def _level(parse: Any, pattern: str, also_number: bool = True) -> Any:
    text = {"type": "string", "pattern": f"^(?:{pattern})$"}
    number = {"type": "number", "minimum": 0} if also_number else {"const": 0}
    return (BeforeValidator(lambda value: Decimal(parse(value))), WithJsonSchema({"anyOf": [number, text]}))


def _seconds(value: Any) -> Decimal:
    if isinstance(value, Decimal):  # a threshold that is parsed already
        return value
    span = parse_duration(value)
    return Decimal(span.days * 86400 + span.seconds) + Decimal(span.microseconds) / 1_000_000


MoneyLevel = Annotated[Decimal, *_level(parse_money, MONEY)]
SizeLevel = Annotated[Decimal, *_level(parse_size, SIZE)]
CountLevel = Annotated[Decimal, *_level(parse_count, "[0-9]{1,18}")]
TimeLevel = Annotated[Decimal, *_level(_seconds, DURATION, also_number=False)]
PercentLevel = Annotated[Decimal, *_level(parse_percent, r"(?:100(?:\.0+)?|[0-9]{1,2}(?:\.[0-9]+)?) ?%?")]


class Threshold(Model):
    """A guardrail's two levels."""

    warn: Decimal | None = None
    deny: Decimal | None = Field(default=None, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _a_bare_value_denies(cls, value: Any) -> Any:
        if isinstance(value, Threshold):
            return {"warn": value.warn, "deny": value.deny}
        return value if isinstance(value, dict) else {"deny": value}

    @field_validator("deny")
    @classmethod
    def _levels_rise(cls, deny: Decimal | None, info: ValidationInfo) -> Decimal | None:
        if "warn" not in info.data:
            return deny
        warn = info.data["warn"]
        if deny is None and warn is None:
            raise refusal("says neither `warn` nor `deny`", fix="Write one value, or {warn: …, deny: …}.", up=1)
        if deny is not None and warn is not None and warn > deny:
            raise refusal("is below `warn`", fix="Let `warn` be the smaller one.")
        return deny


class MoneyThreshold(Threshold):
    """Levels in dollars."""

    warn: MoneyLevel | None = None
    deny: MoneyLevel | None = Field(default=None, validate_default=True)


class SizeThreshold(Threshold):
    """Levels in bytes."""

    warn: SizeLevel | None = None
    deny: SizeLevel | None = Field(default=None, validate_default=True)


class CountThreshold(Threshold):
    """Levels in files."""

    warn: CountLevel | None = None
    deny: CountLevel | None = Field(default=None, validate_default=True)


class TimeThreshold(Threshold):
    """Levels in seconds."""

    warn: TimeLevel | None = None
    deny: TimeLevel | None = Field(default=None, validate_default=True)


class PercentThreshold(Threshold):
    """Levels from 0 to 100."""

    warn: PercentLevel | None = None
    deny: PercentLevel | None = Field(default=None, validate_default=True)


class Guardrails(Model):
    """Limits that fail a plan or stop an apply. Bytes in bytes, duration in seconds, percent as 0-100."""

    max_usd: MoneyThreshold | None = None
    max_bytes: SizeThreshold | None = None
    max_files: CountThreshold | None = None
    max_duration: TimeThreshold | None = None
    max_replaced_percent: PercentThreshold | None = None


class Settings(Model):
    """`ingestions/autoloader.yml`."""

    state: str | None = Field(default=None, min_length=1)
    catalog: dict[str, Text] = Field(default_factory=dict)
    spark: SparkSettings = SparkSettings()
    storage: dict[str, StorageSettings] = Field(default_factory=dict)
    compute: dict[Name, ComputeProfile] = Field(default_factory=dict)
    prices: Prices = Prices()
    guardrails: Guardrails = Guardrails()
    vars: dict[str, Any] = Field(default_factory=dict)
    lineage_columns: Flag = True

    @field_validator("storage")
    @classmethod
    def _schemes_are_known(cls, storage: dict[str, StorageSettings]) -> dict[str, StorageSettings]:
        found: dict[str, StorageSettings] = {}
        for scheme, settings in storage.items():
            if scheme not in SCHEMES:
                fix = "Storage is keyed by scheme: s3, gs, az or file."
                raise refusal(f"names the scheme `{scheme}`, which is not supported", fix=fix, at=(scheme,))
            if SCHEMES[scheme] in found:
                fix = "s3, s3a and s3n are one scheme: keep one of them."
                raise refusal(f"names `{SCHEMES[scheme]}` twice", fix=fix, at=(scheme,))
            found[SCHEMES[scheme]] = settings
        return found
