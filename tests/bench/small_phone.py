"""A folder in the format of ToolSandbox's published files, with scenarios of this project's own."""

from __future__ import annotations

from pathlib import Path

_BASE = """
import polars as pl
from tool_sandbox.common.utils import deterministic_uuid

def named_base_scenarios(preferred_tool_backend):
    scenario = Scenario()
    scenario.starting_context.add_to_database(
        namespace=DatabaseNamespace.SANDBOX,
        rows=[
            {"sender": RoleType.SYSTEM, "recipient": RoleType.EXECUTION_ENVIRONMENT, "content": imports},
            {"sender": RoleType.SYSTEM, "recipient": RoleType.AGENT, "content": "Ask " "first."},
            *user_simulator_few_shot_examples["one"],
        ],
    )
    scenario.starting_context.add_to_database(
        namespace=DatabaseNamespace.CONTACT,
        rows=[
            {
                "person_id": deterministic_uuid(payload="Ann"),
                "name": "Ann",
                "phone_number": "+1000",
                "relationship": "self",
                "is_self": True,
            },
            {
                "person_id": deterministic_uuid(payload="Bo"),
                "name": "Bo",
                "phone_number": "+2000",
                "relationship": "friend",
                "is_self": False,
            },
        ],
    )
"""
_USER = '''
from textwrap import dedent

USER_INSTRUCTION = dedent(
    """
    You are a caller.
    Your wish: """
).lstrip()
'''
_TOOL = '''
@register_as_tool(visible_to=(RoleType.AGENT,))
def {name}({parameters}):
    """Do {name}

    Args:
        on: Whether to switch it
            on
        person_id: Whom

    Returns:
    """
'''
_SWITCHES = ("low_battery_mode", "location_service", "cellular_service", "wifi")
SAID = """
        Milestone(snapshot_constraints=[
            SnapshotConstraint(
                database_namespace=DatabaseNamespace.SANDBOX,
                snapshot_constraint=snapshot_similarity,
                target_dataframe=pl.DataFrame(
                    {{"sender": RoleType.AGENT, "recipient": RoleType.USER, "content": {text!r}}}
                ),
            )
        ]),
"""
_STATE = """
        Milestone(snapshot_constraints=[
            SnapshotConstraint(
                database_namespace=DatabaseNamespace.{database},
                snapshot_constraint={kind},
                target_dataframe=pl.DataFrame({row}),
                reference_milestone_node_index=-1,
            )
        ]),
"""
_SCENARIO = """
    ScenarioExtension(
        name={name!r},
        base_scenario=base_scenarios[{base!r}],
        messages=[
            {{
                "sender": RoleType.SYSTEM,
                "recipient": RoleType.USER,
                "content": USER_INSTRUCTION + "{name}",
            }},
            {{"sender": RoleType.USER, "recipient": RoleType.AGENT, "content": "Please {name}"}},
        ],
        tool_allow_list={tools!r},
        milestones=[{milestones}],
        {more}
    ),
"""
_TRACE = """
        Milestone(snapshot_constraints=[
            SnapshotConstraint(
                database_namespace=DatabaseNamespace.SANDBOX,
                snapshot_constraint=snapshot_similarity,
                target_dataframe=pl.DataFrame({
                    "sender": RoleType.EXECUTION_ENVIRONMENT,
                    "recipient": RoleType.AGENT,
                    "tool_trace": json.dumps(
                        {"tool_name": "get_wifi_status", "arguments": {}}, ensure_ascii=False
                    ),
                }),
            )
        ]),
"""
_MINE = """minefields=[
            Minefield(snapshot_constraints=[
                SnapshotConstraint(
                    database_namespace=DatabaseNamespace.SANDBOX,
                    snapshot_constraint=snapshot_similarity,
                    target_dataframe=pl.DataFrame({
                        "recipient": RoleType.EXECUTION_ENVIRONMENT, "content": "set_wifi_status"
                    }),
                    column_similarity_measure={"content": column_contains_similarity},
                )
            ])
        ],"""


def scenario(
    name: str, tools: list[str], milestones: str, base: str = "base", more: str = ""
) -> str:
    """The source of one scenario."""
    return _SCENARIO.format(name=name, tools=tools, milestones=milestones, base=base, more=more)


def state(database: str, kind: str, row: str) -> str:
    """The source of a milestone over a database since the beginning."""
    return _STATE.format(database=database, kind=kind, row=row)


SCENARIOS = "".join(
    [
        scenario(
            "wifi_off",
            ["set_wifi_status"],
            state("SETTING", "snapshot_similarity", "{'wifi': False}")
            + SAID.format(text="Wifi is turned off"),
        ),
        scenario("tell_wifi", ["get_wifi_status"], _TRACE + SAID.format(text="Wifi is on")),
        scenario(
            "wifi_on_at_low_battery",
            ["set_wifi_status", "set_low_battery_mode_status"],
            state("SETTING", "update_similarity", "{'wifi': True, 'low_battery_mode': False}"),
            base="base_low_battery_mode_on_wifi_off_location_service_off_cellular_off",
        ),
        scenario(
            "add_cy",
            ["add_contact"],
            state("CONTACT", "addition_similarity", "{'name': 'Cy', 'phone_number': '+3000'}"),
        ),
        scenario(
            "remove_bo",
            ["remove_contact"],
            state(
                "CONTACT",
                "removal_similarity",
                "{'person_id': deterministic_uuid(payload='Bo'), 'name': f\"B{'o'}\"}",
            ),
        ),
        scenario("leave_wifi_alone", ["set_wifi_status", "get_wifi_status"], "", more=_MINE),
        scenario("find_bo", ["search_contacts"], SAID.format(text="+2000")),
        scenario(
            "dated",
            ["get_wifi_status"],
            state("SETTING", "snapshot_similarity", "{'wifi': datetime.datetime.now()}"),
        ),
        scenario(
            "reminded",
            ["get_wifi_status"],
            state("REMINDER", "snapshot_similarity", "{'content': 'x'}"),
        ),
        scenario(
            "taken_out_of_a_trace",
            ["get_wifi_status"],
            state("SANDBOX", "tool_trace_dependant_similarity", "{'content': 'x'}"),
        ),
    ]
)


def write_phone(folder: Path, scenarios: str = SCENARIOS) -> Path:
    """Write the files below `folder`/toolsandbox."""
    own = folder / "toolsandbox"
    (own / "scenarios").mkdir(parents=True)
    (own / "tools").mkdir()
    (own / "scenarios" / "base_scenarios.py").write_text(_BASE)
    (own / "scenarios" / "user_simulator_few_shot_examples.py").write_text(_USER)
    listed = f"def get_extensions(base_scenarios):\n    return [{scenarios}]\n"
    (own / "scenarios" / "single_tool_call_scenarios.py").write_text(listed)
    switches = "".join(
        _TOOL.format(name=f"{verb}_{name}_status", parameters="on: bool" if verb == "set" else "")
        for name in _SWITCHES
        for verb in ("get", "set")
    )
    here = _TOOL.format(name="get_current_location", parameters="")
    (own / "tools" / "setting.py").write_text(switches + here)
    contacts = "".join(
        _TOOL.format(name=name, parameters="person_id: str, on: Union[bool, NotGiven] = NOT_GIVEN")
        for name in ("add_contact", "modify_contact", "remove_contact")
    )
    (own / "tools" / "contact.py").write_text(contacts)
    (own / "tools" / "user_tools.py").write_text(
        _TOOL.format(name="end_conversation", parameters="")
    )
    return own
