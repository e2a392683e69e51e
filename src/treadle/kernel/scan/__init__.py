"""Scans: facts about all rows of a table, asked as typed values and answered in one pass by any engine.

A check says what it needs to know as asks (:mod:`~treadle.kernel.scan.asks`); an engine
(:class:`~treadle.kernel.scan.port.ScanEngine`) answers all of them together, each in its own best form.
"""
