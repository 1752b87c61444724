"""A tool parser for `vllm serve --tool-parser-plugin`: an answer that is one JSON call and nothing else.

vLLM's own parsers look for marks that the pocket base has none of; this is how anybody serves such a model.
"""

from __future__ import annotations

import json
from typing import Any

from vllm.entrypoints.generate.base.protocol import (
    ExtractedToolCallInformation,
    FunctionCall,
    ToolCall,
)
from vllm.tool_parsers.abstract_tool_parser import ToolParser, ToolParserManager


@ToolParserManager.register_module("bare_json")
class BareJSON(ToolParser):
    """Whole answers only; nothing here streams."""

    def extract_tool_calls(self, model_output: str, request: Any) -> Any:
        """The call, or the answer as text."""
        try:
            call = json.loads(model_output)
            function = FunctionCall(name=call["name"], arguments=json.dumps(call["arguments"]))
        except (ValueError, TypeError, KeyError):
            return ExtractedToolCallInformation(
                tools_called=False, tool_calls=[], content=model_output
            )
        made = [ToolCall(type="function", function=function)]
        return ExtractedToolCallInformation(tools_called=True, tool_calls=made, content=None)
