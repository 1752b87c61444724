"""Calls that a model wrote as source text, read by BFCL's rules and never executed.

Python is read with `ast.parse`; Java and JavaScript with tree-sitter, whose grammars decide there what
is a call, as in the reference (Patil et al. 2025; V4). An answer that cannot be read raises NotCalls,
which is the model's fault. Odd rules kept on purpose: positional arguments are dropped, every sign
before a constant is a minus, a name is a text, and a Java call so short that tree-sitter prefers to
skip it is none.

Where this differs from the reference: arithmetic on constants is computed within limits and anything
else in it is no call (the reference runs `eval` on it); an answer of more than `LONGEST` characters is
no call; Java beyond ASCII is read whole (the reference cuts it at byte offsets). Not here: whether a call is the wanted one (function_calls.py).
"""

from __future__ import annotations

import ast
import functools
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..harness.errors import UsageError
from .function_calls import Call, Language

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

#: Longest answer that is read, in characters: in Python 10,000 calls of a hundred characters each;
#: tree-sitter, where one call is asked for, takes seconds to get over longer nonsense.
LONGEST: Mapping[Language, int] = {"python": 1_000_000, "java": 20_000, "javascript": 20_000}
#: Most bits of a computed number, and most elements of a computed sequence.
BITS, ELEMENTS = 10_000, 100_000
#: What reading hostile text may raise; anything else is a fault of this file.
UNREADABLE = (
    *(SyntaxError, ValueError, TypeError, ArithmeticError),
    *(RecursionError, MemoryError),
)
_INSTALL = (
    "BFCL's Java and JavaScript categories are read with tree-sitter, which is not installed; run "
    "`pip install 'waterbed[bfcl]'`."
)

_BINARY: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
}
_UNARY: Mapping[type, Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}


class NotCalls(Exception):
    """The text is no list of calls."""


def written_calls(text: str, language: Language = "python") -> list[dict[Any, Any]]:
    """The calls in an answer, as one-key dicts from name to arguments.

    Arguments of Java and JavaScript are source text. Back ticks and blanks around the answer are
    dropped, and its outer brackets may be missing.

    Raises:
        NotCalls: the answer is anything else.
        UsageError: a parser is not installed.
    """
    if len(text) > LONGEST[language]:
        raise NotCalls(f"{len(text)} characters, at most {LONGEST[language]} are read")
    parser = None if language == "python" else _parser(language)
    text = bracketed(text)
    try:
        return _tree_calls(text[1:-1], parser, language) if parser else python_calls(text)
    except UNREADABLE as error:
        raise NotCalls(f"{type(error).__name__}: {str(error)[:200]}") from None


def bracketed(text: str) -> str:
    """An answer without back ticks and blanks around it, in its outer brackets."""
    text = text.strip("`\n ")
    text = text if text.startswith("[") else f"[{text}"
    return text if text.endswith("]") else f"{text}]"


