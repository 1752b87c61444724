"""The tools of tau-bench's shop: users, products and orders.

Written from the documents that the model reads (tools_info.json) and from recorded observations, to
which they are equal. Which changes are wise is for the agent to know; these check only what the
recorded ones check. As recorded, an order with modified items is no longer `pending` for any tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .calls import named
from .database import Database, Record, Refused

_REASONS = ("no longer needed", "ordered by mistake")


def find_user_id_by_email(db: Database, /, email: str) -> str:
    return _user_where(db, lambda user: user["email"].lower() == email.lower())


def find_user_id_by_name_zip(db: Database, /, first_name: str, last_name: str, zip: str) -> str:
    wanted = (first_name.lower(), last_name.lower(), zip)

    def is_wanted(user: Record) -> bool:
        name = user["name"]
        seen = (name["first_name"].lower(), name["last_name"].lower(), user["address"]["zip"])
        return bool(seen == wanted)

    return _user_where(db, is_wanted)


def _user_where(db: Database, wanted: Any) -> str:
    found = next((id for id, user in db.rows("users") if wanted(user)), None)
    if found is None:
        raise Refused("user not found")
    return found


def get_order_details(db: Database, /, order_id: str) -> Record:
    return db.read("orders", order_id, "order")


def get_product_details(db: Database, /, product_id: str) -> Record:
    return db.read("products", product_id, "product")


def get_user_details(db: Database, /, user_id: str) -> Record:
    return db.read("users", user_id, "user")


def list_all_product_types(db: Database, /) -> Mapping[str, str]:
    return dict(sorted((p["name"], p["product_id"]) for _, p in db.rows("products")))


def cancel_pending_order(db: Database, /, order_id: str, reason: str) -> Record:
    order = _order_in(db, order_id, "pending", "cancelled")
    if reason not in _REASONS:
        raise Refused("invalid reason")
    refunds = [
        {
            "transaction_type": "refund",
            "amount": payment["amount"],
            "payment_method_id": payment["payment_method_id"],
        }
        for payment in order["payment_history"]
    ]
    for refund in refunds:
        if "gift_card" in refund["payment_method_id"]:
            _charge(db, order["user_id"], refund["payment_method_id"], -refund["amount"])
    order["status"] = "cancelled"
    order["cancel_reason"] = reason
    order["payment_history"] += refunds
    return order


def exchange_delivered_order_items(
    db: Database,
    /,
    order_id: str,
    item_ids: list[str],
    new_item_ids: list[str],
    payment_method_id: str,
) -> Record:
    order = _order_in(db, order_id, "delivered", "exchanged")
    _check_held(order, item_ids)
    swaps = _swaps(db, order, item_ids, new_item_ids)
    difference = round(sum(new["price"] - old["price"] for old, new in swaps), 2)
    method = _method(db, order["user_id"], payment_method_id)
    if method["source"] == "gift_card" and method["balance"] < difference:
        raise Refused("insufficient gift card balance to pay for the price difference")
    order["status"] = "exchange requested"
    order["exchange_items"] = sorted(item_ids)
    order["exchange_new_items"] = sorted(new_item_ids)
    order["exchange_payment_method_id"] = payment_method_id
    order["exchange_price_difference"] = difference
    return order


def modify_pending_order_items(
    db: Database,
    /,
    order_id: str,
    item_ids: list[str],
    new_item_ids: list[str],
    payment_method_id: str,
) -> Record:
    order = _order_in(db, order_id, "pending", "modified")
    _check_held(order, item_ids)
    swaps = _swaps(db, order, item_ids, new_item_ids)
    difference = sum(new["price"] - old["price"] for old, new in swaps)
    method = _method(db, order["user_id"], payment_method_id)
    if method["source"] == "gift_card":
        if method["balance"] < difference:
            raise Refused("insufficient gift card balance to pay for the new item")
        _charge(db, order["user_id"], payment_method_id, difference)
    order["payment_history"].append(
        {
            "transaction_type": "payment" if difference > 0 else "refund",
            "amount": abs(difference),
            "payment_method_id": payment_method_id,
        }
    )
    for old, new in swaps:
        old |= {"item_id": new["item_id"], "price": new["price"], "options": new["options"]}
    order["status"] = "pending (item modified)"
    return order


def modify_pending_order_payment(db: Database, /, order_id: str, payment_method_id: str) -> Record:
    order = _order_in(db, order_id, "pending", "modified")
    method = _method(db, order["user_id"], payment_method_id)
    history = order["payment_history"]
    if len(history) != 1 or history[0]["transaction_type"] != "payment":
        raise Refused("there should be exactly one payment for a pending order")
    before, amount = history[0]["payment_method_id"], history[0]["amount"]
    if before == payment_method_id:
        raise Refused("the new payment method should be different from the current one")
    if method["source"] == "gift_card" and method["balance"] < amount:
        raise Refused("insufficient gift card balance to pay for the order")
    for kind, id, sign in (("payment", payment_method_id, 1), ("refund", before, -1)):
        history.append({"transaction_type": kind, "amount": amount, "payment_method_id": id})
        if "gift_card" in id:
            _charge(db, order["user_id"], id, sign * amount)
    return order


def modify_pending_order_address(
    db: Database,
    /,
    order_id: str,
    address1: str,
    address2: str,
    city: str,
    state: str,
    country: str,
    zip: str,
) -> Record:
    order = _order_in(db, order_id, "pending", "modified")
    order["address"] = _address(address1, address2, city, state, country, zip)
    return order


def modify_user_address(
    db: Database,
    /,
    user_id: str,
    address1: str,
    address2: str,
    city: str,
    state: str,
    country: str,
    zip: str,
) -> Record:
    user = db.edit("users", user_id, "user")
    user["address"] = _address(address1, address2, city, state, country, zip)
    return user


def return_delivered_order_items(
    db: Database, /, order_id: str, item_ids: list[str], payment_method_id: str
) -> Record:
    order = _order_in(db, order_id, "delivered", "returned")
    _method(db, order["user_id"], payment_method_id)
    paid_with = order["payment_history"][0]["payment_method_id"]
    if "gift_card" not in payment_method_id and payment_method_id != paid_with:
        raise Refused("payment method should be either the original payment method or a gift card")
    _check_held(order, item_ids, "some item not found")
    order["status"] = "return requested"
    order["return_items"] = sorted(item_ids)
    order["return_payment_method_id"] = payment_method_id
    return order


def _order_in(db: Database, order_id: str, status: str, what: str) -> Record:
    """An order to be changed, which must have this status.

    Raises:
        Refused: it has another; says that it cannot be `what`.
    """
    order = db.edit("orders", order_id, "order")
    if order["status"] != status:
        raise Refused(f"non-{status} order cannot be {what}")
    return order


def _check_held(order: Record, item_ids: Sequence[str], refusal: str = "") -> None:
    """Refuse items that the order does not hold as often as they are named."""
    held = [item["item_id"] for item in order["items"]]
    for id in item_ids:
        if item_ids.count(id) > held.count(id):
            raise Refused(refusal or f"{id} not found")


def _swaps(
    db: Database, order: Record, item_ids: Sequence[str], new_item_ids: Sequence[str]
) -> list[tuple[Record, Record]]:
    """Each item of the order with the variant that takes its place.

    Raises:
        Refused: numbers differ, or a variant is not of the same product or not available.
    """
    if len(item_ids) != len(new_item_ids):
        raise Refused("the number of items to be exchanged should match")
    left, found = list(order["items"]), []
    for old_id, new_id in zip(item_ids, new_item_ids, strict=True):
        old = next(item for item in left if item["item_id"] == old_id)
        left.remove(old)
        variants = db.read("products", old["product_id"], "product")["variants"]
        if not variants.get(new_id, {}).get("available"):
            raise Refused(f"new item {new_id} not found or available")
        found.append((old, variants[new_id]))
    return found


def _method(db: Database, user_id: str, payment_method_id: str) -> Record:
    methods: Mapping[str, Record] = db.read("users", user_id, "user")["payment_methods"]
    if payment_method_id not in methods:
        raise Refused("payment method not found")
    return methods[payment_method_id]


def _charge(db: Database, user_id: str, gift_card: str, amount: float) -> None:
    """Take an amount from a gift card; a negative one is put on it."""
    card = db.edit("users", user_id, "user")["payment_methods"][gift_card]
    card["balance"] = round(card["balance"] - amount, 2)


def _address(address1: str, address2: str, city: str, state: str, country: str, zip: str) -> Record:
    return {
        "address1": address1,
        "address2": address2,
        "city": city,
        "state": state,
        "country": country,
        "zip": zip,
    }


TOOLS = named(
    cancel_pending_order,
    exchange_delivered_order_items,
    find_user_id_by_email,
    find_user_id_by_name_zip,
    get_order_details,
    get_product_details,
    get_user_details,
    list_all_product_types,
    modify_pending_order_address,
    modify_pending_order_items,
    modify_pending_order_payment,
    modify_user_address,
    return_delivered_order_items,
)
