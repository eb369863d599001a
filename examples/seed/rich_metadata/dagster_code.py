"""All nine kinds of rich metadata, and the plain ones, on one asset: each snippet is run in a process of its own."""

import shutil

from standpipe_orchestrator import (
    AssetExecutionContext,
    Definitions,
    MaterializeResult,
    PipesSubprocessClient,
    asset,
    file_relative_path,
)

SNIPPETS = [
    "url_metadata",
    "path_metadata",
    "notebook_metadata",
    "json_metadata",
    "markdown_metadata",
    "table_metadata",
    "table_schema_metadata",
    "table_column_lineage",
    "timestamp_metadata",
    "plain_values",
]


@asset
def foo(context: AssetExecutionContext, pipes_subprocess_client: PipesSubprocessClient) -> MaterializeResult:
    cmd = [shutil.which("python"), file_relative_path(__file__, "external_code.py")]
    metadata = {}
    for snippet in SNIPPETS:
        result = pipes_subprocess_client.run(
            command=cmd, context=context, extras={"snippet": snippet}
        ).get_materialize_result()
        # Two of the snippets call theirs `table_meta`.
        metadata.update({f"{snippet}.{name}": value for name, value in result.metadata.items()})
    return MaterializeResult(metadata=metadata)


defs = Definitions(
    assets=[foo],
    resources={"pipes_subprocess_client": PipesSubprocessClient()},
)
