"""A job for a container: it counts words, reports what it made and checks it. It knows only the three STANDPIPE_
variables; run without them it logs what it would have reported."""

import collections

from standpipe import PipesContext, open_pipes

TEXT = "the pipe carries what the job reports and the job reports what it did"


def main() -> None:
    with open_pipes():
        context = PipesContext.get()
        words = collections.Counter(context.extras.get("text", TEXT).split())
        context.log.info("Counted %d words, %d of them different.", words.total(), len(words))
        context.report_asset_materialization(
            asset_key="word_counts",
            metadata={
                "words": words.total(),
                "most_common": {"type": "json", "raw_value": dict(words.most_common(3))},
            },
        )
        context.report_asset_check(
            asset_key="word_counts",
            check_name="has_words",
            passed=words.total() > 0,
            metadata={"words": words.total()},
        )


if __name__ == "__main__":
    main()
