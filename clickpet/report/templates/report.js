"use strict";
document.documentElement.classList.add("js");

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Tables: sorted by a click on a head, filtered by words, saved as tab-separated text.

function sortBy(head) {
  const body = head.closest("table").tBodies[0], column = head.cellIndex;
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const keyed = [...body.rows].map(row => {
    const cell = row.cells[column], text = cell.textContent.trim();
    return { row, key: cell.dataset.sort === undefined ? text : +cell.dataset.sort, missing: text === "–" || text === "" };
  });
  const collator = new Intl.Collator("en", { numeric: true });
  keyed.sort((a, b) => {
    if (a.missing || b.missing) return a.missing - b.missing;
    const numbers = typeof a.key === "number" && typeof b.key === "number";
    const order = numbers ? a.key - b.key : collator.compare(a.key, b.key);
    return up ? order : -order;
  });
  body.append(...keyed.map(one => one.row));
}

function filterRows(rows, words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !wanted.every(word => text.includes(word));
  }
  return rows.filter(row => !row.hidden).length;
}

// Numbers in full, "–" as nothing; text that a spreadsheet would compute gets an apostrophe, as in the tables of results.
function valueOf(cell) {
  const text = cell.textContent.trim().replace(/\s+/g, " ");
  if (text === "–") return "";
  if (cell.dataset.sort !== undefined && /^[−\d.,]+$/.test(text)) return cell.dataset.sort;
  return cell.classList.contains("text") && /^[=+\-@]/.test(text) ? "'" + text : text;
}

function tableText(table) {
  const rows = [...table.rows].filter(row => !row.hidden);
  return rows.map(row => [...row.cells].map(valueOf).join("\t")).join("\n") + "\n";
}

function save(name, href) {
  make("a", { download: name, href }).click();
}

function saveButton(text, action) {
  const button = make("button", { type: "button", className: "save" }, text);
  button.addEventListener("click", action);
  return button;
}

const LEAST_ROWS_TO_FILTER = 8;
for (const figure of document.querySelectorAll("figure.table")) {
  const table = figure.querySelector("table"), rows = [...table.tBodies[0].rows];
  for (const head of table.tHead.rows[0].cells) {
    head.tabIndex = 0;
    head.addEventListener("click", () => sortBy(head));
    head.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sortBy(head); }
    });
  }
  const caption = figure.querySelector("figcaption");
  if (rows.length >= LEAST_ROWS_TO_FILTER) {
    const field = make("input", { type: "search", placeholder: "filter rows", ariaLabel: "Filter the rows of this table" });
    const count = make("span", { role: "status" });
    field.addEventListener("input", () => {
      const left = filterRows(rows, field.value);
      count.textContent = field.value.trim() ? `${left} of ${rows.length} rows` : "";
    });
    caption.after(make("div", { className: "tools" }, field, count));
  }
  caption.append(saveButton("Save as TSV", () => {
    const address = URL.createObjectURL(new Blob([tableText(table)], { type: "text/tab-separated-values" }));
    save(`${figure.id}.tsv`, address);
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }));
}

for (const figure of document.querySelectorAll("figure.chart")) {
  const caption = figure.querySelector("figcaption");
  caption.append(saveButton("Save as PNG", () => save(`${figure.id}.png`, figure.querySelector("img").src)));
}

// Studies: opened by their address (#study-...), one shown at a time.

const cards = [...document.querySelectorAll("article.picture")];
const dialog = document.querySelector("dialog"), stage = dialog.querySelector(".study");
const [previous, next, close] = dialog.querySelectorAll(".pager button"), place = dialog.querySelector(".pager span");
let opened = -1;

// Half a turn of projections side by side; the other half are their mirror images.
function turn(box) {
  const views = +box.dataset.views, pane = box.querySelector(".window"), strip = pane.querySelector("img");
  const range = make("input", { type: "range", min: 0, max: 2 * views - 1, value: 0, ariaLabel: "Angle of the projection" });
  const button = make("button", { type: "button" }, "Stop");
  const shape = strip.getAttribute("width") / views / strip.getAttribute("height");
  pane.style.width = `min(100%, ${70 * shape}vh)`;
  strip.style.width = `${views * 100}%`;
  const show = () => {
    pane.classList.toggle("mirrored", range.value >= views);
    strip.style.transform = `translateX(${-100 * (range.value % views) / views}%)`;
  };
  let timer = 0;
  const run = on => {
    clearInterval(timer);
    timer = on ? setInterval(() => {
      if (!box.isConnected) return run(false);
      range.value = (+range.value + 1) % (2 * views);
      show();
    }, 160) : 0;
    button.textContent = on ? "Stop" : "Turn";
  };
  button.addEventListener("click", () => run(!timer));
  range.addEventListener("input", () => { run(false); show(); });
  pane.after(make("div", { className: "tools" }, button, range));
  show();
  run(!matchMedia("(prefers-reduced-motion: reduce)").matches);
}

function openStudy(index) {
  opened = index;
  const study = cards[index].cloneNode(true);
  study.removeAttribute("id");
  stage.replaceChildren(study);
  study.querySelectorAll(".turn").forEach(turn);
  previous.disabled = index === 0;
  next.disabled = index === cards.length - 1;
  place.textContent = `${index + 1} of ${cards.length}`;
  if (!dialog.open) dialog.showModal();
  dialog.focus();
  dialog.scrollTop = 0;
}

function follow() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const index = cards.indexOf(target);
  if (index >= 0) return openStudy(index);
  if (dialog.open) dialog.close();
  const fold = target?.closest("details") ?? target?.querySelector("details");
  if (fold) { fold.open = true; target.scrollIntoView(); }
}

const go = step => cards[opened + step] && location.replace(`#${cards[opened + step].id}`);
previous.addEventListener("click", () => go(-1));
next.addEventListener("click", () => go(1));
close.addEventListener("click", () => dialog.close());
dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("keydown", event => {
  if (event.target.type === "range") return;
  if (event.key === "ArrowLeft") go(-1);
  if (event.key === "ArrowRight") go(1);
});
dialog.addEventListener("close", () => {
  stage.replaceChildren();
  if (cards.some(card => `#${card.id}` === location.hash)) history.replaceState(null, "", location.href.split("#")[0]);
});
for (const card of cards) card.addEventListener("click", () => { location.hash = card.id; });
addEventListener("hashchange", follow);
follow();
