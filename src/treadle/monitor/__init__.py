"""Monitoring: the prediction log, labels that arrive late, drift, performance, alerts."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.monitor.by_segment import profile_segments as profile_segments
    from treadle.monitor.drops import Drops as Drops
    from treadle.monitor.incidents.page import incident_page as incident_page
    from treadle.monitor.incidents.service import Incidents as Incidents
    from treadle.monitor.incidents.types import ChannelTest as ChannelTest
    from treadle.monitor.incidents.types import Delivery as Delivery
    from treadle.monitor.incidents.types import Incident as Incident
    from treadle.monitor.incidents.types import IncidentChange as IncidentChange
    from treadle.monitor.incidents.types import IncidentReport as IncidentReport
    from treadle.monitor.incidents.types import Mute as Mute
    from treadle.monitor.incidents.types import NewMute as NewMute
    from treadle.monitor.lineage import WindowLineage as WindowLineage
    from treadle.monitor.log import PredictionLog as PredictionLog
    from treadle.monitor.operations import ServiceWatch as ServiceWatch
    from treadle.monitor.payloads.service import Payloads as Payloads
    from treadle.monitor.payloads.types import InferenceEvent as InferenceEvent
    from treadle.monitor.payloads.types import Unpaired as Unpaired
    from treadle.monitor.performance.hindsight import Hindsights as Hindsights
    from treadle.monitor.performance.preparing import with_estimates as with_estimates
    from treadle.monitor.profile import build_profile as build_profile
    from treadle.monitor.segments import Answered as Answered
    from treadle.monitor.segments import SegmentEncoder as SegmentEncoder
    from treadle.monitor.segments import read_records as read_records
    from treadle.monitor.segments import read_segment as read_segment
    from treadle.monitor.segments import seed_of as seed_of
    from treadle.monitor.service import Monitors as Monitors
    from treadle.monitor.types import Alert as Alert
    from treadle.monitor.types import Backfill as Backfill
    from treadle.monitor.types import CategoryProfile as CategoryProfile
    from treadle.monitor.types import DroppedFile as DroppedFile
    from treadle.monitor.types import Hindsight as Hindsight
    from treadle.monitor.types import LabelBatch as LabelBatch
    from treadle.monitor.types import MonitorKind as MonitorKind
    from treadle.monitor.types import NumericProfile as NumericProfile
    from treadle.monitor.types import PredictionBatch as PredictionBatch
    from treadle.monitor.types import Profile as Profile
    from treadle.monitor.types import SegmentProfile as SegmentProfile
    from treadle.monitor.types import Severity as Severity
    from treadle.monitor.types import Summary as Summary
    from treadle.monitor.types import WindowResult as WindowResult
    from treadle.monitor.types import WindowState as WindowState
    from treadle.monitor.types import WrittenMonitors as WrittenMonitors

__getattr__, __all__ = attach(
    __name__,
    {
        "Alert": "types",
        "WindowLineage": "lineage",
        "Answered": "segments",
        "incident_page": "incidents.page",
        "with_estimates": "performance.preparing",
        "NewMute": "incidents.types",
        "Mute": "incidents.types",
        "Incidents": "incidents.service",
        "IncidentReport": "incidents.types",
        "IncidentChange": "incidents.types",
        "Incident": "incidents.types",
        "ChannelTest": "incidents.types",
        "Delivery": "incidents.types",
        "Backfill": "types",
        "CategoryProfile": "types",
        "ServiceWatch": "operations",
        "DroppedFile": "types",
        "Drops": "drops",
        "Hindsight": "types",
        "Hindsights": "performance.hindsight",
        "InferenceEvent": "payloads.types",
        "Payloads": "payloads.service",
        "LabelBatch": "types",
        "MonitorKind": "types",
        "Monitors": "service",
        "NumericProfile": "types",
        "PredictionBatch": "types",
        "PredictionLog": "log",
        "Profile": "types",
        "SegmentEncoder": "segments",
        "SegmentProfile": "types",
        "Severity": "types",
        "Summary": "types",
        "Unpaired": "payloads.types",
        "WindowResult": "types",
        "WindowState": "types",
        "WrittenMonitors": "types",
        "build_profile": "profile",
        "profile_segments": "by_segment",
        "read_records": "segments",
        "read_segment": "segments",
        "seed_of": "segments",
    },
)
