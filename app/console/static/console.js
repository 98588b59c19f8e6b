// Charts from the data that stands in the page, and the live feed. Without this the page has its tables.
"use strict";
document.documentElement.classList.add("scripted");
const { tz, interval, unfinished } = document.body.dataset;
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

function rowsOf(name) {
  return JSON.parse(document.querySelector(`script[data-for="${name}"]`).textContent);
}

// The last bucket is not over yet: the line that leads to it is dashed.
function line(label, values, paint, more = {}) {
  const dashed = (context) => (unfinished === "yes" && context.p1DataIndex === values.length - 1 ? [5, 5] : undefined);
  return {
    label, data: values, borderColor: paint, backgroundColor: paint, borderWidth: 2, pointRadius: values.length > 40 ? 0 : 2.5,
    tension: 0.25, segment: { borderDash: dashed }, ...more,
  };
}

function draw(name, datasets, labels, { legend = false, share = false } = {}) {
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
        tooltip: { callbacks: share ? { label: (item) => `${(item.parsed.y * 100).toFixed(1)} %` } : {} },
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
  const lines = categories.map((name) => line(name, times.map((time) => at.get(`${time} ${name}`) ?? 0), colour(name)));
  const label = (time) => when.format(new Date(time));
  draw("category-counts", lines, times.map(label), { legend: true });
  const users = rowsOf("active-users");
  draw("active-users", [line("users", users.map((row) => row.activeUsers), colour("bar"))], users.map((row) => label(row.time)));
  const errors = rowsOf("error-rate");
  draw("error-rate", [line("errors", errors.map((row) => row.errorRate), colour("error"))], errors.map((row) => label(row.time)), { share: true });
}

Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

function entry(told) {
  const item = document.createElement("li");
  item.className = ORDER.includes(told.eventCategory) ? told.eventCategory : "custom";
  for (const [tag, kind, text] of [["time", "", told.time.slice(11, 19)], ["span", "name", told.eventName], ["span", "app", told.appId]]) {
    const part = item.appendChild(document.createElement(tag));
    if (kind) part.className = kind;
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
