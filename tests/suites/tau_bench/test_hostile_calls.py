"""What a model may write into a call: refused with a sentence or carried out, bounded, never a crash."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waterbed.harness.errors import UsageError
from waterbed.suites.tau_bench import airline, retail
from waterbed.suites.tau_bench.calls import calculate, carry_out, read_arguments
from waterbed.suites.tau_bench.database import Database, Refused
from waterbed.suites.tau_bench.domain import Domain

NOTHING = Database({})
#: A database as small as the tools need.
USER = {
    "name": {"first_name": "Ann", "last_name": "Lee"},
    "address": {"zip": "10001"},
    "email": "ann@example.com",
    "payment_methods": {"gift_card_1": {"source": "gift_card", "amount": 50, "balance": 50}},
    "reservations": ["AAA"],
}
LEG = {
    "flight_number": "HAT001",
    "date": "2024-05-20",
    "price": 10,
    "origin": "A",
    "destination": "B",
}
TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "users": {"ann": USER},
    "flights": {
        "HAT001": {
            "origin": "A",
            "destination": "B",
            "scheduled_arrival_time_est": "07:00:00",
            "scheduled_departure_time_est": "06:00:00",
            "dates": {
                "2024-05-20": {
                    "status": "available",
                    "available_seats": {"economy": 3},
                    "prices": {"economy": 10},
                }
            },
        }
    },
    "reservations": {
        "AAA": {
            "user_id": "ann",
            "cabin": "economy",
            "flights": [LEG],
            "passengers": [{"first_name": "Ann"}],
            "payment_history": [{"payment_id": "gift_card_1", "amount": 10}],
            "nonfree_baggages": 0,
        }
    },
    "orders": {
        "#W1": {
            "user_id": "ann",
            "status": "pending",
            "items": [{"item_id": "1", "product_id": "P", "price": 5.0}] * 2,
            "payment_history": [
                {"transaction_type": "payment", "amount": 10, "payment_method_id": "paypal_1"}
            ],
        }
    },
    "products": {
        "P": {
            "name": "Cup",
            "product_id": "P",
            "variants": {"2": {"item_id": "2", "price": 7.5, "available": True, "options": {}}},
        }
    },
}
TOOLS = {**airline.TOOLS, **retail.TOOLS}

known = st.sampled_from(
    ["ann", "AAA", "#W1", "P", "1", "2", "HAT001", "2024-05-20", "gift_card_1", "economy", "yes"]
)
odd = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), st.text(max_size=5), known
)
values = st.recursive(
    odd,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(TOOLS)), st.data())
def test_arguments_of_any_type_are_refused_or_carried_out_and_never_reach_the_shared_records(
    name: str, data: st.DataObject
) -> None:
    before = json.dumps(TABLES)
    wanted = TOOLS[name].__code__.co_varnames[1 : TOOLS[name].__code__.co_argcount]
    database = Database(TABLES)
    arguments = {argument: data.draw(values) for argument in wanted}
    seen = carry_out(TOOLS, database, name, arguments)
    assert isinstance(seen, str)
    if seen.startswith("Error: "):
        assert not database.changes(), "a call that failed changed something"
    assert json.dumps(TABLES) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("[1, 2]", "no JSON object"),
        ("{'user_id': 1}", "not JSON"),
        ('{"user_id": ' * 50 + "1" + "}" * 50, "nested deeper than 32"),
        ("[" * 100_000, "100000 characters"),
        ('{"a": ' * 3000, "not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        ('{"a": "' + "x" * 10_000_000 + '"}', "characters"),
    ],
)
def test_arguments_that_cannot_be_read_are_refused_with_what_was_seen(
    arguments: str, told: str
) -> None:
    with pytest.raises(Refused, match=told):
        read_arguments(arguments)


def test_unknown_tools_and_missing_or_unknown_arguments_are_named() -> None:
    database = Database(TABLES)
    assert carry_out(TOOLS, database, "rm_rf", {}) == "Unknown action rm_rf"
    assert "'user_id'" in carry_out(TOOLS, database, "get_user_details", {})
    seen = carry_out(TOOLS, database, "get_user_details", {"user_id": "ann", "as_root": True})
    assert seen.startswith("Error: ") and "as_root" in seen
    assert len(carry_out(TOOLS, database, "x" * 10**6, {})) < 1000


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 2", "4.0"),
        ("(152 + 103) * 2 - 5 / 2", "507.5"),
        ("-(-3)", "3.0"),
        ("7 // 2", "3.0"),
        ("2 ** 10", "1024.0"),
        (".1 + .2", "0.3"),
        ("1" + " + 1" * 300, "301.0"),
    ],
)
def test_arithmetic_is_rounded_to_cents(expression: str, value: str) -> None:
    assert calculate(NOTHING, expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "open",
        "9 ** 9 ** 9 ** 9",
        "(-8) ** 0.5",
        "1 / 0",
        "(" * 4000,
        "-" * 3999 + "1",
        "1" + " + 1" * 900,
        "9" * 5000,
        "9" * 3900 + " * 9",
        "1 2",
        "(1)(2)",
        "",
        "1e5",
        None,
        ["1 + 1"],
        {"expression": 1},
    ],
)
def test_hostile_expressions_are_refused_quickly(expression: object) -> None:
    began = time.perf_counter()
    seen = carry_out(TOOLS, NOTHING, "calculate", {"expression": expression})
    assert seen.startswith("Error: "), seen
    assert len(seen) < 300
    assert time.perf_counter() - began < 1.0


def test_a_call_that_fails_late_leaves_nothing_behind() -> None:
    database = Database(TABLES)
    payment = {"payment_id": "gift_card_1", "amount": 10}
    booking = {
        "user_id": "ann",
        "origin": "A",
        "destination": "B",
        "flight_type": "one_way",
        "cabin": "economy",
        "flights": [LEG],
        "passengers": [{}],
        "total_baggages": 0,
        "nonfree_baggages": 0,
        "insurance": "no",
    }
    for _ in range(3):
        assert "HATHA" in carry_out(
            TOOLS, database, "book_reservation", {**booking, "payment_methods": [payment]}
        )
    kept = database.changes()
    seen = carry_out(TOOLS, database, "book_reservation", {**booking, "payment_methods": [payment]})
    assert seen == "Error: no further one can be made in this conversation"
    assert database.changes() == kept
    assert kept["users", "ann"].count("HATHA") == 3


def test_items_that_are_held_twice_are_both_changed() -> None:
    database = Database(TABLES)
    arguments = {
        "order_id": "#W1",
        "item_ids": ["1", "1"],
        "new_item_ids": ["2", "2"],
        "payment_method_id": "gift_card_1",
    }
    order = json.loads(carry_out(TOOLS, database, "modify_pending_order_items", arguments))
    assert [item["item_id"] for item in order["items"]] == ["2", "2"]
    assert order["payment_history"][-1]["amount"] == 5.0
    user = json.loads(carry_out(retail.TOOLS, database, "get_user_details", {"user_id": "ann"}))
    assert user["payment_methods"]["gift_card_1"]["balance"] == 45.0


def test_a_folder_without_data_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATERBED_DATA", raising=False)
    with pytest.raises(UsageError, match="WATERBED_DATA is not set; put tau-bench's files"):
        Domain.load("retail")
