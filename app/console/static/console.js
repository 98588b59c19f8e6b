// Charts from the data that stands in the page, and the live feed. Without this the page has its tables.
"use strict";
document.documentElement.classList.add("scripted");
const { tz, interval } = document.body.dataset;
const parts = JSON.parse(document.body.dataset.parts);  // time of a bucket that is not shown whole -> which part is
const ORDER = ["engagement", "conversion", "error", "custom"];

// `light-dark()` is resolved by letting an element wear the colour.
const probe = document.body.appendChild(document.createElement("span"));
probe.hidden = true;
function colour(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

const when = new Intl.DateTimeFormat(undefined, {
  timeZone: tz,
  ...(interval === "hour" || interval === "minute"
    ? { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }
    : { month: "short", day: "numeric" }),
});

const clock = new Intl.DateTimeFormat("en-GB", { timeZone: tz, hour: "2-digit", minute: "2-digit", second: "2-digit" });

function rowsOf(name) {
  return JSON.parse(document.querySelector(`script[data-for="${name}"]`).textContent);
}

// A bucket of which a part is shown (cut by the span, or not over yet) is a hollow point, and the line to it is dashed.
function line(label, values, paint, times) {
  const partly = times.map((time) => time in parts);
  const dashed = ({ p0DataIndex, p1DataIndex }) => (partly[p0DataIndex] || partly[p1DataIndex] ? [5, 5] : undefined);
  return {
    label, data: values, borderColor: paint, backgroundColor: paint, borderWidth: 2, tension: 0.25,
    pointRadius: partly.map((part) => (part ? 3.5 : values.length > 40 ? 0 : 2.5)),
    pointBackgroundColor: partly.map((part) => (part ? colour("card") : paint)),
    segment: { borderDash: dashed },
  };
}

function draw(name, datasets, times, { legend = false, share = false } = {}) {
  const labels = times.map((time) => when.format(new Date(time)));
  const canvas = document.querySelector(`canvas[data-chart="${name}"]`);
  Chart.getChart(canvas)?.destroy();
  const soft = colour("soft"), grid = colour("line");
  const chart = new Chart(canvas, {
    type: "line",
    data: { labels, datasets },
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      plugins: {
        legend: { display: legend, labels: { color: soft, usePointStyle: true, boxHeight: 6 } },
        tooltip: {
          callbacks: {
            title: ([item]) => [item.label, parts[times[item.dataIndex]]].filter(Boolean).join(", "),
            ...(share ? { label: (item) => `${(item.parsed.y * 100).toFixed(1)} %` } : {}),
          },
        },
      },
      scales: {
        x: { ticks: { color: soft, maxRotation: 0, autoSkipPadding: 12 }, grid: { display: false } },
        y: {
          beginAtZero: true, grid: { color: grid },
          ticks: { color: soft, precision: share ? undefined : 0, ...(share ? { callback: (value) => `${Math.round(value * 1000) / 10} %` } : {}) },
        },
      },
      onClick(event, found) {
        if (!legend || !found.length) return;
        const address = new URL(location.href);
        address.searchParams.set("eventCategory", datasets[found[0].datasetIndex].label);
        location.href = address;
      },
    },
  });
  canvas.dataset.drawn = String(chart.data.datasets.length);
}

function drawAll() {
  const counts = rowsOf("category-counts");
  const times = [...new Set(counts.map((row) => row.time))];
  const categories = ORDER.filter((name) => counts.some((row) => row.eventCategory === name));
  const at = new Map(counts.map((row) => [`${row.time} ${row.eventCategory}`, row.count]));
  const lines = categories.map((name) => line(name, times.map((time) => at.get(`${time} ${name}`) ?? 0), colour(name), times));
  draw("category-counts", lines, times, { legend: true });
  const single = (name, label, value, paint, more) => {
    const rows = rowsOf(name), of = rows.map((row) => row.time);
    draw(name, [line(label, rows.map((row) => row[value]), colour(paint), of)], of, more);
  };
  single("active-users", "users", "activeUsers", "bar");
  single("error-rate", "errors", "errorRate", "error", { share: true });
}

Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

function entry(told) {
  const item = document.createElement("li");
  item.className = ORDER.includes(told.eventCategory) ? told.eventCategory : "custom";
  for (const [tag, kind, text] of [["time", "", clock.format(new Date(told.time))], ["span", "name", told.eventName], ["span", "app", told.appId]]) {
    const part = item.appendChild(document.createElement(tag));
    if (kind) part.className = kind;
    else part.dateTime = told.time;
    part.textContent = text;
  }
  return item;
}

const feed = document.getElementById("feed"), state = document.getElementById("live-state");
const source = new EventSource(`/console/live${location.search}`);
source.onopen = () => { state.textContent = "Events as they come in."; };
source.onerror = () => { state.textContent = "The connection was lost; trying again."; };
source.addEventListener("event", (message) => {
  feed.querySelector(".nothing")?.remove();
  feed.prepend(entry(JSON.parse(message.data)));
  while (feed.children.length > 100) feed.lastElementChild.remove();
});
