"""Checks of data before a model is trained on it: one pass over the rows, then decisions.

A check is a part (:mod:`~treadle.evaluate.data.part`): it says what it asks of the rows, judges the
answers, and can tell beforehand what it will test. All asks of a suite go to the engine together.
"""
