"""Energy and carbon dioxide by codecarbon, where it is installed; it sends nothing anywhere."""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from zeldo.errors import InputError, nearest


@dataclass
class Used:
    """Energy in Wh and carbon dioxide in g; None where nobody measured."""

    energy: float | None = None
    co2: float | None = None


class Meter:
    """`with Meter("FRA").measured() as used: ...`

    country: three letters (ISO 3166), for the carbon of its electricity; None is the average of the world. `how` says in
    one line what the numbers are, `source` what that of the energy is. Raises `InputError` for a country that codecarbon
    does not know.
    """

    def __init__(self, country: str | None = None) -> None:
        self._tracker: Any = None
        self.source = ""
        self.how = "codecarbon is not installed: energy was not measured"
        if importlib.util.find_spec("codecarbon") is None:
            if country is not None and not re.fullmatch("[A-Z]{3}", country):
                raise InputError(f"country {country!r} is not known: give its three letters, such as FRA")
            return
        from codecarbon import OfflineEmissionsTracker

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # it speaks before it reads its log_level
        if country is not None:
            _check(country)
        self._tracker = OfflineEmissionsTracker(
            country_iso_code=country,
            save_to_file=False,
            save_to_api=False,
            allow_multiple_runs=True,
            log_level="critical",
            measure_power_secs=1,
        )
        with self.measured():  # it looks for sensors when first asked: not in the time of anybody's run
            pass
        self.how = self._describe(country)

    @contextmanager
    def measured(self) -> Iterator[Used]:
        """Measures its block, which must not hold another one."""
        used = Used()
        self.start()
        try:
            yield used
        finally:
            total = self.stop()
            used.energy, used.co2 = total.energy, total.co2

    def start(self) -> None:
        if self._tracker is not None:
            self._tracker.start_task()

    def stop(self) -> Used:
        """What was used since `start`."""
        data = None if self._tracker is None else self._tracker.stop_task()
        return Used() if data is None else Used(1e3 * data.energy_consumed, 1e3 * data.emissions)

    def _describe(self, country: str | None) -> str:
        import codecarbon

        modes = [getattr(device, "_mode", "") for device in getattr(self._tracker, "_hardware", [])]
        if "intel_rapl" in modes:
            source = "processor read from its counters (RAPL), memory estimated"
        else:
            source = "estimate: from the load of the whole machine and the power its parts are built for"
        where = (
            f"electricity of {country}" if country else "country unknown, electricity of the world's average"
        )
        self.source = f"codecarbon {codecarbon.__version__}, {source}"
        return f"{self.source}; CO2 an estimate ({where})"


def _check(country: str) -> None:
    from codecarbon.input import DataSource

    known = DataSource().get_global_energy_mix_data()
    if country not in known:
        raise InputError(
            f"country {country!r} is not known: give its three letters, such as FRA{nearest(country.upper(), known)}"
        )
