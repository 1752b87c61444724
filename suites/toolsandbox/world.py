"""A phone's settings and contacts, and the tools of ToolSandbox that read and change them.

Twelve of its tools, written from their documents: the eight that turn low battery mode, cellular service,
wifi and location service on or off or tell their state, the current location, and adding, changing and
removing a contact. Low battery mode switches the three services off and keeps them off.

Not here: searching contacts (fuzzy, by the package rapidfuzz), messages, reminders, dates and clock
times, and everything that asks a web service. Ids of new contacts are counted, not random. A phone
number is a plus sign and digits; the reference asks the package phonenumbers.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .similarity import Rows

#: Databases by name; never changed, a call makes others.
State: TypeAlias = Mapping[str, Rows]
#: What a call leaves behind, and what it returns.
Done: TypeAlias = tuple[State, Any]

#: Databases that the tools here can change.
CHANGED = ("SETTING", "CONTACT")
_SERVICES = ("cellular", "wifi", "location_service")
_PHONE = re.compile(r"\+[0-9][0-9 ()-]{3,24}")
_SETTINGS = {
    "device_id": str(uuid.uuid5(uuid.NAMESPACE_URL, "my_phone")),
    **dict.fromkeys(_SERVICES, True),
    "low_battery_mode": False,
    "latitude": 37.334606,
    "longitude": -122.009102,
}


def beginning(base: str, contacts: Rows) -> State:
    """The databases at the start of a scenario.

    Args:
        base: the base scenario's name, for example `base_wifi_off`.
        contacts: the rows of the contacts.
    """
    said = {
        f"{name}_{state}": (name, state == "on") for name in _SETTINGS for state in ("on", "off")
    }
    changes = dict(change for text, change in said.items() if f"_{text}" in base)
    empty = dict.fromkeys(("MESSAGING", "REMINDER"), ())
    return {"SETTING": [{**_SETTINGS, **changes}], "CONTACT": list(contacts), **empty}


def _setting(state: State, name: str) -> Any:
    return state["SETTING"][0][name]


def _with(state: State, **settings: Any) -> State:
    return {**state, "SETTING": [{**state["SETTING"][0], **settings}]}


def _needs(kind: type, **given: Any) -> None:
    for name, value in given.items():
        if type(value) is not kind:
            raise TypeError(f"{name} must be of the type {kind.__name__}")


def _getter(name: str) -> Callable[[State], Done]:
    def get(state: State) -> Done:
        return state, _setting(state, name)

    return get


def _setter(name: str) -> Callable[..., Done]:
    def put(state: State, on: bool) -> Done:
        _needs(bool, on=on)
        if on and name in _SERVICES and _setting(state, "low_battery_mode"):
            raise PermissionError(f"{name} stays off in low battery mode")
        if _setting(state, name) == on:
            raise ValueError(f"{name} is {'on' if on else 'off'} already")
        off = dict.fromkeys(_SERVICES, False) if name == "low_battery_mode" and on else {}
        return _with(state, **{name: on}, **off), None

    return put


def _current_location(state: State) -> Done:
    if not _setting(state, "location_service"):
        raise PermissionError("location_service is off")
    return state, {name: _setting(state, name) for name in ("latitude", "longitude")}


def _check_contact(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        _needs(bool if name == "is_self" else str, **{name: value})
    if "phone_number" in given and not _PHONE.fullmatch(given["phone_number"]):
        raise ValueError("phone_number is no number that begins with a country code")


def _check_self(state: State, person_id: str | None) -> None:
    if any(row["is_self"] and row["person_id"] != person_id for row in state["CONTACT"]):
        raise ValueError("there is a contact for the user already")


def _add_contact(
    state: State,
    name: str,
    phone_number: str,
    relationship: str | None = None,
    is_self: bool = False,
) -> Done:
    given = {"name": name, "phone_number": phone_number, "is_self": is_self}
    if relationship is not None:
        given["relationship"] = relationship
    _check_contact(given)
    if is_self:
        _check_self(state, None)
    person_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"contact {len(state['CONTACT'])} {name}"))
    row = {"person_id": person_id, "relationship": None, **given}
    return {**state, "CONTACT": [*state["CONTACT"], row]}, person_id


def _modify_contact(state: State, person_id: str, **given: Any) -> Done:
    _needs(str, person_id=person_id)
    if not given or set(given) - {"name", "phone_number", "relationship", "is_self"}:
        raise TypeError("give at least one of name, phone_number, relationship, is_self")
    _check_contact(given)
    if given.get("is_self"):
        _check_self(state, person_id)
    old = [row for row in state["CONTACT"] if row["person_id"] == person_id]
    if len(old) != 1:
        raise LookupError(f"{len(old)} contacts have the id {person_id[:80]}")
    others = [row for row in state["CONTACT"] if row["person_id"] != person_id]
    return {**state, "CONTACT": [*others, {**old[0], **given}]}, None


def _remove_contact(state: State, person_id: str) -> Done:
    _needs(str, person_id=person_id)
    left = [row for row in state["CONTACT"] if row["person_id"] != person_id]
    if len(left) == len(state["CONTACT"]):
        raise LookupError(f"no contact has the id {person_id[:80]}")
    return {**state, "CONTACT": left}, None


TOOLS: Mapping[str, Callable[..., Done]] = {
    **{
        f"{verb}_{name}_status": maker(setting)
        for name, setting in {
            "low_battery_mode": "low_battery_mode",
            "location_service": "location_service",
            "cellular_service": "cellular",
            "wifi": "wifi",
        }.items()
        for verb, maker in (("get", _getter), ("set", _setter))
    },
    "get_current_location": _current_location,
    "add_contact": _add_contact,
    "modify_contact": _modify_contact,
    "remove_contact": _remove_contact,
}
