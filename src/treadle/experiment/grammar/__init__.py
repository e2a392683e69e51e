"""The filters and orders that tracking clients send, read into plain values; nothing here does I/O."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.experiment.grammar.filters import parse_experiment_filter as parse_experiment_filter
    from treadle.experiment.grammar.filters import parse_listed_filter as parse_listed_filter
    from treadle.experiment.grammar.filters import parse_logged_model_filter as parse_logged_model_filter
    from treadle.experiment.grammar.filters import parse_model_filter as parse_model_filter
    from treadle.experiment.grammar.filters import parse_run_filter as parse_run_filter
    from treadle.experiment.grammar.filters import parse_version_filter as parse_version_filter
    from treadle.experiment.grammar.match import Record as Record
    from treadle.experiment.grammar.match import arrange as arrange
    from treadle.experiment.grammar.match import like as like
    from treadle.experiment.grammar.match import matches as matches
    from treadle.experiment.grammar.orders import EXPERIMENTS as EXPERIMENTS
    from treadle.experiment.grammar.orders import LOGGED_MODELS as LOGGED_MODELS
    from treadle.experiment.grammar.orders import MODELS as MODELS
    from treadle.experiment.grammar.orders import RUNS as RUNS
    from treadle.experiment.grammar.orders import VERSIONS as VERSIONS
    from treadle.experiment.grammar.orders import complete as complete
    from treadle.experiment.grammar.orders import parse_experiment_order as parse_experiment_order
    from treadle.experiment.grammar.orders import parse_logged_model_order as parse_logged_model_order
    from treadle.experiment.grammar.orders import parse_model_order as parse_model_order
    from treadle.experiment.grammar.orders import parse_run_order as parse_run_order
    from treadle.experiment.grammar.orders import parse_version_order as parse_version_order
    from treadle.experiment.grammar.sql import holds as holds
    from treadle.experiment.grammar.types import Comparison as Comparison
    from treadle.experiment.grammar.types import Entity as Entity
    from treadle.experiment.grammar.types import LoggedModelOrder as LoggedModelOrder
    from treadle.experiment.grammar.types import Op as Op
    from treadle.experiment.grammar.types import Ordering as Ordering
    from treadle.experiment.grammar.types import OrderKey as OrderKey
    from treadle.experiment.grammar.types import Value as Value

__getattr__, __all__ = attach(
    __name__,
    {
        "Comparison": "types",
        "EXPERIMENTS": "orders",
        "Entity": "types",
        "LOGGED_MODELS": "orders",
        "LoggedModelOrder": "types",
        "MODELS": "orders",
        "Op": "types",
        "OrderKey": "types",
        "Ordering": "types",
        "RUNS": "orders",
        "Record": "match",
        "VERSIONS": "orders",
        "Value": "types",
        "arrange": "match",
        "complete": "orders",
        "holds": "sql",
        "like": "match",
        "matches": "match",
        "parse_experiment_filter": "filters",
        "parse_experiment_order": "orders",
        "parse_listed_filter": "filters",
        "parse_logged_model_filter": "filters",
        "parse_logged_model_order": "orders",
        "parse_model_filter": "filters",
        "parse_model_order": "orders",
        "parse_run_filter": "filters",
        "parse_run_order": "orders",
        "parse_version_filter": "filters",
        "parse_version_order": "orders",
    },
)
