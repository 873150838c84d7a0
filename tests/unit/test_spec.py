"""What each key of a spec accepts, what it means, and what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from autoloader.spec import (
    BadRowLimit,
    Guardrails,
    IngestionSpec,
    PartitionField,
    Period,
    Settings,
    Threshold,
    format_duration,
    parse_duration,
    parse_period,
    parse_size,
    partition_field,
)
from autoloader.spec.quantities import parse_bad_rows, parse_count, parse_fraction, parse_money
from tests.specs import ACCEPTED, EVERYTHING, MINIMAL, REFUSED, with_key


def test_every_key_of_the_design_is_understood() -> None:
    spec = IngestionSpec.model_validate(EVERYTHING)
    assert spec.limits.max_bytes == 500 * 10**9
    assert spec.limits.max_duration == timedelta(hours=2)
    assert spec.backfill is not None
    assert spec.backfill.from_ == date(2015, 1, 1)
    assert spec.backfill.share == Decimal("0.5")
    assert spec.table_schema.max_bad_rows == BadRowLimit(fraction=Decimal("0.01"))


def test_three_keys_make_a_spec() -> None:
    spec = IngestionSpec.model_validate(MINIMAL)
    assert spec.status == "active"
    assert spec.as_data() == MINIMAL


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500GB", 500 * 10**9),
        ("10 MiB", 10 * 2**20),
        ("1.5kb", 1500),
        ("7B", 7),
        ("42", 42),
        (42, 42),
        (1.0, 1),
        ("1TiB", 2**40),
        ("2 pb", 2 * 10**15),
    ],
)
def test_a_size_is_bytes(text: Any, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "5 elephants", "1e9", "1,000", True, None, [], "5GBs", "٣GB"])
def test_what_is_no_size_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        (0, 0),
        ("0", 0),
        ("2h", 7200),
        ("1 day", 86400),
        ("1h30m", 5400),
        ("1 hour, 30 minutes", 5400),
        ("1.5h", 5400),
        ("2 weeks", 1209600),
        ("250 secs", 250),
    ],
)
def test_a_duration_has_a_unit(text: Any, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["5", 5, "h", "-2h", "1 month", "1 year", "2h ago", "1hh", True, "9" * 200 + "h"])
def test_a_duration_without_a_fixed_length_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@settings(max_examples=50, deadline=None)
@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=300_000)))
def test_a_duration_that_is_written_is_read_back(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("text", "fraction"), [("50%", "0.5"), ("1 %", "0.01"), ("0.25%", "0.0025"), (0.5, "0.5"), (1, "1"), ("100%", "1")]
)
def test_a_percentage_is_a_fraction(text: Any, fraction: str) -> None:
    assert parse_fraction(text) == Decimal(fraction)


@pytest.mark.parametrize("text", [50, "50", "101%", "-1%", 1.5, True, "half"])
def test_a_fraction_above_one_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="percentage"):
        parse_fraction(text)


@pytest.mark.parametrize(
    ("text", "usd"), [(50, "50"), (12.5, "12.5"), ("$50", "50"), ("0.1 USD", "0.1"), (0.1, "0.1"), (1e-7, "0.0000001")]
)
def test_money_is_a_decimal(text: Any, usd: str) -> None:
    assert parse_money(text) == Decimal(usd)


@pytest.mark.parametrize("text", [-1, "fifty", "1,000", "50 EUR", True, float("inf"), float("nan")])
def test_what_is_no_amount_of_dollars_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="amount of dollars"):
        parse_money(text)


@pytest.mark.parametrize("text", [-1, 1.5, "ten", True, "1e3", "1 file"])
def test_a_count_is_a_whole_number(text: Any) -> None:
    with pytest.raises(ValueError, match="whole number"):
        parse_count(text)


@pytest.mark.parametrize(
    ("limit", "bad", "total", "passes"),
    [
        ("5%", 5, 100, True),
        ("5%", 6, 100, False),
        ("5%", 1, 20, True),
        ("5%", 2, 39, False),
        ("0.1%", 1, 1000, True),
        (0.05, 5, 100, True),
        (3, 3, 3, True),
        (3, 4, 1000, False),
        (0, 0, 10, True),
        (0, 1, 10, False),
        ("1%", 0, 0, True),
        ("100%", 7, 7, True),
    ],
)
def test_a_file_at_its_limit_of_bad_rows_passes_and_one_more_fails(
    limit: Any, bad: int, total: int, passes: bool
) -> None:
    assert parse_bad_rows(limit).allows(bad, total) is passes


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("1 year", Period(1, "year")),
        ("3 months", Period(3, "month")),
        ("1 week", Period(1, "week")),
        ("6h", Period(6, "hour")),
        ("hourly", Period(1, "hour")),
        ("daily", Period(1, "day")),
        ("weekly", Period(1, "week")),
        ("15 minutes", Period(15, "minute")),
        ("2d", Period(2, "day")),
    ],
)
def test_a_period_counts_on_the_calendar(text: str, period: Period) -> None:
    assert parse_period(text) == period
    assert parse_period(str(period)) == period


@pytest.mark.parametrize("text", ["0 days", "1", "1m", "fortnightly", "-1 day", "1.5 days", 7, None])
def test_what_is_no_period_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="is not a period"):
        parse_period(text)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("region", PartitionField("identity", "region")),
        ("identity(region)", PartitionField("identity", "region")),
        ("month(usage_date)", PartitionField("month", "usage_date")),
        ("bucket[16](id)", PartitionField("bucket", "id", 16)),
        ("truncate[4](code)", PartitionField("truncate", "code", 4)),
        ("day(`a (b)`)", PartitionField("day", "a (b)")),
        ("`month`", PartitionField("identity", "month")),
        ("größe", PartitionField("identity", "größe")),
    ],
)
def test_a_partition_is_a_column_or_a_transform_of_one(text: str, field: PartitionField) -> None:
    assert partition_field(text) == field


@pytest.mark.parametrize(
    "text", ["months(x)", "bucket(16, id)", "bucket[0](id)", "bucket[](id)", "month()", "", "a,b", "month(a)(b)"]
)
def test_what_is_no_partition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a partition"):
        partition_field(text)


@pytest.mark.parametrize(("path", "value"), ACCEPTED)
def test_a_value_that_means_something_is_accepted(path: str, value: Any) -> None:
    spec = IngestionSpec.model_validate(with_key(path, value))
    assert IngestionSpec.model_validate(spec.as_data()) == spec


@pytest.mark.parametrize(("path", "value", "message"), REFUSED)
def test_a_value_that_means_nothing_is_refused(path: str, value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        IngestionSpec.model_validate(with_key(path, value))


def test_a_name_with_a_line_feed_is_refused() -> None:
    with pytest.raises(ValidationError, match="safe name"):
        IngestionSpec.model_validate(with_key("name", "x\n"))


def test_options_that_a_format_does_not_have_are_refused() -> None:
    data = with_key("source.format", "parquet", with_key("source.options", {"delimiter": ";"}))
    with pytest.raises(ValidationError, match="means nothing for parquet"):
        IngestionSpec.model_validate(data)


@pytest.mark.parametrize(
    ("partition", "message"),
    [("month(amount)", "the column is int"), ("bucket[4](ratio)", "the column is double"), ("nowhere", "not a column")],
)
def test_partitions_must_fit_the_declared_columns(partition: str, message: str) -> None:
    columns = [{"name": "amount", "type": "int"}, {"name": "ratio", "type": "double"}]
    data = with_key("destination.partition_by", [partition], with_key("schema.columns", columns))
    with pytest.raises(ValidationError, match=message):
        IngestionSpec.model_validate(data)


def test_partitions_may_use_folder_columns() -> None:
    columns = [{"name": "amount", "type": "int"}]
    data = with_key("source.partitions", {"year": "int"}, with_key("schema.columns", columns))
    spec = IngestionSpec.model_validate(with_key("destination.partition_by", ["year"], data))
    assert spec.destination.partition_by == ("year",)


def test_a_folder_column_and_a_declared_one_have_one_type() -> None:
    data = with_key("source.partitions", {"Year": "int"})
    data = with_key("schema.columns", [{"name": "year", "type": "string"}], data)
    with pytest.raises(ValidationError, match="another type"):
        IngestionSpec.model_validate(data)


def test_instants_are_kept_in_utc() -> None:
    spec = IngestionSpec.model_validate(with_key("source.start", "2024-01-01T02:00:00+02:00"))
    assert spec.source.start == datetime(2024, 1, 1, tzinfo=UTC)
    assert spec.as_data()["source"]["start"] == "2024-01-01T00:00:00Z"


def test_a_spec_as_data_is_read_back_through_json() -> None:
    spec = IngestionSpec.model_validate(EVERYTHING)
    assert IngestionSpec.model_validate(json.loads(json.dumps(spec.as_data()))) == spec


def test_a_bare_guardrail_denies() -> None:
    found = Settings.model_validate(
        {
            "guardrails": {
                "max_usd": 50,
                "max_bytes": {"warn": "1GB", "deny": "2 GB"},
                "max_duration": "2h",
                "max_replaced_percent": "10%",
                "max_files": {"warn": 5},
            }
        }
    ).guardrails
    levels = {name: (rail.warn, rail.deny) for name, rail in found if rail is not None}
    assert levels == {
        "max_usd": (None, 50),
        "max_bytes": (10**9, 2 * 10**9),
        "max_files": (5, None),
        "max_duration": (None, 7200),
        "max_replaced_percent": (None, 10),
    }
    assert Guardrails(max_usd=Threshold(deny=Decimal(5))).max_usd is not None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"guardrails": {"max_usd": {"warn": 9, "deny": 5}}}, "below `warn`"),
        ({"guardrails": {"max_usd": {}}}, "neither `warn` nor `deny`"),
        ({"guardrails": {"max_replaced_percent": 101}}, "percentage"),
        ({"guardrails": {"max_duration": 5}}, "duration"),
        ({"storage": {"ftp": {}}}, "not supported"),
        ({"storage": {"s3": {}, "s3a": {}}}, "twice"),
        ({"storage": {"s3": {"endpoint": "http://user:pass@host"}}}, "not an endpoint"),
        ({"storage": {"s3": {"access_key": "x"}}}, "Extra inputs"),
        ({"prices": {"usd_per_gb": -1}}, "amount of dollars"),
        ({"spark": {"engine": "flink"}}, "'auto'"),
        ({"compute": {"a b": {}}}, "safe name"),
    ],
)
def test_settings_that_mean_nothing_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate(data)


def test_a_price_that_is_null_is_unknown_and_one_left_out_is_the_default() -> None:
    assert Settings.model_validate({"prices": {"usd_per_gb": None}}).prices.usd_per_gb is None
    assert Settings.model_validate({"prices": {"usd_per_1000_get": 0.4}}).prices.usd_per_gb == Decimal("0.25")


def test_storage_is_known_by_its_canonical_scheme() -> None:
    assert list(Settings.model_validate({"storage": {"s3a": {"region": "eu-west-1"}}}).storage) == ["s3"]
