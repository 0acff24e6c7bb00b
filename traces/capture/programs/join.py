# SPDX-License-Identifier: MIT OR Apache-2.0
"""A join with a group-by in DuckDB: join.py ROWS KEYS THREADS

It imports the engine itself: the Python package around it loads so much that half of the
recording would be start-up.
"""
import sys

import _duckdb as duckdb

rows, keys, threads = (int(a) for a in sys.argv[1:4])
db = duckdb.connect(config={"threads": threads, "memory_limit": "2GB"})
db.execute("CREATE TABLE sale AS SELECT (i * 2654435761) % ? AS item, i % 97 AS shop, i % 1000 AS price"
           " FROM range(?) t(i)", [keys, rows])
db.execute("CREATE TABLE item AS SELECT i AS id, (i * 40503) % 5000 AS kind FROM range(?) t(i)", [keys])
print(db.execute("SELECT count(*), sum(total), max(n) FROM (SELECT item, sum(price) AS total, count(*) AS n"
                 " FROM sale JOIN item ON item.id = sale.item WHERE kind < 4500 GROUP BY item)").fetchall())
