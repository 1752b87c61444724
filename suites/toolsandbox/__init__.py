"""ToolSandbox: an agent on a simulated phone, measured by milestones."""
