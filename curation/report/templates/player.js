// Draws the question frames with what was measured over them. Frames come from one sheet, so that a mask never meets another frame.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("player-data").textContent);
  const { sheet, times, objects, missed } = data;
  const view = document.getElementById("view"), slider = document.getElementById("frame"), label = document.getElementById("time");
  const shown = { masks: true, boxes: false, paths: true, ids: true, truth: true };
  const hidden = new Set();
  const picture = new Image();
  let current = 0, playing = false;

  function outline(ctx, polygons, w, h) {
    ctx.beginPath();
    for (const p of polygons) {
      for (let n = 0; n < p.length; n += 2) n ? ctx.lineTo(p[n] * w, p[n + 1] * h) : ctx.moveTo(p[0] * w, p[1] * h);
      ctx.closePath();
    }
  }

  function project(point, k, w, h) { // world -> picture, as schemas.camera.Intrinsics.project does
    const m = data.poses[k], d = [point[0] - m[3], point[1] - m[7], point[2] - m[11]];
    const z = m[2] * d[0] + m[6] * d[1] + m[10] * d[2];
    if (z < 0.05) return null;
    const x = (m[0] * d[0] + m[4] * d[1] + m[8] * d[2]) / z, y = (m[1] * d[0] + m[5] * d[1] + m[9] * d[2]) / z;
    const [fx, fy, cx, cy] = data.view, u = (fx * x + cx) * w, v = (fy * y + cy) * h;
    return Math.abs(u) < 9 * w && Math.abs(v) < 9 * h ? [u, v] : null;
  }

  function path(ctx, points, k, w, h, from, to) {
    ctx.beginPath();
    let open = false;
    for (let n = from; n <= to; n++) {
      const p = points[n] && points[n][0] != null ? project(points[n], k, w, h) : null;
      if (p) { open ? ctx.lineTo(...p) : ctx.moveTo(...p); open = true; } // a gap is bridged: the object was hidden there
    }
    ctx.stroke();
  }

  function draw(canvas, k, only) {
    const ctx = canvas.getContext("2d"), w = canvas.width, h = canvas.height, unit = w / (only == null ? 640 : 330);
    ctx.drawImage(picture, (k % sheet.columns) * sheet.width, Math.floor(k / sheet.columns) * sheet.height, sheet.width, sheet.height, 0, 0, w, h);
    ctx.lineJoin = ctx.lineCap = "round";
    const last = times.length - 1;
    for (const object of objects) {
      if (hidden.has(object.id) || (only != null && !only.includes(object.id))) continue;
      const now = object.frames[k];
      if (shown.masks && now) {
        outline(ctx, now.mask, w, h);
        ctx.globalAlpha = 0.33; ctx.fillStyle = object.colour; ctx.fill("evenodd");
        ctx.globalAlpha = 1; ctx.lineWidth = 1.5 * unit; ctx.strokeStyle = object.colour; ctx.stroke();
      }
      if (shown.boxes && now && now.box) {
        const [a, b, c, d] = now.box;
        ctx.lineWidth = 1.5 * unit; ctx.strokeStyle = object.colour; ctx.strokeRect(a * w, b * h, (c - a) * w, (d - b) * h);
      }
      if (shown.truth && object.truth) {
        outline(ctx, object.truth[k], w, h);
        ctx.lineWidth = 1.4 * unit; ctx.strokeStyle = "#fff"; ctx.setLineDash([4 * unit, 3 * unit]); ctx.stroke(); ctx.setLineDash([]);
      }
      if (shown.paths && data.poses) {
        const points = object.frames.map((f) => f && f.at);
        ctx.lineWidth = 4 * unit; ctx.strokeStyle = "rgba(0,0,0,.55)"; path(ctx, points, k, w, h, 0, k);
        ctx.lineWidth = 2.2 * unit; ctx.strokeStyle = object.colour; path(ctx, points, k, w, h, 0, k);
        ctx.globalAlpha = 0.6; ctx.setLineDash([1, 5 * unit]); path(ctx, points, k, w, h, k, last); ctx.setLineDash([]); ctx.globalAlpha = 1;
        if (shown.truth && object.true_path) {
          ctx.strokeStyle = "#fff"; ctx.lineWidth = 1.6 * unit; ctx.setLineDash([2 * unit, 4 * unit]); path(ctx, object.true_path, k, w, h, 0, last); ctx.setLineDash([]);
        }
        const p = now && now.at && project(now.at, k, w, h);
        if (p) { // a dot where it moves, a ring where it stands
          ctx.beginPath(); ctx.arc(p[0], p[1], 5 * unit, 0, 7);
          ctx.fillStyle = now.moving ? object.colour : "#fff"; ctx.fill(); ctx.lineWidth = 1.5 * unit; ctx.strokeStyle = now.moving ? "#fff" : object.colour; ctx.stroke();
        }
      }
      if (shown.ids && now && now.box) {
        const text = `${object.id}${now.near != null ? "  " + now.near.toFixed(2) + " m" : ""}${now.moving ? "" : "  stands"}`;
        ctx.font = `600 ${Math.round(13 * unit)}px system-ui, "DejaVu Sans", sans-serif`;
        const wide = ctx.measureText(text).width + 8 * unit, tall = 18 * unit;
        const x = Math.min(Math.max(0, now.box[0] * w), w - wide), y = Math.max(0, now.box[1] * h - tall - 2 * unit);
        ctx.fillStyle = object.colour; ctx.fillRect(x, y, wide, tall);
        ctx.fillStyle = "#fff"; ctx.textBaseline = "middle"; ctx.fillText(text, x + 4 * unit, y + tall / 2 + unit);
      }
    }
    if (shown.truth && only == null) {
      for (const body of missed) {
        outline(ctx, body.truth[k], w, h);
        ctx.lineWidth = 1.6 * unit; ctx.strokeStyle = "#ff3030"; ctx.setLineDash([4 * unit, 3 * unit]); ctx.stroke(); ctx.setLineDash([]);
      }
    }
  }

  const waiting = new Set(), drawn = new Set();
  const seen = new IntersectionObserver((entries) => {
    for (const e of entries) {
      if (!e.isIntersecting) { drawn.delete(e.target); continue; }
      drawn.add(e.target); small(e.target);
    }
  }, { rootMargin: "400px" });
  function small(canvas) {
    if (picture.complete && picture.naturalWidth) draw(canvas, +canvas.dataset.frame, canvas.dataset.only.split(" ")); else waiting.add(canvas);
  }

  function main(redraw) {
    const wide = Math.round(view.clientWidth * Math.min(devicePixelRatio || 1, 2)) || sheet.width;
    if (view.width !== wide) { view.width = wide; view.height = Math.round(wide * sheet.height / sheet.width); }
    if (picture.naturalWidth) draw(view, current, null);
    if (redraw) drawn.forEach(small);
  }

  function go(k) {
    current = Math.max(0, Math.min(times.length - 1, k));
    slider.value = current;
    label.textContent = `frame ${current} of ${times.length - 1} · ${times[current].toFixed(2)} s`;
    main(false);
    document.dispatchEvent(new CustomEvent("frame", { detail: current }));
  }

  let began = 0;
  function step(now) {
    if (!playing) return;
    const speed = +document.getElementById("speed").value, length = times[times.length - 1] + (times[1] - times[0] || 0.1);
    const t = ((now - began) / 1000 * speed) % length;
    let k = times.length - 1;
    while (k && times[k] > t) k--;
    if (k !== current) go(k);
    requestAnimationFrame(step);
  }
  function play(on) {
    playing = on;
    document.getElementById("play").textContent = on ? "⏸ pause" : "▶ play";
    if (on) { began = performance.now() - times[current] * 1000 / +document.getElementById("speed").value; requestAnimationFrame(step); }
  }

  picture.onload = () => { main(false); waiting.forEach(small); waiting.clear(); };
  picture.onerror = () => { label.textContent = "the picture beside this page is missing: " + sheet.file; };
  picture.src = sheet.file;
  slider.addEventListener("input", () => { play(false); go(+slider.value); });
  document.getElementById("play").addEventListener("click", () => play(!playing));
  document.getElementById("speed").addEventListener("change", () => { if (playing) play(true); });
  for (const box of document.querySelectorAll("[data-show]")) box.addEventListener("change", () => { shown[box.dataset.show] = box.checked; main(true); });
  for (const box of document.querySelectorAll("[data-object]"))
    box.addEventListener("change", () => { box.checked ? hidden.delete(box.dataset.object) : hidden.add(box.dataset.object); main(true); });
  for (const figure of document.querySelectorAll("[data-jump]"))
    figure.addEventListener("click", () => { play(false); go(+figure.dataset.jump); view.scrollIntoView({ behavior: "smooth", block: "nearest" }); });
  for (const canvas of document.querySelectorAll("canvas[data-frame]")) seen.observe(canvas);
  document.addEventListener("go", (event) => { play(false); go(event.detail); });
  document.addEventListener("keydown", (event) => {
    if (["INPUT", "SELECT", "BUTTON"].includes(event.target.tagName) && event.target.type !== "range") return;
    if (event.key === " ") { event.preventDefault(); play(!playing); }
    else if (event.target.type === "range") return;
    else if (event.key === "ArrowRight") { play(false); go(current + 1); }
    else if (event.key === "ArrowLeft") { play(false); go(current - 1); }
  });
  addEventListener("resize", () => main(false));
  go(0);
})();
