"""Words that several domains of the pocket world share, so that a small vocabulary holds them all."""

from __future__ import annotations

NAMES = (
    *("Tom", "Ann", "Sam", "Kim", "Max", "Eva", "Leo", "Mia"),
    *("Ben", "Ida", "Jon", "Zoe", "Ray", "Liv", "Gus", "Nia"),
)
THINGS = (
    *("apples", "books", "cups", "pens", "eggs", "keys"),
    *("coins", "cards", "nuts", "stamps", "balls", "hats"),
)
OBJECTS = (
    *("boat", "door", "chair", "table", "wall", "lamp", "bike", "roof"),
    *("gate", "bench", "clock", "drum", "shelf", "kite", "cart", "tent"),
)
PLACES = ("Oslo", "Rome", "Lima", "Cairo", "Paris", "Delhi", "Tokyo", "Boston")
