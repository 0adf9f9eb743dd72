// Theme, charts, and filters of lists. Nothing here asks a network for anything.
"use strict";
(() => {
  const root = document.documentElement;
  const remembered = { get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
                       set: (v) => { try { localStorage.setItem("theme", v); } catch { /* a page from disk may have no storage */ } } };
  if (remembered.get()) root.dataset.theme = remembered.get();
  const charts = [];
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  function themed(layout, scene) {
    const line = css("--line"), soft = css("--soft");
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, tickcolor: line };
    const out = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--ink"), family: "system-ui, DejaVu Sans, sans-serif", size: 12 },
      margin: { l: 52, r: 12, t: 8, b: 44 }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { color: soft }, bgcolor: "rgba(0,0,0,0)" },
      hoverlabel: { bgcolor: css("--card"), bordercolor: line, font: { color: css("--ink") } }, uirevision: "keep",
    };
    Object.assign(out, structuredClone(layout), { legend: { ...out.legend, ...layout.legend } });
    for (const name of Object.keys(out).filter((k) => /^[xy]axis/.test(k))) out[name] = { ...axis, ...out[name] };
    if (scene) {
      out.margin = { l: 0, r: 0, t: 0, b: 0 };
      for (const name of ["xaxis", "yaxis", "zaxis"]) out.scene[name] = { ...axis, backgroundcolor: css("--faint"), showbackground: true, ...out.scene[name] };
    }
    return out;
  }

  function marks(chart, k) { // the line at the frame that is shown
    const own = chart.figure.layout.shapes || [];
    if (!chart.figure.times || k == null) return own;
    const t = chart.figure.times[k];
    return [...own, { type: "line", x0: t, x1: t, yref: "paper", y0: 0, y1: 1, line: { color: css("--accent"), width: 1.5 } }];
  }

  let shown = null;
  function show(k) {
    shown = k;
    for (const chart of charts) {
      if (chart.figure.times) Plotly.relayout(chart.place, { shapes: marks(chart, k) });
      const follow = chart.figure.follow || [];
      if (follow.length) {
        const at = follow.map((f) => f.at[k] || [null, null, null]);
        Plotly.restyle(chart.place, { x: at.map((p) => [p[0]]), y: at.map((p) => [p[1]]), z: at.map((p) => [p[2]]) }, follow.map((f) => f.trace));
      }
    }
  }

  function draw() {
    for (const script of document.querySelectorAll("script[data-chart]")) {
      const place = document.getElementById(script.dataset.chart), figure = JSON.parse(script.textContent);
      const chart = { place, figure };
      const layout = { ...themed(figure.layout, figure.layout.scene), shapes: marks(chart, shown) };
      Plotly.newPlot(place, figure.data, layout, { responsive: true, displayModeBar: false });
      charts.push(chart);
      place.on("plotly_click", (event) => {
        const point = event.points[0];
        let k = null;
        if (figure.times) k = figure.times.reduce((best, t, n) => (Math.abs(t - point.x) < Math.abs(figure.times[best] - point.x) ? n : best), 0);
        else if (figure.follow && point.data.x.length === figure.follow[0]?.at.length) k = point.pointNumber;
        if (k != null) document.dispatchEvent(new CustomEvent("go", { detail: k }));
      });
    }
    if (shown != null) show(shown);
  }

  document.addEventListener("frame", (event) => { if (charts.length) show(event.detail); else shown = event.detail; });
  window.addEventListener("DOMContentLoaded", () => { if (window.Plotly) draw(); });
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    remembered.set(root.dataset.theme);
    for (const chart of charts) Plotly.relayout(chart.place, { ...themed(chart.figure.layout, chart.figure.layout.scene), shapes: marks(chart, shown) });
  });

  const find = document.getElementById("find"), which = document.getElementById("which");
  function filter() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const card of document.querySelectorAll(".clip")) {
      const fits = words.every((w) => card.textContent.toLowerCase().includes(w)) && (!which.value || card.dataset.outcome === which.value);
      card.classList.toggle("hidden", !fits);
      left += fits;
    }
    document.getElementById("left").textContent = left;
  }
  if (find) { find.addEventListener("input", filter); which.addEventListener("change", filter); }
})();
