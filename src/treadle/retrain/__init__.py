"""Retrain: the cycle that turns the wheel, what starts it, and the replay of a past."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.retrain.asking import Retrainings as Retrainings
    from treadle.retrain.challenger import Challengers as Challengers
    from treadle.retrain.challenger_types import Challenger as Challenger
    from treadle.retrain.challenger_types import Compared as Compared
    from treadle.retrain.challenger_types import StartChallenger as StartChallenger
    from treadle.retrain.challenger_types import StopChallenger as StopChallenger
    from treadle.retrain.changed import changed_at as changed_at
    from treadle.retrain.keeping import KeptByCycles as KeptByCycles
    from treadle.retrain.loop import Loop as Loop
    from treadle.retrain.publish import approve as approve
    from treadle.retrain.publish import chosen as chosen
    from treadle.retrain.publish import redeploy as redeploy
    from treadle.retrain.replay import Replays as Replays
    from treadle.retrain.report import render_report as render_report
    from treadle.retrain.required import load_test_before_approval as load_test_before_approval
    from treadle.retrain.required import load_test_before_deployment as load_test_before_deployment
    from treadle.retrain.service import Cycles as Cycles
    from treadle.retrain.standing import in_production as in_production
    from treadle.retrain.trigger_types import AskRetraining as AskRetraining
    from treadle.retrain.trigger_types import Hold as Hold
    from treadle.retrain.trigger_types import PlannedCost as PlannedCost
    from treadle.retrain.trigger_types import PlannedWindow as PlannedWindow
    from treadle.retrain.trigger_types import Retraining as Retraining
    from treadle.retrain.trigger_types import RetrainPlan as RetrainPlan
    from treadle.retrain.trigger_types import Signal as Signal
    from treadle.retrain.trigger_types import WebhookBody as WebhookBody
    from treadle.retrain.triggers import Triggers as Triggers
    from treadle.retrain.types import Approved as Approved
    from treadle.retrain.types import Cycle as Cycle
    from treadle.retrain.types import CycleState as CycleState
    from treadle.retrain.types import Evidence as Evidence
    from treadle.retrain.types import Goal as Goal
    from treadle.retrain.types import InProduction as InProduction
    from treadle.retrain.types import NewCycle as NewCycle
    from treadle.retrain.types import Plan as Plan
    from treadle.retrain.types import PlannedStage as PlannedStage
    from treadle.retrain.types import Reign as Reign
    from treadle.retrain.types import ReplayState as ReplayState
    from treadle.retrain.types import ReplayStep as ReplayStep
    from treadle.retrain.types import Stage as Stage
    from treadle.retrain.types import Tick as Tick
    from treadle.retrain.types import Trigger as Trigger
    from treadle.retrain.worker import Worker as Worker

__getattr__, __all__ = attach(
    __name__,
    {
        "KeptByCycles": "keeping",
        "Approved": "types",
        "Retrainings": "asking",
        "Triggers": "triggers",
        "AskRetraining": "trigger_types",
        "Challenger": "challenger_types",
        "Challengers": "challenger",
        "Compared": "challenger_types",
        "StartChallenger": "challenger_types",
        "StopChallenger": "challenger_types",
        "Hold": "trigger_types",
        "PlannedCost": "trigger_types",
        "PlannedWindow": "trigger_types",
        "Retraining": "trigger_types",
        "RetrainPlan": "trigger_types",
        "Signal": "trigger_types",
        "WebhookBody": "trigger_types",
        "Cycle": "types",
        "CycleState": "types",
        "Cycles": "service",
        "Evidence": "types",
        "Goal": "types",
        "InProduction": "types",
        "Loop": "loop",
        "NewCycle": "types",
        "Plan": "types",
        "PlannedStage": "types",
        "Reign": "types",
        "ReplayState": "types",
        "ReplayStep": "types",
        "Replays": "replay",
        "Stage": "types",
        "Tick": "types",
        "Trigger": "types",
        "Worker": "worker",
        "approve": "publish",
        "changed_at": "changed",
        "chosen": "publish",
        "in_production": "standing",
        "load_test_before_approval": "required",
        "load_test_before_deployment": "required",
        "redeploy": "publish",
        "render_report": "report",
    },
)
