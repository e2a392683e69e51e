"""A project with sums to be asked: its functions, its cases, and a check of them."""

from __future__ import annotations

import json

import msgspec

from treadle.evaluate.behaviour.service import Behaviour
from treadle.evaluate.watching import Watch
from treadle.kernel.config import BehaviourCheck

APP = '''
import random

def good(question, seed):
    """Right nine times in ten."""
    a, b = map(int, question.split(" + "))
    return str(a + b) if random.Random(seed).random() < 0.9 else "?"

def bad(question, seed):
    a, b = map(int, question.split(" + "))
    return str(a + b) if random.Random(seed).random() < 0.5 else "?"

def perfect(question):
    a, b = map(int, question.split(" + "))
    return str(a + b)

def counted(question):
    with open("asked.txt", "a") as file:
        file.write(question + "\\n")
    return perfect(question)

def raises(question):
    raise ValueError("no")

def sometimes(question, seed):
    if random.Random(seed).random() < 0.2:
        raise ValueError("not now")
    return perfect(question)
'''


def write(workspace, count, change=None):
    cases = [
        {"id": f"c{n}", "input": f"{n} + 1", "expected": n + 1, "tags": {"topic": "ab"[n % 2]}}
        for n in range(count)
    ]
    for case in cases:
        case.update((change or {}).get(case["id"], {}))
    (workspace.root / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))


def declare(workspace, **keys):
    """Declares the check ``sums``."""
    declared = {
        "cases": "cases.jsonl", "target": "app:good", "bound": 0.7, "repeats": 3,
        "scorers": {"right": {"kind": "number"}}, **keys,
    }  # fmt: skip
    checks = msgspec.structs.replace(
        workspace.config.checks, behaviour={"sums": msgspec.convert(declared, BehaviourCheck)}
    )
    workspace.config = msgspec.structs.replace(workspace.config, checks=checks)
    return Behaviour(workspace)


class Watching(Watch):
    """Tells a function of every answer."""

    def __init__(self, tell):
        super().__init__()
        self.tell = tell


def verdict(evaluation, check, subject=None):
    (found,) = [
        one
        for one in evaluation.verdicts
        if one.check == check and (subject is None or one.subject == subject)
    ]
    return found


def asked(workspace):
    path = workspace.root / "asked.txt"
    return path.read_text().splitlines() if path.exists() else []
