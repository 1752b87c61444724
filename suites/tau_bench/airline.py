"""The tools of tau-bench's airline: reservations, flights and certificates.

Written from the documents that the model reads (tools_info.json) and from recorded observations, to
which they are equal. They check what those check and no policy: that a reservation may be changed at
all is for the agent to know. As recorded, a change of cabin changes prices but not the stored cabin,
seats are not taken from a flight, and cancelling refunds nothing to a gift card's balance.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from .calls import named
from .database import Database, Record, Refused

_NOW = "2024-05-15T15:00:00"
_NEW_RESERVATIONS = ("HATHAT", "HATHAU", "HATHAV")
_NEW_CERTIFICATES = ("certificate_3221322", "certificate_3221323", "certificate_3221324")
_BAG, _INSURANCE = 50, 30
_AIRPORTS = {
    "SFO": "San Francisco",
    "JFK": "New York",
    "LAX": "Los Angeles",
    "ORD": "Chicago",
    "DFW": "Dallas",
    "DEN": "Denver",
    "SEA": "Seattle",
    "ATL": "Atlanta",
    "MIA": "Miami",
    "BOS": "Boston",
    "PHX": "Phoenix",
    "IAH": "Houston",
    "LAS": "Las Vegas",
    "MCO": "Orlando",
    "EWR": "Newark",
    "CLT": "Charlotte",
    "MSP": "Minneapolis",
    "DTW": "Detroit",
    "PHL": "Philadelphia",
    "LGA": "LaGuardia",
}


def get_user_details(db: Database, /, user_id: str) -> Record:
    return db.read("users", user_id, "user")


def get_reservation_details(db: Database, /, reservation_id: str) -> Record:
    return db.read("reservations", reservation_id, "user")  # so tau-bench words it


def list_all_airports(_: Database, /) -> Mapping[str, str]:
    return _AIRPORTS


def search_direct_flight(db: Database, /, origin: str, destination: str, date: str) -> list[Record]:
    return [
        _offer(flight, date)
        for _, flight in db.rows("flights")
        if (flight["origin"], flight["destination"]) == (origin, destination)
        and _on_sale(flight, date)
    ]


def search_onestop_flight(
    db: Database, /, origin: str, destination: str, date: str
) -> list[list[Record]]:
    flights = [flight for _, flight in db.rows("flights")]
    return [
        # As recorded, a second flight on the next day is offered with the seats of the first day.
        [{**_offer(first, date), "date": date}, {**_offer(second, date), "date": then}]
        for first in flights
        if first["origin"] == origin and _on_sale(first, date)
        for second in flights
        if (second["origin"], second["destination"]) == (first["destination"], destination)
        # Clock times are compared as they are written, also where the first lands on the next day.
        and first["scheduled_arrival_time_est"] <= second["scheduled_departure_time_est"]
        and _on_sale(second, then := _landing_date(first, date))
    ]


def _landing_date(flight: Record, date: str) -> str:
    next_day = "+1" in flight["scheduled_arrival_time_est"]
    return f"2024-05-{int(date[-2:]) + 1}" if next_day else date


def _on_sale(flight: Record, date: str) -> bool:
    return bool(flight["dates"].get(date, {}).get("status") == "available")


def _offer(flight: Record, date: str) -> Record:
    return {**{k: v for k, v in flight.items() if k != "dates"}, **flight["dates"][date]}


def book_reservation(
    db: Database,
    /,
    user_id: str,
    origin: str,
    destination: str,
    flight_type: str,
    cabin: str,
    flights: list[Record],
    passengers: list[Record],
    payment_methods: list[Record],
    total_baggages: int,
    nonfree_baggages: int,
    insurance: str,
) -> Record:
    user = db.read("users", user_id, "user")
    booked = [_booked(db, leg, cabin, len(passengers)) for leg in flights]
    each = sum(leg["price"] for leg in booked) + _INSURANCE * (insurance == "yes")
    _check_payments(user, payment_methods, each * len(passengers) + _BAG * nonfree_baggages)
    taken = [id for id in _NEW_RESERVATIONS if db.has("reservations", id)]
    reservation = {
        "reservation_id": _first_free(_NEW_RESERVATIONS, taken),
        "user_id": user_id,
        "origin": origin,
        "destination": destination,
        "flight_type": flight_type,
        "cabin": cabin,
        "flights": booked,
        "passengers": passengers,
        "payment_history": payment_methods,
        "created_at": _NOW,
        "total_baggages": total_baggages,
        "nonfree_baggages": nonfree_baggages,
        "insurance": insurance,
    }
    payer = db.edit("users", user_id, "user")
    for payment in payment_methods:
        method = payer["payment_methods"][payment["payment_id"]]
        if method["source"] == "gift_card":
            method["amount"] -= payment["amount"]
        elif method["source"] == "certificate":
            del payer["payment_methods"][payment["payment_id"]]
    payer["reservations"].append(reservation["reservation_id"])
    db.add("reservations", str(reservation["reservation_id"]), reservation)
    return reservation


def _booked(db: Database, leg: Record, cabin: str, seats: int) -> Record:
    """A leg with its price and airports.

    Raises:
        Refused: it cannot be booked for so many.
    """
    number, date = leg["flight_number"], leg["date"]
    flight = db.read("flights", number, f"flight {number}")
    if date not in flight["dates"]:
        raise Refused(f"flight {number} not found on date {date}")
    day = flight["dates"][date]
    if day["status"] != "available":
        raise Refused(f"flight {number} not available on date {date}")
    if day["available_seats"][cabin] < seats:
        raise Refused(f"not enough seats on flight {number}")
    return _with_price(leg, day["prices"][cabin], flight)


def _with_price(leg: Record, price: Any, route: Record) -> Record:
    return {**leg, "price": price, "origin": route["origin"], "destination": route["destination"]}


def _check_payments(user: Record, payments: Iterable[Record], total: float) -> None:
    paid: float = 0
    for payment in payments:
        method = user["payment_methods"].get(payment["payment_id"])
        if method is None:
            raise Refused(f"payment method {payment['payment_id']} not found")
        if (
            method["source"] in ("gift_card", "certificate")
            and method["amount"] < payment["amount"]
        ):
            raise Refused(f"not enough balance in payment method {payment['payment_id']}")
        paid += payment["amount"]
    if paid != total:
        raise Refused(f"payment amount does not add up, total price is {total}, but paid {paid}")


def _first_free(ids: Iterable[str], taken: Container[str]) -> str:
    found = next((id for id in ids if id not in taken), None)
    if found is None:
        raise Refused("no further one can be made in this conversation")
    return found


def cancel_reservation(db: Database, /, reservation_id: str) -> Record:
    reservation = db.edit("reservations", reservation_id, "reservation")
    reservation["payment_history"] += [
        {"payment_id": payment["payment_id"], "amount": -payment["amount"]}
        for payment in reservation["payment_history"]
    ]
    reservation["status"] = "cancelled"
    return reservation


def send_certificate(db: Database, /, user_id: str, amount: float) -> str:
    methods = db.edit("users", user_id, "user")["payment_methods"]
    id = _first_free(_NEW_CERTIFICATES, methods)
    methods[id] = {"source": "certificate", "amount": amount, "id": id}
    return f"Certificate {id} added to user {user_id} with amount {amount}."


def update_reservation_baggages(
    db: Database,
    /,
    reservation_id: str,
    total_baggages: int,
    nonfree_baggages: int,
    payment_id: str,
) -> Record:
    reservation = db.edit("reservations", reservation_id, "reservation")
    price = _BAG * max(0, nonfree_baggages - reservation["nonfree_baggages"])
    _pay(db, reservation, payment_id, price)
    reservation["total_baggages"] = total_baggages
    reservation["nonfree_baggages"] = nonfree_baggages
    return reservation


def update_reservation_flights(
    db: Database, /, reservation_id: str, cabin: str, flights: list[Record], payment_id: str
) -> Record:
    reservation = db.edit("reservations", reservation_id, "reservation")
    seats = len(reservation["passengers"])
    kept = {
        (leg["flight_number"], leg["date"]): leg
        for leg in reservation["flights"]
        if cabin == reservation["cabin"]
    }
    legs = []
    for leg in flights:
        old = kept.get((leg["flight_number"], leg["date"]))
        legs.append(_with_price(leg, old["price"], old) if old else _booked(db, leg, cabin, seats))
    change = sum(leg["price"] for leg in legs) - sum(f["price"] for f in reservation["flights"])
    _pay(db, reservation, payment_id, change * seats)
    reservation["flights"] = legs
    return reservation


def _pay(db: Database, reservation: Record, payment_id: str, price: float) -> None:
    """Charge or refund a change of a reservation.

    Raises:
        Refused: with this method it cannot be paid.
    """
    user = db.read("users", reservation["user_id"], "user")
    method = user["payment_methods"].get(payment_id)
    if method is None:
        raise Refused("payment method not found")
    if method["source"] == "certificate":
        raise Refused("certificate cannot be used to update reservation")
    if method["source"] == "gift_card":
        if method["amount"] < price:
            raise Refused("gift card balance is not enough")
        payer = db.edit("users", reservation["user_id"], "user")
        payer["payment_methods"][payment_id]["amount"] -= price
    if price != 0:
        reservation["payment_history"].append({"payment_id": payment_id, "amount": price})


def update_reservation_passengers(
    db: Database, /, reservation_id: str, passengers: list[Record]
) -> Record:
    reservation = db.edit("reservations", reservation_id, "reservation")
    if len(passengers) != len(reservation["passengers"]):
        raise Refused("number of passengers does not match")
    reservation["passengers"] = passengers
    return reservation


TOOLS = named(
    book_reservation,
    cancel_reservation,
    get_reservation_details,
    get_user_details,
    list_all_airports,
    search_direct_flight,
    search_onestop_flight,
    send_certificate,
    update_reservation_baggages,
    update_reservation_flights,
    update_reservation_passengers,
)
