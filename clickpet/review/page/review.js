// The review page: worklist, one study with its clicks, keys and buttons.
import { Viewer, unpack } from "./viewer.js";

const $ = (id) => document.getElementById(id);
const ALIVE_MS = 30000;
const KINDS = { t: "tumor", b: "background" };
const page = { studies: [], number: null, study: null, state: null, held: null, used: false, queue: Promise.resolve() };
const viewer = new Viewer($("planes"), $("mip"), showPlace);
window.review = { page, viewer }; // for tests and for the curious

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  };
  const answer = await fetch(`api/${path}`, options);
  if (answer.status === 410) throw Object.assign(new Error("closed"), { closed: true });
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(value.error || `the server answered ${answer.status}`);
  return value;
}
const own = (path, body) => ask(`studies/${page.number}/${path}`, body);

function say(text, kind = "") {
  $("status").textContent = text;
  $("status").className = kind;
}

/** Run one thing after another; what fails is told, and a study that the server has closed is opened again. */
function inTurn(text, work) {
  page.queue = page.queue.then(async () => {
    say(text, "busy");
    try {
      say((await work()) || "");
    } catch (error) {
      if (error.closed) return openStudy(page.number);
      say(error.message, "wrong");
    }
  });
  return page.queue;
}

// ---- worklist

async function start() {
  await viewer.start();
  page.studies = await ask("studies");
  if (page.studies.length === 1) return openStudy(0);
  return showWorklist();
}

function cell(row, text, name = "") {
  const made = row.insertCell();
  made.textContent = text;
  made.className = name;
  return made;
}

async function showWorklist() {
  page.studies = await ask("studies");
  const body = document.querySelector("#worklist tbody");
  body.replaceChildren();
  for (const study of page.studies) {
    const row = body.insertRow();
    cell(row, study.rank ?? "");
    cell(row, study.name, "name");
    cell(row, study.tracer ?? "");
    cell(row, study.split ?? "");
    cell(row, study.priority == null ? "" : study.priority.toFixed(2));
    cell(row, study.why ?? "");
    const button = document.createElement("button");
    button.textContent = study.unsaved ? "Go on (not saved)" : study.reviewed ? "Open (reviewed)" : "Open";
    button.setAttribute("aria-label", `Open ${study.name}`);
    button.onclick = () => openStudy(study.number);
    row.insertCell().append(button);
  }
  show("worklist");
  $("name").textContent = "clickpet review";
  $("facts").textContent = `${page.studies.length} studies`;
  document.title = "clickpet review";
  say("");
}

function show(name) {
  for (const id of ["worklist", "study", "done"]) $(id).hidden = id !== name;
  $("back").hidden = name !== "study" || page.studies.length < 2;
}

// ---- a study