def python_calls(text: str) -> list[dict[Any, Any]]:
    """The calls in a Python list, or one call.

    Raises:
        NotCalls: it is anything else; or one of UNREADABLE.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a stray backslash in a model's text is no news
        body = ast.parse(text.strip().strip("'"), mode="eval").body
    if isinstance(body, ast.Call):
        return [_call(body)]
    if not isinstance(body, ast.List | ast.Tuple | ast.Set):
        raise NotCalls("no list of calls")
    calls = []
    for element in body.elts:
        if not isinstance(element, ast.Call):
            raise NotCalls("a list of something else than calls")
        calls.append(_call(element))
    return calls


def _call(call: ast.Call) -> dict[Any, Any]:
    """A call by its dotted name; an argument `**x` has the name None."""
    parts: list[str] = []
    function: ast.expr = call.func
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name):
        parts.append(function.id)
    return {".".join(reversed(parts)): {k.arg: _value(k.value) for k in call.keywords}}


def _value(node: ast.expr) -> Any:
    """An argument's value.

    Raises:
        NotCalls: BFCL reads no such expression.
    """
    match node:
        case ast.Constant():
            return "..." if node.value is Ellipsis else node.value
        case ast.UnaryOp(operand=ast.Constant(value=constant)):
            return -constant  # type: ignore[operator]
        case ast.List():
            return [_value(element) for element in node.elts]
        case ast.Tuple():
            return tuple(_value(element) for element in node.elts)
        case ast.Dict():
            return {_key(k): _value(v) for k, v in zip(node.keys, node.values, strict=True)}
        case ast.BinOp():
            return _computed(node)
        case ast.Name():
            return node.id
        case ast.Call():
            return _call(node) if node.keywords else ast.unparse(node)
        case ast.Subscript():
            return f"{ast.unparse(node.value)}[{ast.unparse(node.slice)}]"
    raise NotCalls(f"an argument of the kind {type(node).__name__}")


def _key(node: ast.expr | None) -> Any:
    if node is None:
        raise NotCalls("a dict that takes in another")
    return _value(node)


def _computed(node: ast.expr) -> Any:
    """The value of arithmetic on constants."""
    if isinstance(node, ast.BinOp):
        left, right = _computed(node.left), _computed(node.right)
        _limit(node.op, left, right)
        if type(node.op) in _BINARY:
            return _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_computed(node.operand))
    return ast.literal_eval(node)


def _limit(operation: ast.operator, left: Any, right: Any) -> None:
    """Refuse results that would fill the memory.

    Raises:
        NotCalls: the result would be too large.
    """
    bits, size = _bits(left), 0
    match operation:
        case ast.Pow() | ast.LShift():
            many = abs(right) if isinstance(right, int) else 1
            bits = bits * many if isinstance(operation, ast.Pow) else bits + many
        case ast.Mult():
            bits += _bits(right)
            for sequence, times in ((left, right), (right, left)):
                if isinstance(sequence, str | bytes | list | tuple) and isinstance(times, int):
                    size = len(sequence) * times
        case ast.Mod():
            size = ELEMENTS + 1 if isinstance(left, str | bytes) else 0  # "%9999999d" % 1
    if bits > BITS or size > ELEMENTS:
        raise NotCalls("arithmetic with a result too large to be an argument")


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def call_strings(calls: Sequence[Call]) -> list[str]:
    """Calls as Python source again, in the form in which multi-turn calls are compared and played.

    A dict whose values are all dicts is taken for a call in an argument, as in the reference.

    Raises:
        NotCalls: an argument is an empty dict, too deep, or a number of too many digits.
    """
    try:
        return [
            f"{name}({', '.join(f'{k}={_written(v)}' for k, v in arguments.items())})"
            for call in calls
            for name, arguments in call.items()
        ]
    except (RecursionError, ValueError) as error:
        raise NotCalls(f"an argument that cannot be written ({error})") from None


def _written(value: Any) -> str:
    if not isinstance(value, dict):
        return repr(value)
    if not value:
        raise NotCalls("an empty dict as an argument")
    if all(isinstance(inner, dict) for inner in value.values()):
        name, arguments = next(iter(value.items()))
        return f"{name}({', '.join(f'{k}={_written(v)}' for k, v in arguments.items())})"
    return "{" + ", ".join(f"'{k}': {_written(v)}" for k, v in value.items()) + "}"


@functools.cache
def _parser(language: Language) -> Parser:
    try:
        import tree_sitter_java
        import tree_sitter_javascript
        from tree_sitter import Language as Grammar
        from tree_sitter import Parser
    except ImportError as error:
        raise UsageError(_INSTALL) from error
    grammar = tree_sitter_java if language == "java" else tree_sitter_javascript
    return Parser(Grammar(grammar.language()))


def need_parsers() -> None:
    """Make sure that calls in Java and JavaScript can be read.

    Raises:
        UsageError: a parser is not installed.
    """
    _parser("java")


def _tree_calls(source: str, parser: Parser, language: Language) -> list[dict[Any, Any]]:
    """The first call in a Java or JavaScript source."""
    root = parser.parse(source.encode()).root_node
    if root.has_error and any(node.is_error for node in _nodes(root)):
        raise NotCalls(f"no {language}")
    for node in _nodes(root):
        if language == "java" and node.type == "method_invocation":
            return [_java_call(node)]
        if language == "javascript" and node.type == "call_expression" and _is_statement(node):
            return [_js_call(node)]
    raise NotCalls("no call")


def _nodes(root: Node) -> Iterator[Node]:
    """All nodes, parents first, in the order of the text."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.children))


def _is_statement(node: Node) -> bool:
    statement = node.parent
    return (
        statement is not None
        and statement.type == "expression_statement"
        and statement.parent is not None
        and statement.parent.type == "program"
    )


def _text(node: Node | None) -> str:
    return node.text.decode() if node is not None and node.text is not None else ""


def _java_call(call: Node) -> dict[Any, Any]:
    owner, name = call.child_by_field_name("object"), _text(call.child_by_field_name("name"))
    arguments: dict[Any, Any] = {}
    listed = call.child_by_field_name("arguments")
    for child in listed.children if listed else ():
        if child.type == "assignment_expression":
            _give(arguments, _text(child.children[0]), _java_argument(child.children[2], False))
        elif child.type in ("identifier", "class_literal", "set"):
            _give(arguments, None, _java_argument(child, False))
    return {f"{_text(owner)}.{name}" if owner else name: arguments}


def _give(arguments: dict[Any, Any], name: str | None, value: str) -> None:
    if name in arguments:
        raise NotCalls(f"two arguments of the name {name}")
    arguments[name] = value


def _java_argument(node: Node | None, nested: bool) -> str:
    """The text of an argument, without the quotes of a text or character, without most blanks."""
    if node is None:
        return ""
    if node.type in ("string_literal", "character_literal"):
        return _text(node) if nested else _text(node)[1:-1]
    if node.type in ("identifier", "class_literal", "type_identifier", "method_invocation"):
        return _text(node)
    if node.type in ("array_creation_expression", "object_creation_expression"):
        return _java_creation(node)
    if not node.children:
        return _text(node)
    return "".join(_java_argument(child, True) for child in node.children)


def _java_creation(node: Node) -> str:
    kind = _java_argument(node.child_by_field_name("type"), True)
    if node.type == "array_creation_expression":
        return f"new {kind}[]{_java_argument(node.child_by_field_name('value'), True)}"
    listed = node.child_by_field_name("arguments")
    parts = [c for c in listed.children if c.type not in (",", "(", ")")] if listed else []
    return f"new {kind}({', '.join(_java_argument(part, True) for part in parts)})"


def _js_call(call: Node) -> dict[Any, Any]:
    arguments: dict[Any, Any] = {}
    for child in call.children[1].children:
        if child.type == "assignment_expression":
            value = _text(child.children[2])
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            _give(arguments, _text(child.children[0]), value[1:-1] if quoted else value)
        elif child.type in ("identifier", "true"):
            _give(arguments, None, _text(child))
    return {_text(call.children[0]): arguments}
