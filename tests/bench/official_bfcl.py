"""Functions of the installed bfcl-eval, for tests that compare with it.

Most of its modules cannot be imported without what it depends on, so single functions are taken out of
their files and run alone.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
import xml.etree.ElementTree
from enum import Enum
from typing import Any, Optional

from waterbed.suites.bfcl_forms import Form
from waterbed.suites.bfcl_prompts import package_folder

_TAKEN = {
    "constants/enums.py": {"ReturnFormat"},
    "model_handler/parser/json_parser.py": {"parse_json_function_call"},
    "model_handler/parser/xml_parser.py": {
        "convert_value_by_type",
        "parse_verbose_xml_function_call",
        "parse_concise_xml_function_call",
    },
    "model_handler/utils.py": {
        "ast_parse",
        "resolve_ast_call",
        "resolve_ast_by_type",
        "default_decode_ast_prompting",
        "formulate_system_prompt",
        "format_function_doc",
        "_generate_function_doc_xml",
        "_generate_function_doc_python",
        "parse_prompt_variation_params",
    },
    "utils.py": {"is_function_calling_format_output", "get_all_format_sensitivity_configs"},
}


class Official:
    """The reference's prompts and decoders."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {"json": json, "re": re, "ast": ast, "Enum": Enum}
        self.known |= {"ET": xml.etree.ElementTree, "Optional": Optional}
        folder = package_folder()
        exec((folder / "constants" / "default_prompts.py").read_text(), self.known)
        for file, names in _TAKEN.items():
            tree = ast.parse((folder / file).read_text())
            wanted = [node for node in tree.body if getattr(node, "name", None) in names]
            assert len(wanted) == len(names), f"{file} has not all of {names}"
            exec(compile(ast.Module(wanted, []), file, "exec"), self.known)

    def forms(self) -> list[str]:
        """The names of all forms."""
        return list(self.known["get_all_format_sensitivity_configs"]())

    def system(self, functions: Any, form: Form) -> str:
        """The system message of a form."""
        return str(
            self.known["formulate_system_prompt"](form.name, json.loads(json.dumps(functions)))
        )

    def calls(self, text: str, form: Form) -> Any:
        """The calls in an answer; None where it cannot be read or is no list of calls."""
        returns = self.known["ReturnFormat"](form.returns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = self.known["default_decode_ast_prompting"](text, returns, form.tagged)
            except Exception:  # whatever it raises, it counts as not decoded there
                return None
        return found if self.known["is_function_calling_format_output"](found) else None
