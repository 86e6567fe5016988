// Draws the charts of the overview, and again whenever there are newer figures.

import { draw } from "./charts.js";
import "./live.js";

const CHARTS = {
  traffic: { unit: "count", series: [{ column: "requests", label: "Requests/s", colour: "a" }] },
  latency: {
    unit: "seconds",
    series: [
      { column: "p50", label: "Median", colour: "a" },
      { column: "p95", label: "p95", colour: "b" },
      { column: "p99", label: "p99", colour: "c" },
    ],
  },
  tokens: {
    unit: "count",
    series: [
      { column: "input", label: "Input", colour: "a" },
      { column: "cached_input", label: "Cached input", colour: "d" },
      { column: "output", label: "Output", colour: "b" },
      { column: "reasoning", label: "Reasoning", colour: "c" },
    ],
  },
  money: { unit: "money", bars: true, series: [{ column: "money", label: "Spent", colour: "a" }] },
  errors: { unit: "percent", series: [{ column: "errors", label: "Share of calls", colour: "bad" }] },
  cache: { unit: "percent", series: [{ column: "cached", label: "Share of calls", colour: "a" }] },
};

function show() {
  const series = document.getElementById("series");
  if (!series) return;
  const columns = JSON.parse(series.dataset.series);
  for (const place of document.querySelectorAll("[data-chart]")) draw(place, CHARTS[place.dataset.chart], columns);
}

show();
document.addEventListener("htmx:afterSettle", show);
