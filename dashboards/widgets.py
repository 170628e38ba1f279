"""Tiles of a dashboard and the mosaic that places them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

COLUMNS = 48
"""Width of a mosaic; Google allows 1 to 48 (discovery document, 2026-11)."""


class Unit(StrEnum):
    """Units in UCUM, as Google's charts read them."""

    COUNT = "1"
    SECONDS = "s"
    BYTES = "By"
    PER_SECOND = "1/s"
    SHARE = "10^2.%"


class Plot(StrEnum):
    """How a series is drawn."""

    LINE = "LINE"
    STACKED_AREA = "STACKED_AREA"
    STACKED_BAR = "STACKED_BAR"


@dataclass(frozen=True, kw_only=True)
class Series:
    """One PromQL query of a chart."""

    query: str
    """Plain PromQL: the same text runs on Prometheus and on Google."""
    legend: str | None = None
    """Template such as `{{region}}`."""
    plot: Plot = Plot.LINE
    """How it is drawn."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Lines over time."""

    title: str
    """Shown above."""
    series: Sequence[Series]
    """One or more."""
    unit: Unit
    """Unit of every series."""
    label: str = "value"
    """Title of the vertical axis."""
    threshold: float | None = None
    """A line to compare with."""
    width: int = 24
    """Columns."""
    height: int = 16
    """Rows."""

    def widget(self) -> dict[str, Any]:
        """The tile as Google's API takes it."""
        chart: dict[str, Any] = {
            "dataSets": [_data_set(series, self.unit) for series in self.series],
            "yAxis": {"label": self.label, "scale": "LINEAR"},
            "chartOptions": {"mode": "COLOR"},
        }
        if self.threshold is not None:
            chart["thresholds"] = [{"value": self.threshold, "targetAxis": "Y1"}]
        return {"title": self.title, "xyChart": chart}


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """One number, now."""

    title: str
    """Shown above."""
    query: str
    """Plain PromQL with one result."""
    unit: Unit
    """Unit of the number."""
    width: int = 12
    """Columns."""
    height: int = 8
    """Rows."""

    def widget(self) -> dict[str, Any]:
        """The tile as Google's API takes it."""
        return {
            "title": self.title,
            "scorecard": {
                "timeSeriesQuery": {
                    "prometheusQuery": self.query,
                    "unitOverride": str(self.unit),
                },
                "sparkChartView": {"sparkChartType": "SPARK_LINE"},
            },
        }


Tile = Chart | Scorecard


@dataclass(frozen=True, kw_only=True)
class Board:
    """A dashboard: rows of tiles, each row filled from the left."""

    title: str
    """Shown above all."""
    rows: Sequence[Sequence[Tile]]
    """Tiles of a row share its height."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the dashboard."""

    @property
    def tiles(self) -> list[Tile]:
        """All of them, in reading order."""
        return [tile for row in self.rows for tile in row]

    def body(self) -> dict[str, Any]:
        """The dashboard as Google's API takes it."""
        placed: list[dict[str, Any]] = []
        top = 0
        for row in self.rows:
            placed += _place(row, top)
            top += max(tile.height for tile in row)
        return {
            "displayName": self.title,
            "labels": dict(self.labels),
            "mosaicLayout": {"columns": COLUMNS, "tiles": placed},
        }


def _place(row: Sequence[Tile], top: int) -> list[dict[str, Any]]:
    placed: list[dict[str, Any]] = []
    left = 0
    for tile in row:
        if left + tile.width > COLUMNS:
            raise ValueError(
                f"tile {tile.title!r}: width {tile.width} starts at column {left}, "
                f"the mosaic has {COLUMNS}: make it narrower or begin a new row"
            )
        placed.append(
            {
                "xPos": left,
                "yPos": top,
                "width": tile.width,
                "height": tile.height,
                "widget": tile.widget(),
            }
        )
        left += tile.width
    return placed


def _data_set(series: Series, unit: Unit) -> dict[str, Any]:
    return {
        "timeSeriesQuery": {
            "prometheusQuery": series.query,
            "unitOverride": str(unit),
        },
        "plotType": str(series.plot),
        "targetAxis": "Y1",
        "legendTemplate": series.legend,
    }
