"""Writes nested dictionaries and lists as YAML, in the plain style a person would use."""

import json


def dump(value, indent=0):
    """YAML text for a dictionary of dictionaries, lists and scalars."""
    pad = "  " * indent
    text = ""
    for key, item in value.items():
        if isinstance(item, dict):
            text += f"{pad}{key}:\n{dump(item, indent + 1)}" if item else f"{pad}{key}: {{}}\n"
        else:
            text += f"{pad}{key}: {flow(item)}\n"
    return text


def flow(item):
    """A value on one line."""
    if isinstance(item, dict):
        return "{" + ", ".join(f"{key}: {flow(value)}" for key, value in item.items()) + "}"
    if isinstance(item, list):
        return "[" + ", ".join(flow(value) for value in item) + "]"
    if isinstance(item, bool):
        return "yes" if item else "no"
    return json.dumps(item)
