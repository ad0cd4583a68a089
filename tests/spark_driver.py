"""Answers queries in a Spark of its own: JSON a line in, JSON a line out. Runs in Spark's Python.

Usage: python spark_driver.py FOLDER, where it may leave files. It ends when its input does.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from pyspark.sql import SparkSession

SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
"""Loopback, and a compiler that suits a minute's life; what decides sums is Spark's own."""


def main(folder: str) -> None:
    """Answer what comes until nothing does."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Spark says of itself is no answer
    builder = SparkSession.builder.master("local[2]").config(map=SETTINGS)
    for name in ("spark.sql.warehouse.dir", "spark.local.dir"):
        builder = builder.config(name, folder)
    spark = builder.getOrCreate()
    for line in sys.stdin:
        answers.write(json.dumps(_answer(spark, json.loads(line)), default=_plain) + "\n")
        answers.flush()
    spark.stop()


def _answer(spark: SparkSession, asked: dict[str, Any]) -> dict[str, Any]:
    for name, value in asked["settings"].items():
        spark.conf.set(name, value)
    try:
        return {"rows": [list(row) for row in spark.sql(asked["query"]).collect()]}
    except Exception as error:
        return {"error": str(error)[:2_000]}
    finally:
        for name in asked["settings"]:
            spark.conf.unset(name)


def _plain(value: Any) -> Any:
    return bytes(value).hex() if isinstance(value, bytes | bytearray) else int(value)


if __name__ == "__main__":
    main(sys.argv[1])
