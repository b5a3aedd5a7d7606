"""What the reports on each kind of bundle measure: names, places in a report, units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from speechtl.bench.pictures import SIZES
from speechtl.bench.pictures import STAGES as PICTURE_STAGES
from speechtl.bench.stopwatch import STAGES
from speechtl.bench.summary import RANKS
from speechtl.runtime.bundle.archive import KIND, PICTURE_KIND


@dataclass(frozen=True)
class Measure:
    """A number of a report: where it stands and its unit."""

    where: tuple[str, ...]
    unit: str
    known: bool = True  # False: it may be None, where it could not be measured
    cost: bool = True  # False: more is better, so that no budget limits it


@dataclass(frozen=True)
class Form:
    """What a report on bundles of one kind holds: its measures, and the name of what every machine is given."""

    kind: str
    given: str
    measures: Mapping[str, Measure]


def _stages(names: Iterable[str], cpu: str, unit: str) -> dict[str, Measure]:
    return {
        **{f"{name}_{cpu}": Measure(("stages", name, cpu), unit) for name in names},
        **{f"{name}_{rank}_ms": Measure(("stages", name, "wall_ms", rank), "ms") for name in names for rank in RANKS},
    }


def _process(cpu: str, unit: str) -> dict[str, Measure]:
    return {
        cpu: Measure(("process", cpu), unit),
        "peak_mb": Measure(("process", "peak_mb"), "MB"),
        "start_seconds": Measure(("process", "start_seconds"), "s"),
        "start_cpu_seconds": Measure(("process", "start_cpu_seconds"), "s"),
    }


DETECTION = Form(
    KIND,
    "audio",
    {
        **_stages(STAGES, "cpu_ms_per_second", "ms/s"),
        **{f"chunk_{rank}_ms": Measure(("chunk", "wall_ms", rank), "ms") for rank in RANKS},
        "real_time_factor": Measure(("real_time_factor",), ""),
        **_process("cpu_ms_per_second", "ms/s"),
        "missed_deadlines": Measure(("deadlines", "missed"), ""),
        **{f"delay_{rank}_ms": Measure(("delay", "ms", rank), "ms", known=False) for rank in ("p50", "p95", "max")},
    },
)
PREDICTION = Form(
    PICTURE_KIND,
    "pictures",
    {
        **_stages(PICTURE_STAGES, "cpu_ms_per_picture", "ms"),
        **{f"prepare_{size}_p50_ms": Measure(("prepare_by_size", size, "wall_ms", "p50"), "ms") for size in SIZES},
        **{f"picture_{rank}_ms": Measure(("picture", "wall_ms", rank), "ms") for rank in RANKS},
        "pictures_per_second": Measure(("pictures_per_second",), "1/s", cost=False),
        **_process("cpu_ms_per_picture", "ms"),
    },
)
FORMS = {form.kind: form for form in (DETECTION, PREDICTION)}
# What budgets can limit, in reports of any kind.
COSTS = list(dict.fromkeys(name for form in FORMS.values() for name, measure in form.measures.items() if measure.cost))
