"""What the multi-asset example warns of: a second materialization of the same key. The first one is kept."""

from standpipe import PipesContext, open_dagster_pipes


def main():
    context = PipesContext.get()
    context.report_asset_materialization(asset_key="orders", metadata={"total_orders": 3})
    context.report_asset_materialization(asset_key="orders", metadata={"total_orders": 4})


if __name__ == "__main__":
    with open_dagster_pipes():
        main()
