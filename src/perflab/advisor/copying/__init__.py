"""A copy of a database in use, to measure on: its tables made again, all rows or a sample of them.

On the target run reads of catalogs and statistics and the SELECTs that copy, in read-only
transactions; ``witness`` shows that nothing changed there.
"""
