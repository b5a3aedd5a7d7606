"""What runs on the device: features, bundle, engine and detector. Needs numpy and a runtime, never torch."""

from speechtl.runtime.bundle import Bundle, open_bundle
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.features import LogMel, LogMelSettings
from speechtl.runtime.trigger import TriggerSettings

__all__ = ["Bundle", "Detector", "Event", "LogMel", "LogMelSettings", "TriggerSettings", "open_bundle"]
