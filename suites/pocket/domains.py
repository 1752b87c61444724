"""The seven domains of the pocket world, by id, in the order of `harness.records.DOMAINS`."""

from __future__ import annotations

from .chat import CHAT
from .code import CODE
from .instruction import INSTRUCTION
from .items import Domain
from .knowledge import KNOWLEDGE
from .math import MATH
from .safety import SAFETY
from .tools import TOOLS

POCKET: dict[str, Domain] = {
    domain.id: domain for domain in (INSTRUCTION, MATH, CODE, TOOLS, CHAT, SAFETY, KNOWLEDGE)
}
