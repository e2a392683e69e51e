"""How often 95 % intervals hold the true pass rate, by simulation: whose, how many samples.

Prints JSON: for each number of cases and kind of system, the share of samples whose interval holds the truth,
and the share whose lower end lies above it. Answers are the same for everybody: they come from one seed.
"""

import json
import math
import random
import sys

REPEATS = 5
SIZES = (30, 100, 200)
KINDS = ("alike", "rare")


def draw(kind, count, rng):
    """The answers of cases, right or wrong; the true rate is 0.9 (alike) or 0.95 (rare)."""
    if kind == "rare":  # one case in twenty always fails, the others never
        return [[float(rng.random() < 0.95)] * REPEATS for _ in range(count)]
    rates = [rng.betavariate(1.8, 0.2) for _ in range(count)]  # answers to a case correlate by a third
    return [[float(rng.random() < rate) for _ in range(REPEATS)] for rate in rates]


def naive(answers, _):
    """Each answer counts as one of its own, as in a table of passed and failed calls."""
    flat = [one for case in answers for one in case]
    rate = sum(flat) / len(flat)
    return around(rate, math.sqrt(rate * (1 - rate) / len(flat)))


def inspect(answers, _):
    """Inspect reduces epochs to a case's mean, and tells the standard error of those."""
    from inspect_ai.scorer import SampleScore, Score, mean, stderr

    scores = [
        SampleScore(score=Score(value=sum(one) / len(one)), sample_id=str(n)) for n, one in enumerate(answers)
    ]
    return around(mean()(scores), stderr()(scores))


def treadle(answers, seed):
    """What a behaviour check shows and judges by."""
    import numpy as np

    from treadle.evaluate.behaviour.means import estimate

    found, _ = estimate(np.array([sum(one) / len(one) for one in answers]), 0.025, seed=seed)
    return found.low, found.high


def around(value, error):
    return value - 1.96 * error, value + 1.96 * error


def main():
    whose = {"naive": naive, "inspect": inspect, "treadle": treadle}[sys.argv[1]]
    trials, told = int(sys.argv[2]), {}
    for kind in KINDS:
        truth = 0.9 if kind == "alike" else 0.95
        for count in SIZES:
            rng = random.Random(f"{kind} {count}")
            ends = [whose(draw(kind, count, rng), trial) for trial in range(trials)]
            told[f"{kind} {count}"] = (
                sum(low <= truth <= high for low, high in ends) / trials,
                sum(low > truth for low, _ in ends) / trials,
                sum(high - low for low, high in ends) / trials,
            )
    print(json.dumps(told))


main()
