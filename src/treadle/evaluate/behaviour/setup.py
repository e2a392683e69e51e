"""Everything that a check asks: opened, and refused, before the first question."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from treadle.evaluate.behaviour.asking import Asker
from treadle.evaluate.behaviour.scorers.judge import Judge
from treadle.evaluate.behaviour.scorers.patterns import Matcher
from treadle.evaluate.behaviour.targets.endpoints import Embeddings, Endpoint
from treadle.evaluate.behaviour.targets.functions import FunctionHost, FunctionTarget
from treadle.evaluate.behaviour.targets.port import Call, Target
from treadle.evaluate.behaviour.types import Reply
from treadle.evaluate.watching import Watch
from treadle.kernel.config import BehaviourCheck, TargetConfig
from treadle.kernel.config.behaviour_rules import FUNCTION

TARGET, BASELINE = "target", "baseline"


class Setup:
    """What a check asks.

    Args:
        root: The project's folder.
        log: Where what functions print is kept.
        name: The check's name.
        check: What it declares.
        watch: Told how far it is; stops it.

    Raises:
        Cancelled: If somebody has stopped it already.
        ConfigError: If a function isn't there, or the environment lacks a key.
    """

    def __init__(self, root: Path, log: Path, name: str, check: BehaviourCheck, watch: Watch) -> None:
        self.root, self.check, self.watch = root, check, watch
        self.stop = watch.enter(name)
        self.where = f"treadle.toml [checks.behaviour.{name}]"
        self.host = FunctionHost(root, log)
        self._patterns = FunctionHost(root, log)
        self.matcher = Matcher(self._patterns)
        self.opened: list[Target] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for target in self.opened:
            target.close()
        self.host.close()
        self._patterns.close()

    def side(self, of: str, declared: str | TargetConfig) -> Asker:
        """Who asks the target, or the baseline."""
        return self._asker(of, as_config(declared), of)

    def judges(self, scorer: str, judge: Judge) -> Mapping[str, Asker]:
        """Who asks the judges of a scorer, by the judge's name."""
        return {
            name: self._asker(f"{scorer}/{name}", self.check.judges[name], f"judges.{name}")
            for name in judge.judges
        }

    def embedding(self, scorer: str, config: TargetConfig) -> Asker:
        """Who asks for vectors: what is asked is a list of texts."""
        where = f"{self.where} scorers.{scorer}.embedding"
        target: Target = (
            FunctionTarget(self.host, config, where) if config.call else EmbeddingTarget(config, where)
        )
        self.opened.append(target)
        return Asker(f"{scorer}/embedding", target, config, self.stop)

    def _asker(self, of: str, config: TargetConfig, key: str) -> Asker:
        where = f"{self.where} {key}"
        target: Target = FunctionTarget(self.host, config, where) if config.call else Endpoint(config, where)
        self.opened.append(target)
        return Asker(of, target, config, self.stop)


def as_config(declared: str | TargetConfig) -> TargetConfig:
    """A target that may be declared by the name of a function alone."""
    return TargetConfig(call=declared) if isinstance(declared, str) else declared


def is_earlier(baseline: str | TargetConfig | None) -> bool:
    """Whether a baseline is the answers of an earlier evaluation."""
    return isinstance(baseline, str) and not FUNCTION.fullmatch(baseline)


class EmbeddingTarget:
    """An endpoint of embeddings, asked for the vectors of a list of texts.

    Args:
        config: Which.
        where: The key of ``treadle.toml`` that declares it.
    """

    def __init__(self, config: TargetConfig, where: str) -> None:
        self._inner = Embeddings(config, where)
        self.name = self._inner.name

    def check(self, call: Call) -> None:
        """Every list of texts suits it."""

    def ask(self, call: Call, timeout: float) -> Reply:
        """The vectors."""
        return self._inner.ask(call.input, timeout)

    def close(self) -> None:
        """Closes the connections."""
        self._inner.close()
