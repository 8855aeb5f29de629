"use strict";
// Readout and zoom. The picture that came with the page is redrawn only when the range changes.
const WIDTH = 2000, HEIGHT = 1000, COLUMNS = 800;
for (const figure of document.querySelectorAll("figure")) start(figure);

function start(figure) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  let at = data.from;
  data.time = data.steps.map(n => at += n * data.unit);
  const plots = figure.querySelector(".plots"), cursor = figure.querySelector(".cursor");
  const selection = figure.querySelector(".selection"), output = figure.querySelector("output");
  const whole = figure.querySelector("button");
  const svgs = plots.querySelectorAll("svg"), axis = figure.querySelector(".x");
  output.textContent = "Drag to zoom; point or use the arrow keys to read values.";
  let view = [data.from, data.to], index = -1, dragged = null;

  const share = event => {
    const box = plots.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const timeOf = s => view[0] + s * (view[1] - view[0]);
  const shareOf = t => (t - view[0]) / (view[1] - view[0]);

  function point(i) {
    index = Math.max(0, Math.min(data.time.length - 1, i));
    const s = shareOf(data.time[index]);
    cursor.hidden = s < 0 || s > 1;
    cursor.style.left = s * 100 + "%";
    const parts = [stamp(data.time[index]), "value " + show(data.value[index]), "expected " + show(data.expected[index])];
    if (data.threshold[index] !== null) parts[2] += " ± " + show(data.threshold[index]);
    parts.push("score " + (data.score[index] === null ? "–" : data.score[index].toFixed(2)));
    output.textContent = parts.join(" · ");
  }

  function zoom(from, to) {
    const least = Math.min(data.to - data.from, 4 * data.unit);
    if (to - from < least) { const middle = (from + to) / 2; from = middle - least / 2; to = middle + least / 2; }
    view = [Math.max(data.from, from), Math.min(data.to, to)];
    whole.hidden = view[0] === data.from && view[1] === data.to;
    cursor.hidden = true;
    for (const band of plots.querySelectorAll(".bands > div")) {
      const a = Math.max(0, shareOf(+band.dataset.from)), b = Math.min(1, shareOf(Math.min(+band.dataset.to, data.to)));
      band.hidden = b < 0 || a > 1;
      band.style.left = a * 100 + "%";
      band.style.width = Math.max(0, b - a) * 100 + "%";
    }
    redraw(data, view, plots, axis, svgs);
  }

  plots.addEventListener("pointerdown", event => {
    if (event.button) return;
    dragged = share(event);
    plots.setPointerCapture(event.pointerId);
  });
  plots.addEventListener("pointermove", event => {
    const s = share(event);
    point(nearest(data.time, timeOf(s)));
    if (dragged === null) return;
    selection.hidden = false;
    selection.style.left = Math.min(s, dragged) * 100 + "%";
    selection.style.width = Math.abs(s - dragged) * 100 + "%";
  });
  plots.addEventListener("pointerup", event => {
    const s = share(event), from = dragged;
    selection.hidden = true;
    dragged = null;
    if (from !== null && Math.abs(s - from) > 0.01) zoom(timeOf(Math.min(s, from)), timeOf(Math.max(s, from)));
  });
  plots.addEventListener("pointercancel", () => { dragged = null; selection.hidden = true; });
  plots.addEventListener("pointerleave", () => { if (dragged === null) cursor.hidden = true; });
  plots.addEventListener("keydown", event => {
    const step = event.shiftKey ? 20 : 1;
    if (event.key === "ArrowRight") point(index + step);
    else if (event.key === "ArrowLeft") point(index - step);
    else if (event.key === "Escape") reset();
    else return;
    event.preventDefault();
  });
  const reset = () => zoom(data.from, data.to);
  plots.addEventListener("dblclick", reset);
  whole.addEventListener("click", reset);

  // A start time in the table of alerts leads to its place in the chart.
  for (const cell of figure.closest("section").querySelectorAll(".alerts th[data-from]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Show in the chart";
    button.textContent = cell.textContent;
    button.addEventListener("click", () => {
      const from = +cell.dataset.from, to = Math.max(+cell.dataset.to, from + data.unit), around = Math.max(to - from, 60 * data.unit);
      zoom(from - around, to + around);
      figure.scrollIntoView({ block: "nearest" });
    });
    cell.replaceChildren(button);
  }
}

function redraw(data, view, plots, axis, [top, bottom]) {
  const inside = [nearest(data.time, view[0]) - 1, nearest(data.time, view[1]) + 1];
  const from = Math.max(0, inside[0]), to = Math.min(data.time.length - 1, inside[1]);
  let [low, high] = extremes(data.value, from, to);
  const [l, h] = extremes(data.expected, from, to);
  if (l <= h) {
    const slack = low <= high ? (high - low) / 2 : Infinity;
    low = Math.min(low, Math.max(l, low - slack));
    high = Math.max(high, Math.min(h, high + slack));
  }
  if (!(low <= high)) [low, high] = [0, 1];
  const pad = (high - low) * 0.05 || Math.max(Math.abs(low) * 0.05, 0.5);
  low -= pad; high += pad;
  const peak = Math.max(2.5, extremes(data.score, from, to)[1] * 1.05);
  const x = i => (data.time[i] - view[0]) / (view[1] - view[0]) * WIDTH;
  const clamp = y => Math.max(-HEIGHT, Math.min(2 * HEIGHT, y));
  const y = v => clamp((1 - (v - low) / (high - low)) * HEIGHT), yScore = v => clamp((1 - v / peak) * HEIGHT);
  const set = (svg, name, d) => svg.querySelector("path." + name).setAttribute("d", d);
  const lines = (svg, name, values, y) => {
    const [runs, lone] = line(values, from, to, x, y);
    set(svg, name, runs);
    set(svg, name + ".lone", lone);
  };
  lines(top, "metric", data.value, y);
  lines(top, "expected", data.expected, y);
  set(top, "band", area(data, from, to, x, y));
  set(top, "bound", data.limits.map(v => `M0 ${y(v)}h${WIDTH}`).join(""));
  const next = data.time.length - 1;
  set(top, "ahead", data.ahead && to === next ? `M${x(next)} ${y(data.expected[next])}h0` : "");
  lines(bottom, "anomaly", data.score, yScore);
  let dots = "";
  for (let i = from; i <= to; i++) if (data.peak[i] >= 1) dots += `M${x(i)} ${yScore(data.peak[i])}h0`;
  set(bottom, "peak", dots);
  const across = v => `M0 ${yScore(v)}h${WIDTH}`;
  bottom.querySelector(".limit.warning").setAttribute("d", across(1));
  bottom.querySelector(".limit.critical").setAttribute("d", across(2));
  marks(top.parentElement, ticks(low, high, 4).map(v => [y(v) / HEIGHT, show(v)]));
  marks(bottom.parentElement, [0, 1, 2].map(v => [yScore(v) / HEIGHT, String(v)]));
  times(axis, view);
}

function extremes(values, from, to) {
  let low = Infinity, high = -Infinity;
  for (let i = from; i <= to; i++) {
    if (values[i] === null) continue;
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  return [low, high];
}

// A line through the lowest and highest value of each column, broken where there is none; and points that stand alone.
function line(values, from, to, x, y) {
  let runs = "", lone = "", run = "", drawn = 0, column = NaN, low = -1, high = -1;
  const put = i => { run += (drawn++ ? "L" : "M") + x(i).toFixed(1) + " " + y(values[i]).toFixed(1); };
  const flush = () => {
    if (low < 0) return;
    put(Math.min(low, high));
    if (low !== high) put(Math.max(low, high));
    low = high = -1;
  };
  const lift = () => {
    flush();
    if (drawn === 1) lone += run + "h0"; else runs += run;
    run = ""; drawn = 0; column = NaN;
  };
  for (let i = from; i <= to; i++) {
    if (values[i] === null) { lift(); continue; }
    const key = Math.floor(x(i) / WIDTH * COLUMNS);
    if (key !== column) { flush(); column = key; low = high = i; }
    if (values[i] < values[low]) low = i;
    if (values[i] > values[high]) high = i;
  }
  lift();
  return [runs, lone];
}

function area(data, from, to, x, y) {
  let d = "", upper = [], lower = [], column = NaN;
  const close = () => { if (upper.length) d += "M" + upper.concat(lower.reverse()).join("L") + "z"; upper = []; lower = []; column = NaN; };
  for (let i = from; i <= to; i++) {
    const e = data.expected[i], t = data.threshold[i], key = Math.floor(x(i) / WIDTH * COLUMNS);
    if (e === null || t === null) { close(); continue; }
    if (key === column) continue;
    column = key;
    upper.push(x(i).toFixed(1) + " " + y(e + t).toFixed(1));
    lower.push(x(i).toFixed(1) + " " + y(e - t).toFixed(1));
  }
  close();
  return d;
}

function ticks(low, high, n) {
  const rough = (high - low) / n, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= rough) || rough;
  const out = [];
  for (let k = Math.ceil(low / step); k * step <= high && out.length < 20; k++) out.push(k * step);
  return out;
}

function marks(panel, list) {
  panel.querySelectorAll(".y").forEach(e => e.remove());
  for (const [top, text] of list) if (top >= 0 && top <= 1) panel.prepend(mark("y", "top", top, text));
}

function mark(name, edge, share, text) {
  const span = document.createElement("span");
  span.className = name;
  span.style[edge] = share * 100 + "%";
  span.textContent = text;
  return span;
}

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const STEPS = [SECOND, 5 * SECOND, 15 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR,
  12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY, 182 * DAY, 365 * DAY, 3652 * DAY];

function times(axis, view) {
  const span = view[1] - view[0], step = STEPS.find(s => span / s <= 7) || span / 4;
  axis.replaceChildren();
  let day = "";
  for (let t = Math.ceil(view[0] / step) * step; t <= view[1]; t += step) {
    const text = new Date(t).toISOString(), date = text.slice(0, 10), clock = text.slice(11, step < MINUTE ? 19 : 16);
    const share = (t - view[0]) / (view[1] - view[0]);
    const span = mark(share > 0.94 ? "end" : "", "left", share, step >= DAY ? date : clock);
    if (step < DAY && day !== date) span.append(document.createElement("br"), date);
    axis.append(span);
    day = date;
  }
}

function nearest(times, t) {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < t) low = middle + 1; else high = middle;
  }
  return low > 0 && t - times[low - 1] < times[low] - t ? low - 1 : low;
}

function stamp(t) {
  return new Date(t).toISOString().replace("T", " ").replace(/(:00)?\.000Z$/, "").replace("Z", "") + " UTC";
}

function show(v) {
  if (v === null) return "–";
  const size = Math.abs(v);
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return v.toExponential(3);
  for (const [unit, name] of [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]])
    if (size >= unit && size >= 1e4) return +(v / unit).toPrecision(5) + name;
  return String(+v.toPrecision(5));
}
