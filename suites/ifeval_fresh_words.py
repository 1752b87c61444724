"""The words of fresh IFEval-style prompts: requests, topics, and texts that answers are built from.

All of our own. What the kinds of instruction do with them is in ifeval_fresh_kinds.py.
"""

from __future__ import annotations

REQUESTS = (
    "Write a short guide to {topic}.",
    "Tell a beginner about {topic}.",
    "Draft an email to a friend about {topic}.",
    "Describe what is hard about {topic}.",
    "Write a blog post on {topic}.",
    "Explain why some people enjoy {topic}.",
    "Compose a speech on {topic}.",
    "Sum up what one should know about {topic}.",
    "Invent a brief story around {topic}.",
    "Give some advice on {topic}.",
)
QUESTIONS = (
    "Is {topic} worth the effort?",
    "Would you call {topic} a good hobby?",
    "Can {topic} be learned in a year?",
    "Should children try {topic}?",
)
TOPICS = (
    *("baking bread", "repairing bicycles", "growing tomatoes", "keeping bees", "night trains"),
    *("learning the piano", "mending old clocks", "hiking in the rain", "chess by mail", "pottery"),
    *("reading maps", "raising goats", "sailing small boats", "building kites", "folk dancing"),
    *("restoring furniture", "rowing at dawn", "city gardens", "model railways", "making cheese"),
    *("learning to swim", "collecting stamps", "bird watching", "cooking for a crowd", "juggling"),
    *(
        "moving to a village",
        "sharing a flat",
        "public libraries",
        "cleaning a chimney",
        "knitting",
    ),
    *(
        "training a shy dog",
        "planning a wedding",
        "working at night",
        "winter camping",
        "calligraphy",
    ),
    *("running a food stall", "singing in a choir", "painting a fence", "amateur radio", "origami"),
)

#: Sentences that no kind minds: no comma, no capitals but the first letter, no word of WORDS.
FILLERS = (
    "Most people start with a small step and learn on the way.",
    "It helps to write down what worked and what did not.",
    "A friend with some practice can save a lot of time.",
    "Good tools make the first hour much easier.",
    "There is no need to hurry at the start.",
    "The result gets better with every attempt.",
)
#: Words that neither requests nor FILLERS hold.
WORDS = (
    *(
        "lantern",
        "copper",
        "meadow",
        "harvest",
        "whistle",
        "marble",
        "compass",
        "velvet",
        "thunder",
    ),
    *("pepper", "cabin", "saddle", "ribbon", "granite", "feather", "anchor", "canyon", "orchard"),
)
#: A word for each letter that is asked for, and it holds the letter once.
LETTERS = {"k": "kite", "v": "river", "w": "window", "x": "box", "z": "lizard", "j": "jar"}
ENDINGS = ("That is all for now.", "Ask me for more.", "The rest is up to you.", "Have a good day.")
#: Language code, its name, and a text in it without a comma.
LANGUAGES = {
    "de": (
        "German",
        "Das ist ein kurzer Text über das Thema. Man lernt es am besten mit etwas Übung.",
    ),
    "it": (
        "Italian",
        "Questo è un breve testo su questo argomento. Si impara meglio con la pratica.",
    ),
    "pt": (
        "Portuguese",
        "Este é um texto curto sobre o assunto. A gente aprende melhor com a prática.",
    ),
    "fi": (
        "Finnish",
        "Tämä on lyhyt teksti aiheesta. Sen oppii parhaiten harjoittelemalla joka päivä.",
    ),
    "vi": ("Vietnamese", "Đây là một đoạn văn ngắn về chủ đề này. Bạn nên luyện tập mỗi ngày."),
    "ru": ("Russian", "Это короткий текст на эту тему. Лучше всего учиться на собственном опыте."),
    "hi": ("Hindi", "यह इस विषय पर एक छोटा लेख है। अभ्यास से सब कुछ आसान हो जाता है।"),
    "ar": ("Arabic", "هذا نص قصير حول هذا الموضوع. يتعلم الناس بشكل أفضل مع الممارسة كل يوم."),
    "sw": (
        "Swahili",
        "Haya ni maandishi mafupi kuhusu mada hii. Watu hujifunza vizuri kwa mazoezi.",
    ),
}
