// Draws what was spent by day.

import { draw } from "./charts.js";

const DAYS = { unit: "money", bars: true, series: [{ column: "money", label: "Spent", colour: "a" }] };
const series = document.getElementById("series");
if (series) draw(document.getElementById("chart-days"), DAYS, JSON.parse(series.dataset.series));
