"""Runs the marked part of one of the snippets beside this file against a real context."""

import re
from pathlib import Path

from standpipe import PipesContext, open_dagster_pipes


def marked_part(snippet: str) -> str:
    text = (Path(__file__).parent / f"{snippet}.py").read_text(encoding="utf-8")
    return re.search(r"^# start_\w+\n(.*?)^# end_\w+$", text, re.DOTALL | re.MULTILINE)[1]


def main():
    context = PipesContext.get()
    snippet = context.get_extra("snippet")
    if snippet == "plain_values":
        # Float, integer, boolean, string, and null metadata objects are passed directly.
        context.report_asset_materialization(
            asset_key="foo",
            metadata={"float": 1.5, "integer": 2, "boolean": True, "string": "text", "null": None},
        )
    else:
        exec(marked_part(snippet), {"context": context})


if __name__ == "__main__":
    with open_dagster_pipes():
        main()
