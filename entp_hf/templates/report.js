"use strict";
// The browser of made rows. Every text is set as textContent: nothing in the data is ever read as markup.
(function () {
  const blob = document.getElementById("rows-data");
  if (!blob) return;
  const data = JSON.parse(blob.textContent);
  const pageSize = 20;
  const find = (id) => document.getElementById(id);
  const search = find("search"), origin = find("origin"), body = find("rows-body"), status = find("status");
  const back = find("back"), next = find("next");
  const names = { fused: "fused", mosaic: "composed" };
  let page = 0;

  function make(tag, kind, text) {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  const joined = (row) => row.turns.map((turn) => turn[1]).join("\n");

  function haystack(row) {
    if (row.hay === undefined) {
      const parents = row.parents.map((id) => (data.parents[id] ? joined(data.parents[id]) : ""));
      row.hay = [row.id, joined(row), ...row.parents, ...parents].join("\n").toLowerCase();
    }
    return row.hay;
  }

  function found() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    return data.rows.filter((row) => (!origin.value || row.origin === origin.value) &&
      words.every((word) => haystack(row).includes(word)));
  }

  function facts(row) {
    const list = [];
    if (row.score !== undefined) list.push("score " + row.score);
    if (row.ratings) list.push("raw " + row.ratings.map((r) => (r === null ? "unrated" : r)).join(", "));
    if (row.round) list.push("round " + row.round);
    if (row.model) list.push("model " + row.model);
    if (row.prompt) list.push("prompt " + row.prompt);
    if (row.source) list.push("from " + row.source);
    if (row.left) list.push("set aside by " + row.left);
    for (const key of Object.keys(row.gate || {})) list.push("gate " + key + " " + row.gate[key]);
    return list.join(" · ");
  }

  function side(row, title, kind) {
    const box = make("div", "side " + kind);
    box.append(make("h4", "", title), make("p", "facts", facts(row)));
    for (const [role, text, full] of row.turns) {
      if (!role && !text) {
        box.append(make("p", "cut", "cut: further turns of " + full.toLocaleString("en") + " characters"));
        continue;
      }
      box.append(make("p", "role", role));
      const pre = make("pre", "text", text);
      pre.dir = "auto";
      pre.tabIndex = 0;
      box.append(pre);
      if (text.length < full) box.append(make("p", "cut", "cut: the whole text has " + full.toLocaleString("en") + " characters"));
    }
    if (row.findings) {
      box.append(make("p", "role", "what the rules found"));
      const list = make("ul");
      for (const f of row.findings) {
        list.append(make("li", "", f.rule + " (" + f.field + "): " + f.action + (f.detail ? ", " + f.detail : "")));
      }
      box.append(list);
    }
    if (row.notes) box.append(make("p", "role", "notes"), make("p", "facts", row.notes));
    return box;
  }

  function fill(details, row) {
    const sides = make("div", "sides"), parents = make("div", "parents");
    sides.append(side(row, "Made row " + row.id, "made"));
    row.parents.forEach((id, i) => {
      const title = "Parent " + (i + 1) + " of " + row.parents.length + ": " + id;
      const parent = data.parents[id];
      parents.append(parent ? side(parent, title, "") : side({ turns: [], notes: "not among the run's rows" }, title, ""));
    });
    sides.append(parents);
    details.append(sides);
  }

  function line(row) {
    const first = row.turns.find((turn) => turn[0] === "user") || row.turns[0] || ["", "", 0];
    const details = make("details"), summary = make("summary");
    summary.append(make("span", "head", first[1].replace(/\s+/g, " ").slice(0, 150) || "(no text)"));
    summary.append(make("span", "badge " + (row.origin === "fused" ? "fused" : ""), names[row.origin] || row.origin));
    summary.append(make("span", "badge", row.parents.length + (row.parents.length === 1 ? " parent" : " parents")));
    if (row.score !== undefined) summary.append(make("span", "badge", "score " + row.score));
    details.append(summary);
    details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) fill(details, row); });
    const cell = make("td"), tr = make("tr");
    cell.append(details);
    tr.append(cell);
    return tr;
  }

  function show() {
    const rows = found(), last = Math.max(0, Math.ceil(rows.length / pageSize) - 1);
    page = Math.min(Math.max(page, 0), last);
    const start = page * pageSize, shown = rows.slice(start, start + pageSize);
    body.replaceChildren(...shown.map(line));
    status.textContent = rows.length ? "rows " + (start + 1) + " to " + (start + shown.length) + " of " + rows.length : "no row has these words";
    back.disabled = page === 0;
    next.disabled = page === last;
  }

  search.addEventListener("input", () => { page = 0; show(); });
  origin.addEventListener("change", () => { page = 0; show(); });
  back.addEventListener("click", () => { page -= 1; show(); });
  next.addEventListener("click", () => { page += 1; show(); });
  show();
  const first = body.querySelector("details");
  if (first) first.open = true;
})();
