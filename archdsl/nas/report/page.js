"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  document.documentElement.classList.add("js");

  const index = new Map(data.trials.map((number, i) => [String(number), i]));
  const byNumber = (prefix) => new Map(all(`[id^=${prefix}]`).filter((e) => /^\d+$/.test(e.id.slice(1)))
    .map((e) => [e.id.slice(1), e]));
  const rows = byNumber("t"), marks = byNumber("p"), curves = byNumber("c");
  const headings = all("#trials thead th").map((th) => th.textContent.trim());
  const numberOf = (element) => element?.closest?.("[id]")?.id.match(/^[tpc](\d+)$/)?.[1];

  const make = (name, parts = [], classes = "") => {
    const e = document.createElement(name);
    if (classes) e.className = classes;
    e.append(...parts);
    return e;
  };

  // What is known of a trial, from its row: a heading, then name and value for every cell that is not empty.
  const facts = (number) => {
    const cells = all("td", rows.get(number)), list = make("dl");
    cells.slice(2).forEach((cell, i) => {
      const text = cell.textContent.trim();
      if (!text || text === "-") return;
      const style = cell.classList.contains("t") ? "mono" : "";
      list.append(make("dt", [headings[i + 2]], style), make("dd", [text], style));
    });
    const row = rows.get(number).classList;
    const rank = row.contains("winner") ? ", winner" : row.contains("front") ? ", on the front" : "";
    return [make("h3", [`Trial ${number}`, make("span", [`  ${cells[1].textContent}${rank}`], "faint")]), list];
  };

  const copyButton = (text) => {
    const button = make("button", ["copy"]);
    button.type = "button";
    button.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(text()); button.textContent = "copied"; }
      catch { button.textContent = "select and copy"; }
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    return button;
  };
  const command = (text) => make("div", [make("code", [text]), copyButton(() => text)], "command");
  for (const box of all(".command")) box.append(copyButton(() => box.querySelector("code").textContent));

  // Hovering and choosing a trial, in the scatter, the curves and the table alike.
  const tip = find("tip");
  let near = null, chosen = null;
  const paint = (number, name, on) => {
    for (const part of [rows, marks, curves]) part.get(number)?.classList.toggle(name, on);
  };
  const hideTip = () => {
    if (near !== null) paint(near, "near", false);
    near = null;
    tip.hidden = true;
  };
  const showTip = (number, x, y) => {
    if (number !== near) {
      hideTip();
      near = number;
      paint(number, "near", true);
      tip.replaceChildren(...facts(number));
      tip.hidden = false;
    }
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, x + 16 + box.width > innerWidth ? x - box.width - 16 : x + 16)}px`;
    tip.style.top = `${Math.max(8, Math.min(y + 14, innerHeight - box.height - 8))}px`;
  };
  const choose = (number, scroll) => {
    if (chosen !== null) paint(chosen, "selected", false);
    chosen = number;
    paint(number, "selected", true);
    const run = data.run.of[index.get(number)];
    const more = run ? [make("p", ["Train it again:"], "faint"), command(data.run.head[run[0]] + number + data.run.tail[run[1]])] : [];
    find("detail").replaceChildren(...facts(number), ...more);
    const row = rows.get(number), box = row.closest(".table");
    row.classList.remove("out");
    const filter = find(`f-${row.classList[0]}`);
    if (filter) filter.checked = true;
    if (scroll) box.scrollTop = row.offsetTop - box.clientHeight / 2;
  };
  for (const plot of all("svg.plot")) {
    plot.addEventListener("pointermove", (e) => {
      const number = numberOf(e.target);
      if (number) showTip(number, e.clientX, e.clientY); else hideTip();
    });
    plot.addEventListener("pointerleave", hideTip);
    plot.addEventListener("focusin", (e) => {
      const number = numberOf(e.target), box = e.target.getBoundingClientRect();
      if (number) showTip(number, box.right, box.bottom);
    });
    plot.addEventListener("focusout", hideTip);
    plot.addEventListener("click", (e) => {
      const number = numberOf(e.target);
      if (!number) return;
      e.preventDefault();
      choose(number, true);
    });
  }
  document.addEventListener("keydown", (e) => { if (e.key === "Escape") hideTip(); });
  find("trials")?.tBodies[0].addEventListener("click", (e) => {
    const number = numberOf(e.target);
    if (number && String(getSelection()) === "") choose(number, false);
  });

  // Plots: places come from an axis, ticks come with it.
  const place = (axis, v) => axis.log
    ? Math.log(v / axis.low) / Math.log(axis.high / axis.low) : (v - axis.low) / (axis.high - axis.low);
  const inside = (axis, v) => place(axis, Math.min(axis.high, Math.max(axis.low, v)));
  const box = (plot) => plot.dataset.box.split(" ").map(Number);
  const draw = (plot, parent, name, attributes, text) => {
    const e = document.createElementNS(plot.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
    if (text !== undefined) e.textContent = text;
    parent.append(e);
  };
  const axes = (plot, across, up) => {
    const [left, top, width, height] = box(plot), group = plot.querySelector(".axes");
    group.replaceChildren();
    for (const [v, label] of across.ticks) {
      const x = (left + width * place(across, v)).toFixed(1);
      draw(plot, group, "path", {class: "grid", d: `M${x} ${top}v${height}`});
      draw(plot, group, "text", {x, y: top + height + 18, "text-anchor": "middle"}, label);
    }
    for (const [v, label] of up.ticks) {
      const y = top + height * (1 - place(up, v));
      draw(plot, group, "path", {class: "grid", d: `M${left} ${y.toFixed(1)}h${width}`});
      draw(plot, group, "text", {x: left - 8, y: (y + 4).toFixed(1), "text-anchor": "end"}, label);
    }
  };
  const points = (plot, across, up) => {
    const [left, top, width, height] = box(plot);
    return ([x, y]) => `${(left + width * inside(across, x)).toFixed(1)} ${(top + height * (1 - inside(up, y))).toFixed(1)}`;
  };

  const scatter = find("scatter");
  const showAxes = () => {
    const i = Number(find("across").value), j = Number(find("up").value);
    const across = data.axes[i], up = data.axes[j], [left, top, width, height] = box(scatter);
    axes(scatter, across, up);
    scatter.querySelector(".across").textContent = across.label;
    scatter.querySelector(".up").textContent = up.label;
    const at = points(scatter, across, up), line = data.lines[`${i},${j}`] ?? [];
    scatter.querySelector(".front-line").setAttribute("d", line.length ? `M${line.map(at).join("L")}` : "");
    let missing = 0;
    for (const [number, mark] of marks) {
      const x = across.values[index.get(number)], y = up.values[index.get(number)];
      const shown = x !== null && x !== undefined, known = y !== null && y !== undefined;
      mark.style.display = shown ? "" : "none";
      if (!shown) continue;
      if (!known) missing += 1;
      const to = known ? at([x, y]) : `${(left + width * inside(across, x)).toFixed(1)} ${top + height + 66}`;
      mark.setAttribute("transform", `translate(${to.replace(" ", ",")})`);
    }
    const note = scatter.querySelector(".missing");
    note.textContent = missing ? `no ${up.name}` : "";
    find("beyond").hidden = !(across.beyond || up.beyond);
    scatter.setAttribute("viewBox", `0 0 800 ${top + height + (missing ? 84 : 54)}`);
  };
  if (scatter) for (const id of ["across", "up"]) find(id).addEventListener("change", showAxes);

  const learning = find("learning");
  learning && find("chart")?.addEventListener("change", (e) => {
    const chart = data.charts[Number(e.target.value)];
    axes(learning, chart.across, chart.up);
    learning.querySelector(".up").textContent = chart.name;
    const at = points(learning, chart.across, chart.up);
    for (const curve of curves.values()) curve.setAttribute("d", "");
    for (const [i, epochs, values] of chart.curves) {
      const curve = curves.get(String(data.trials[i]));
      if (!curve) continue;
      const line = epochs.map((epoch, k) => at([epoch, values[k]]));
      curve.setAttribute("d", line.length > 1 ? `M${line.join("L")}` : `M${line[0]}h0`);
      curve.classList.toggle("dot", line.length === 1);
    }
  });

  // The table: sorted by a heading, rows searched by a text.
  const body = find("trials")?.tBodies[0];
  all("#trials thead th").forEach((th, column) => {
    const button = make("button", [th.textContent.trim()]);
    button.type = "button";
    th.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = th.getAttribute("aria-sort") === "ascending" || (!th.hasAttribute("aria-sort") && th.dataset.better === "1");
      for (const other of all("#trials thead th")) if (other !== th) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
      const values = th.dataset.axis === undefined ? null : data.axes[Number(th.dataset.axis)].values;
      const key = (row) => values ? values[index.get(row.id.slice(1))] ?? null : row.cells[column].textContent || null;
      const sign = down ? -1 : 1;
      const keyed = [...body.rows].map((row) => [key(row), row]);
      keyed.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null)
        : sign * (typeof a === "number" ? a - b : a.localeCompare(b)));
      body.append(...keyed.map(([, row]) => row));
    });
  });
  find("seek")?.addEventListener("input", (e) => {
    const wanted = e.target.value.toLowerCase();
    for (const row of body.rows) row.classList.toggle("out", !row.textContent.toLowerCase().includes(wanted));
  });
})();
