// Lines and bars over time, in the colours of the page. uPlot (vendored) draws them.
/* global uPlot */

const HEIGHT = 190;
const FONT = '12px "Inter", system-ui, sans-serif';
const charts = new Map();
const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

/** A colour of the style sheet as the canvas wants it: light and dark are resolved by the browser. */
function colour(name) {
  probe.className = `ink-${name}`;
  return getComputedStyle(probe).color;
}

const faint = (name) => () => colour(name).replace(/^rgb\((.*)\)$/, "rgba($1, 0.12)");

const number = (digits) => new Intl.NumberFormat("en", { maximumSignificantDigits: digits, notation: "compact" });
const short = number(3);
export const units = {
  count: (value) => short.format(value),
  percent: (value) => `${short.format(value)}%`,
  money: (value) => `$${value > 0 && value < 0.1 ? Number(value.toPrecision(2)) : value < 100 ? value.toFixed(2) : short.format(value)}`,
  seconds: (value) => (value < 1 ? `${Math.round(value * 1000)} ms` : `${number(3).format(value)} s`),
};

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const both = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const utcDate = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

/** How a moment reads, at the step of the chart: days are of UTC, all else in the reader's own zone. */
function moments(step) {
  if (step >= 86400) return { axis: utcDate, full: utcDate };
  return step >= 10800 ? { axis: date, full: both } : { axis: clock, full: both };
}

function options(spec, step, width) {
  const format = units[spec.unit];
  const read = (value) => (value == null ? "–" : format(value));
  const moment = moments(step);
  const grid = { stroke: () => colour("line"), width: 1 };
  const axis = { stroke: () => colour("soft"), font: FONT, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    ...(step >= 86400 && { tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC") }),
    padding: [10, 18, 0, 0],
    cursor: { sync: { key: "figures" }, y: false, points: { size: 7 }, drag: { x: false, y: false } },
    legend: { live: true, isolate: false },
    scales: { x: { time: true, range: (_, first, last) => (spec.bars ? [first - step / 2, last + step / 2] : [first, last]) }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, space: 64, size: 30, values: (_, values) => values.map((at) => moment.axis.format(at * 1000)) },
      { ...axis, grid, size: 58, space: 30, values: (_, values) => values.map(read) },
    ],
    series: [
      { label: "Time", value: (_, at) => (at == null ? "newest" : moment.full.format(at * 1000)) },
      ...spec.series.map((each, index) => ({
        label: each.label,
        stroke: () => colour(each.colour),
        fill: spec.bars || (index === 0 && spec.series.length === 1) ? (spec.bars ? () => colour(each.colour) : faint(each.colour)) : undefined,
        width: spec.bars ? 0 : 1.75,
        paths: spec.bars ? uPlot.paths.bars({ size: [0.7, 28], radius: 0.15 }) : undefined,
        points: spec.bars ? { show: false } : { size: 4, fill: () => colour(each.colour) },
        value: (plot, value, line, at) => read(at == null ? plot.data[line].findLast((each) => each != null) : value),
      })),
    ],
  };
}

/** The newest figure of each line, for those who do not see the chart. */
function describe(place, spec, data) {
  const figures = spec.series.map((each, index) => {
    const values = data[index + 1].filter((value) => value != null);
    return values.length ? `${each.label}: last ${units[spec.unit](values.at(-1))}, highest ${units[spec.unit](Math.max(...values))}` : `${each.label}: none`;
  });
  place.dataset.title ??= place.getAttribute("aria-label");
  place.setAttribute("aria-label", `${place.dataset.title}. ${figures.join("; ")}.`);
}

/** Draws a chart into its place, or gives the one that is there new figures. */
export function draw(place, spec, columns) {
  const data = [columns.time, ...spec.series.map((each) => columns[each.column])];
  const step = columns.time.length > 1 ? columns.time[1] - columns.time[0] : 60;
  describe(place, spec, data);
  const known = charts.get(place);
  if (known?.step === step) {
    known.plot.setData(data);
    return;
  }
  known?.plot.destroy();
  const plot = new uPlot(options(spec, step, place.clientWidth), data, place);
  charts.set(place, { plot, step });
  resizes.observe(place);
}

const resizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (!target.isConnected) {
      resizes.unobserve(target);
      charts.get(target)?.plot.destroy();
      charts.delete(target);
    } else if (target.clientWidth > 0) {
      charts.get(target)?.plot.setSize({ width: target.clientWidth, height: HEIGHT });
    }
  }
});

function recolour() {
  for (const { plot } of charts.values()) plot.redraw(false);
}
new MutationObserver(recolour).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