async function openStudy(number) {
  show("study");
  say("reading the study", "busy");
  try {
    page.number = number;
    page.study = await own("open", {});
    const { study } = page, base = `api/studies/${number}`;
    $("name").textContent = $("name").title = study.name;
    document.title = `${study.name} \u2013 clickpet review`;
    $("facts").textContent = [study.tracer.toUpperCase(), study.facts.why].filter(Boolean).join(" \u00b7 ");
    $("truth_line").hidden = !study.truth;
    $("show_truth").checked = false;
    $("show_mask").checked = $("show_clicks").checked = true;
    $("suv_high").max = Math.max(20, Math.min(60, Math.ceil(study.suv_max)));
    $("suv_high").value = study.suv_window;
    $("suv_low").value = 0;
    $("notes").replaceChildren(...study.notes.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
    $("saved").textContent = "";
    page.here = undefined;
    viewer.turn = 0;
    await viewer.open(base, study);
    setWindow();
    viewer.setOpacity(Number($("opacity").value));
    showState(study);
    jump(0);
    document.body.dataset.ready = "pictures";
    say("segmenting", "busy");
    viewer.openMip(base).catch((error) => say(error.message, "wrong"));
    inTurn("segmenting", async () => {
      const text = await update("predict");
      if (page.here === undefined) jump(0);
      return text;
    });
  } catch (error) {
    say(error.message, "wrong");
  }
}

/** Send something that changes the mask, and show what came of it. */
async function update(path, body = {}) {
  const state = await own(path, body);
  if (state.version === undefined) return "nothing to undo";
  if (state.previous !== null && state.previous !== page.state.version) return update_whole();
  await viewer.setMask(state);
  await showState(state);
  document.body.dataset.ready = "mask";
  const ml = state.totals.tmtv_ml.toFixed(1);
  return `${ml} ml after ${state.seconds.toFixed(1)} s`;
}

async function update_whole() {
  const state = await own("state");
  await viewer.setMask(state);
  await showState(state);
  return `${state.totals.tmtv_ml.toFixed(1)} ml`;
}

async function showState(state) {
  page.state = state;
  const { totals } = state;
  $("totals").textContent = `${totals.lesions}, TMTV ${totals.tmtv_ml.toFixed(1)} ml, TLG ${totals.tlg.toFixed(0)}`;
  $("undo").disabled = !state.clicks.tumor.length && !state.clicks.background.length;
  if (state.tracer) $("facts").textContent = [state.tracer.toUpperCase(), page.study.facts.why].filter(Boolean).join(" \u00b7 ");
  let rows = state.lesions;
  if ($("show_truth").checked) {
    const truth = await own("truth");
    rows = [...rows, ...truth.lesions.filter((lesion) => !lesion.found).map((lesion) => ({ ...lesion, missed: true }))];
  }
  page.lesions = rows;
  const body = document.querySelector("#lesions tbody");
  body.replaceChildren();
  rows.forEach((lesion, index) => {
    const row = body.insertRow();
    row.className = lesion.missed ? "missed" : "";
    row.tabIndex = 0;
    row.onclick = () => jump(index);
    row.onkeydown = (event) => { if (event.key === "Enter") jump(index); };
    cell(row, lesion.missed ? "miss" : lesion.lesion);
    cell(row, lesion.volume_ml.toFixed(1));
    for (const name of ["suv_max", "suv_peak"]) cell(row, lesion[name] === null ? "" : lesion[name].toFixed(1));
    cell(row, lesion.tlg.toFixed(0));
  });
  markHere();
}

function markHere() {
  document.querySelectorAll("#lesions tbody tr").forEach((row, index) => row.classList.toggle("here", index === page.here));
}

/** Go to a lesion of the table. */
function jump(index) {
  const { lesions } = page;
  if (!lesions || !lesions.length) return;
  page.here = ((index % lesions.length) + lesions.length) % lesions.length;
  viewer.goTo(lesions[page.here].voxel);
  markHere();
  document.querySelector("#lesions tbody tr.here")?.scrollIntoView({ block: "nearest" });
}

function click(kind, voxel = viewer.voxel) {
  return inTurn("segmenting", () => update("interactions", { kind, points: [voxel] }));
}

const undo = () => inTurn("segmenting", () => update("undo"));

function save() {
  return inTurn("saving", async () => {
    const { lines } = await own("save", {});
    page.state.saved = true;
    $("saved").textContent = `Saved. ${lines.join(". ")}.`;
    return "saved";
  });
}

async function close() {
  await save();
  if (!page.state.saved) return;
  await leave();
}

/** Close the study: back to the worklist, or the end where there is only one. */
async function leave() {
  await own("close", {}).catch(() => {});
  viewer.close();
  page.state = page.study = page.lesions = null;
  delete document.body.dataset.ready;
  if (page.studies.length > 1) return showWorklist();
  await ask("finish", {}).catch(() => {});
  show("done");
  document.querySelector("#done p").textContent = `${$("saved").textContent} You may close this page.`;
  say("");
}

function showPlace(voxel, degrees) {
  $("where").textContent = `SUV ${viewer.suv(voxel).toFixed(2)} \u00b7 ${viewer.hu(voxel)} HU \u00b7 ` +
    `${viewer.millimetres(voxel).map((mm) => mm.toFixed(0)).join(", ")} mm`;
  $("turn").textContent = degrees === 0 ? "MIP from the front" : `MIP turned ${degrees}\u00b0`;
}

function setWindow() {
  let [low, high] = [Number($("suv_low").value), Number($("suv_high").value)];
  if (high < low + 0.5) high = low + 0.5;
  $("window").textContent = `${low.toFixed(1)} to ${high.toFixed(1)}`;
  viewer.setWindow(low, high);
}

async function showTruth() {
  if ($("show_truth").checked && !viewer.truth) viewer.setTruth(await unpack((await own("truth")).mask));
  viewer.show("truth", $("show_truth").checked);
  await showState(page.state);
}

// ---- mouse and keys

$("planes").addEventListener("click", () => {
  if (page.held) {
    page.used = true;
    click(page.held);
  }
});
$("mip").addEventListener("click", async () => {
  const [across, , up] = viewer.pixel;
  const { voxel } = await own(`ray?across=${across}&turn=${viewer.turn}&up=${up}`);
  if (voxel) viewer.goTo(voxel);
  else viewer.moved();
});
$("tumor").onclick = () => click("tumor");
$("background").onclick = () => click("background");
$("undo").onclick = undo;
$("next").onclick = () => jump((page.here ?? -1) + 1);
$("previous").onclick = () => jump((page.here ?? 1) - 1);
$("save").onclick = save;
$("close").onclick = close;
$("back").onclick = leave;
for (const id of ["suv_low", "suv_high"]) $(id).oninput = setWindow;
$("opacity").oninput = () => viewer.setOpacity(Number($("opacity").value));
$("ct").onchange = () => viewer.setCtWindow(...$("ct").value.split(",").map(Number));
$("show_mask").onchange = () => viewer.show("mask", $("show_mask").checked);
$("show_clicks").onchange = () => viewer.show("clicks", $("show_clicks").checked);
$("show_truth").onchange = () => inTurn("", showTruth);

const KEYS = {
  u: undo, s: save,
  n: () => $("next").click(), p: () => $("previous").click(),
  m: () => $("show_mask").click(), c: () => $("show_clicks").click(),
  e: () => { if (!$("truth_line").hidden) $("show_truth").click(); },
  0: () => viewer.resetZoom(),
  "[": () => viewer.rotate(-1), "]": () => viewer.rotate(1),
  // the picture shows the patient's right on the left
  ArrowLeft: () => viewer.step(1, 0, 0), ArrowRight: () => viewer.step(-1, 0, 0),
  ArrowUp: () => viewer.step(0, 1, 0), ArrowDown: () => viewer.step(0, -1, 0),
  PageUp: () => viewer.step(0, 0, 1), PageDown: () => viewer.step(0, 0, -1),
};

function hold(kind) {
  page.held = kind;
  page.used = false;
  $("planes").classList.toggle("tumor", kind === "tumor");
  $("planes").classList.toggle("background", kind === "background");
}

// before NiiVue, which has keys of its own
window.addEventListener("keydown", (event) => {
  if (!page.state || event.altKey || event.metaKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const field = event.target.matches("input[type=range], select");
  if (event.ctrlKey) {
    if (key === "z" || key === "s") { event.preventDefault(); KEYS[key === "z" ? "u" : "s"](); }
    return;
  }
  if (field && /^(Arrow|Page)/.test(key)) return;
  if (KINDS[key]) { if (!event.repeat) hold(KINDS[key]); } else if (KEYS[key] && !(event.repeat && key.length === 1)) KEYS[key]();
  else if (event.target.tagName !== "CANVAS") return;
  event.stopPropagation();
  if (KINDS[key] || KEYS[key]) event.preventDefault();
}, { capture: true });
window.addEventListener("keyup", (event) => {
  const kind = KINDS[event.key.toLowerCase()];
  if (event.target.tagName === "CANVAS") event.stopPropagation();
  if (!kind || page.held !== kind) return;
  const { used } = page;
  hold(null);
  if (!used && page.state) click(kind);
}, { capture: true });
window.addEventListener("blur", () => hold(null));
window.addEventListener("beforeunload", (event) => {
  if (page.state && !page.state.saved) event.preventDefault();
});
setInterval(() => { if (page.state) own("alive", {}).catch(() => {}); }, ALIVE_MS);

start().catch((error) => say(error.message, "wrong"));
