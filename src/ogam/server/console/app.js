// The console. Calls the server's own endpoints as the vendors' SDKs do; knows nothing that
// they do not. No framework and no build: what is served is what is written here.

import { showUsage } from "./usage.js";

const $ = (id) => document.getElementById(id);
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const WORDS = await (await fetch("/console/words.json")).json();
let language = localStorage.getItem("ogam-language")
  ?? (navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en");
let state = null; // /console/state.json, once the key is right

function say(name, values = {}) {
  return WORDS[language][name].replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
}

// ---- asking -------------------------------------------------------------------------------

class Refused extends Error {}

const AUTH = {
  openai: (key) => ["Authorization", `Bearer ${key}`],
  deepl: (key) => ["Authorization", `DeepL-Auth-Key ${key}`],
  google: (key) => ["x-goog-api-key", key],
};

// What every panel's `ask` gives: vendor, path, and json or form; `files` names the form's files.
async function call(asked, signal) {
  const headers = {};
  const key = $("key").value.trim();
  if (key) {
    const [name, value] = AUTH[asked.vendor](key);
    headers[name] = value;
  }
  if (asked.json) headers["Content-Type"] = "application/json";
  const body = asked.json ? JSON.stringify(asked.json) : formData(asked.form);
  let response;
  try {
    response = await fetch(asked.path, { method: "POST", headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(say("unreachable"));
  }
  if (!response.ok) throw new Refused(await messageOf(response));
  return response;
}

function formData(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof Blob) form.append(name, value, value.name ?? "recording");
    else form.append(name, value);
  }
  return form;
}

// Each vendor says what went wrong in a place of its own.
async function messageOf(response) {
  const text = await response.text();
  try {
    const said = JSON.parse(text);
    return said.error?.message ?? said.detail?.message ?? said.message ?? text;
  } catch {
    return text || `HTTP ${response.status}`;
  }
}

async function base64(file) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
  return url.slice(url.indexOf(",") + 1);
}

// ---- the seven panels: what each asks, how it shows the answer ------------------------------

let recorded = null; // what the microphone gave, a Blob

const PANELS = {
  write: {
    ask: () => ({
      vendor: "openai",
      path: "/v1/chat/completions",
      json: {
        model: "gpt-4o-mini",
        messages: [{ role: "user", content: $("write-prompt").value }],
        max_completion_tokens: Number($("write-length").value) || 80,
        stream: true,
      },
    }),
    async show(response, out, told) {
      out.textContent = "";
      for await (const data of events(response)) {
        if (data === "[DONE]") break;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new Refused(chunk.error.message);
        const piece = chunk.choices[0]?.delta?.content;
        if (piece) {
          told.first();
          out.append(piece);
        }
      }
    },
    sdk: (asked) =>
      `for chunk in client.chat.completions.create(model="gpt-4o-mini", stream=True,\n` +
      `        messages=[{"role": "user", "content": ${python(asked.json.messages[0].content)}}]):\n` +
      `    print(chunk.choices[0].delta.content or "", end="")`,
  },
  speak: {
    ask: () => ({
      vendor: "openai",
      path: "/v1/audio/speech",
      json: { model: "tts-1", voice: $("speak-voice").value.trim() || "alloy", input: $("speak-text").value },
      saves: "speech.mp3",
    }),
    async show(response, out) {
      const player = new Audio(URL.createObjectURL(await response.blob()));
      player.controls = true;
      out.replaceChildren(player);
      player.play().catch(() => {}); // a browser may want a click on the player first
    },
    sdk: (asked) =>
      `client.audio.speech.create(model="tts-1", voice=${python(asked.json.voice)},\n` +
      `    input=${python(asked.json.input)}).write_to_file("speech.mp3")`,
  },
  see: {
    async ask() {
      const file = $("see-file").files[0];
      const features = all("#see input:checked").map((box) => ({ type: box.value }));
      return {
        vendor: "google",
        path: "/v1/images:annotate",
        json: { requests: [{ image: { content: file ? await base64(file) : "" }, features }] },
        missing: !file,
        file,
      };
    },
    async show(response, out, told, asked) {
      const found = (await response.json()).responses[0];
      if (found.error) throw new Refused(found.error.message);
      out.replaceChildren(await drawn(asked.file, found), ...described(found));
    },
    sdk: (asked) =>
      `client.annotate_image({"image": {"content": open("picture.png", "rb").read()},\n` +
      `    "features": [${asked.json.requests[0].features.map((one) => `{"type_": "${one.type}"}`).join(", ")}]})`,
  },
  hear: {
    ask() {
      const file = $("hear-file").files[0] ?? recorded;
      const form = { file: file ?? new Blob(), model: "whisper-1" };
      if ($("hear-language").value.trim()) form.language = $("hear-language").value.trim();
      return { vendor: "openai", path: "/v1/audio/transcriptions", form, missing: !file };
    },
    async show(response, out) {
      out.textContent = (await response.json()).text || say("found_nothing");
    },
    sdk: () => `print(client.audio.transcriptions.create(model="whisper-1", file=open("recording", "rb")).text)`,
  },
  translate: {
    ask: () => ({
      vendor: "deepl",
      path: "/v2/translate",
      json: { text: [$("translate-text").value], target_lang: $("translate-target").value.trim().toUpperCase() },
    }),
    async show(response, out) {
      out.textContent = (await response.json()).translations.map((one) => one.text).join("\n");
    },
    sdk: (asked) =>
      `print(client.translate_text(${python(asked.json.text[0])}, target_lang=${python(asked.json.target_lang)}))`,
  },
  classify: {
    ask: () => ({
      vendor: "openai",
      path: "/v1/moderations",
      json: { model: "omni-moderation-latest", input: $("classify-text").value },
    }),
    async show(response, out) {
      const [judged] = (await response.json()).results;
      const scores = Object.entries(judged.category_scores).sort((one, other) => other[1] - one[1]);
      const head = element("p", say(judged.flagged ? "flagged" : "not_flagged"));
      out.replaceChildren(head, bars(scores));
    },
    sdk: (asked) => `print(client.moderations.create(input=${python(asked.json.input)}).results[0])`,
  },
  compare: {
    ask: () => ({
      vendor: "openai",
      path: "/v1/embeddings",
      json: { model: "text-embedding-3-small", input: [$("compare-first").value, $("compare-second").value] },
    }),
    async show(response, out) {
      const [one, other] = (await response.json()).data.map((item) => item.embedding);
      const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);
      const value = dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other));
      out.textContent = say("similarity", { value: value.toFixed(3) });
    },
    sdk: (asked) =>
      `a, b = client.embeddings.create(model="text-embedding-3-small",\n` +
      `    input=[${asked.json.input.map(python).join(", ")}]).data`,
  },
};

const TABS = [...Object.keys(PANELS), "usage"];

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) yield part.slice(6);
  }
}

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function bars(scores) {
  const table = document.createElement("table");
  for (const [name, score] of scores) {
    const row = table.insertRow();
    row.append(element("th", name, { scope: "row" }));
    row.insertCell().append(element("meter", "", { value: score, "aria-label": name }));
    row.insertCell().textContent = score.toFixed(2);
  }
  return table;
}

async function drawn(file, found) {
  const picture = await createImageBitmap(file);
  const canvas = element("canvas", "", { role: "img", "aria-label": say("picture_of") });
  [canvas.width, canvas.height] = [picture.width, picture.height];
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0);
  pen.lineWidth = Math.max(2, picture.width / 300);
  pen.font = `${Math.max(12, picture.width / 40)}px system-ui`;
  const draw = (points, color, label = "") => {
    pen.strokeStyle = pen.fillStyle = color;
    pen.beginPath();
    for (const { x = 0, y = 0 } of points) pen.lineTo(x, y);
    pen.closePath();
    pen.stroke();
    if (label) pen.fillText(label, points[0].x ?? 0, (points[0].y ?? 0) - pen.lineWidth * 2);
  };
  for (const word of (found.textAnnotations ?? []).slice(1)) draw(word.boundingPoly.vertices, "#0b5cad");
  for (const face of found.faceAnnotations ?? []) draw(face.boundingPoly.vertices, "#d1006c");
  for (const one of found.localizedObjectAnnotations ?? []) {
    const scaled = one.boundingPoly.normalizedVertices.map(({ x = 0, y = 0 }) => ({ x: x * picture.width, y: y * picture.height }));
    draw(scaled, "#c25700", one.name);
  }
  return canvas;
}

function described(found) {
  const parts = [];
  if (found.textAnnotations?.length) parts.push(element("p", found.textAnnotations[0].description));
  if (found.faceAnnotations?.length) parts.push(element("p", `${say("f_faces")}: ${found.faceAnnotations.length}`));
  const named = [["f_objects", found.localizedObjectAnnotations, "name"], ["f_labels", found.labelAnnotations, "description"]];
  for (const [word, list, key] of named) {
    if (list?.length) {
      parts.push(element("p", `${say(word)}: ${list.map((one) => `${one[key]} ${(one.score ?? 0).toFixed(2)}`).join(", ")}`));
    }
  }
  const colors = found.imagePropertiesAnnotation?.dominantColors?.colors ?? [];
  if (colors.length) {
    const hex = ({ red = 0, green = 0, blue = 0 }) => `#${[red, green, blue].map((one) => Math.round(one).toString(16).padStart(2, "0")).join("")}`;
    parts.push(element("p", `${say("f_colors")}: ${colors.slice(0, 5).map((one) => hex(one.color)).join(" ")}`));
  }
  return parts.length ? parts : [element("p", say("found_nothing"))];
}

// ---- the same from elsewhere -----------------------------------------------------------------

const python = (text) => JSON.stringify(text);
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curlLine(asked) {
  const parts = [`curl ${location.origin}${asked.path}`];
  let before = "";
  if ($("key").value.trim()) {
    const [name, value] = AUTH[asked.vendor]("$OGAM_KEY");
    parts.push(`-H "${name}: ${value}"`);
  }
  if (asked.json) parts.push("-H 'Content-Type: application/json'");
  if (asked.vendor === "google") {
    // A picture is longer than a command line may be.
    const [image] = asked.json.requests;
    before = `(printf '{"requests":[{"image":{"content":"'; base64 -w0 ${quoted(asked.file?.name ?? "picture.png")}; ` +
      `printf '"},"features":${JSON.stringify(image.features)}}]}') |\n`;
    parts.push("-d @-");
  } else if (asked.json) parts.push(`-d ${quoted(JSON.stringify(asked.json))}`);
  for (const [name, value] of Object.entries(asked.form ?? {})) {
    parts.push(`-F ${value instanceof Blob ? `${name}=@${quoted(value.name ?? "recording")}` : quoted(`${name}=${value}`)}`);
  }
  if (asked.saves) parts.push(`-o ${asked.saves}`);
  return before + parts.join(" \\\n  ");
}

function sdkLines(asked, lines) {
  const key = $("key").value.trim() ? 'os.environ["OGAM_KEY"]' : '"any"';
  const start = key.startsWith("os") ? "import os\n" : "";
  const made = {
    openai: `from openai import OpenAI\n\nclient = OpenAI(base_url="${location.origin}/v1", api_key=${key})\n`,
    deepl: `import deepl\n\nclient = deepl.DeepLClient(${key}, server_url="${location.origin}/")\n`,
    google:
      `from google.cloud import vision\n\nclient = vision.ImageAnnotatorClient(transport="rest",\n` +
      `    client_options={"api_endpoint": "${location.origin}", "api_key": ${key}})\n`,
  };
  return start + made[asked.vendor] + lines;
}

async function retell(name) {
  const panel = $(name);
  const asked = await PANELS[name].ask();
  panel.querySelector(".curl").textContent = curlLine(asked);
  panel.querySelector(".sdk").textContent = sdkLines(asked, PANELS[name].sdk(asked));
}

// ---- the page ------------------------------------------------------------------------------

function tell(panel, text, bad = false) {
  const status = panel.querySelector(".status");
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

async function run(name) {
  const panel = $(name);
  const [go, stop, out] = ["[type=submit]", ".stop", ".result"].map((one) => panel.querySelector(one));
  const asked = await PANELS[name].ask();
  if (asked.missing) {
    tell(panel, say("no_file"), true);
    return;
  }
  const cancelling = new AbortController();
  const started = performance.now();
  const since = () => ((performance.now() - started) / 1000).toFixed(2);
  let first = "";
  go.disabled = true;
  stop.hidden = false;
  stop.onclick = () => cancelling.abort();
  tell(panel, say("working"));
  try {
    const response = await call(asked, cancelling.signal);
    out.hidden = false;
    const told = { first: () => { first ||= " " + say("first_after", { seconds: since() }); } };
    await PANELS[name].show(response, out, told, asked);
    const model = response.headers.get("x-ogam-model") ?? say("unknown_model");
    tell(panel, say("answered", { model, seconds: since() }) + first);
  } catch (error) {
    if (error.name === "AbortError") tell(panel, say("stopped"));
    else {
      out.hidden = true;
      tell(panel, say("failed", { message: error.message }), true);
    }
  } finally {
    go.disabled = false;
    stop.hidden = true;
  }
}

function choose(name, focus = false) {
  for (const tab of all("[role=tab]")) {
    const chosen = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    $(tab.getAttribute("aria-controls")).hidden = !chosen;
    if (chosen && focus) tab.focus();
  }
  history.replaceState(null, "", `#${name}`);
  if (name === "usage") account();
}

// ---- usage -----------------------------------------------------------------------------------

async function account() {
  const panel = $("usage");
  tell(panel, say("working"));
  try {
    await showUsage(say, $("key").value.trim(), Refused);
    tell(panel, "");
  } catch (error) {
    for (const one of all(".figures", panel)) one.replaceChildren();
    tell(panel, say("failed", { message: error.message }), true);
  }
}

function translatePage() {
  document.documentElement.lang = language;
  document.title = say("title");
  for (const one of all("[data-t]")) one.textContent = say(one.dataset.t);
  for (const one of all("[data-label]")) one.setAttribute("aria-label", say(one.dataset.label));
  // An example is replaced, what was typed is not.
  const examples = (name) => Object.values(WORDS).map((words) => words[name]);
  for (const one of all("[data-v]")) {
    if (!one.value || examples(one.dataset.v).includes(one.value)) one.value = say(one.dataset.v);
  }
  $("language").lang = language === "ko" ? "en" : "ko";
  showState();
  for (const name of Object.keys(PANELS)) retell(name);
  if (!$("usage").hidden) account();
}

function showState() {
  if (!state) return;
  $("version").textContent = say("version", { version: state.version });
  for (const panel of all("[data-capability]")) {
    const models = state.routes[panel.dataset.capability];
    const broken = models.find((one) => !one.ready);
    const names = models.map((one) => one.model).join(", ");
    let text = say("ready", { model: names });
    if (!models.length) text = say("no_model");
    else if (broken) text = say("not_ready", broken);
    panel.querySelector(".by").textContent = text;
  }
}

async function fetchState() {
  const key = $("key").value.trim();
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const response = await fetch("/console/state.json", { headers }).catch(() => null);
  state = response?.ok ? await response.json() : null;
  showState();
}

async function record() {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    tell($("hear"), say("no_microphone"), true);
    return;
  }
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  const started = performance.now();
  const button = $("hear-record");
  recorder.ondataavailable = (event) => pieces.push(event.data);
  recorder.onstop = () => {
    for (const track of stream.getTracks()) track.stop();
    recorded = new File(pieces, "recording", { type: recorder.mimeType });
    $("hear-file").value = "";
    button.dataset.t = "record";
    button.textContent = say("record");
    button.onclick = record;
    tell($("hear"), say("recorded", { seconds: ((performance.now() - started) / 1000).toFixed(1) }));
    retell("hear");
  };
  button.dataset.t = "stop_recording";
  button.textContent = say("stop_recording");
  button.onclick = () => recorder.stop();
  recorder.start();
}

for (const name of Object.keys(PANELS)) {
  const panel = $(name);
  panel.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    run(name);
  });
  panel.addEventListener("input", () => retell(name));
}
for (const button of all(".copy")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = say("copied");
    setTimeout(() => { button.textContent = say("copy"); }, 2000);
  });
}
$("tabs").addEventListener("click", (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) choose(tab.getAttribute("aria-controls"));
});
$("tabs").addEventListener("keydown", (event) => {
  const names = TABS;
  const at = names.indexOf(event.target.getAttribute("aria-controls"));
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1 + names.length, Home: 0, End: names.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  choose(names[next % names.length], true);
});
$("language").addEventListener("click", () => {
  language = language === "ko" ? "en" : "ko";
  localStorage.setItem("ogam-language", language);
  translatePage();
});
$("key").value = sessionStorage.getItem("ogam-key") ?? "";
$("key").addEventListener("change", () => {
  sessionStorage.setItem("ogam-key", $("key").value.trim());
  fetchState();
  for (const name of Object.keys(PANELS)) retell(name);
  if (!$("usage").hidden) account();
});
$("usage-form").addEventListener("submit", (event) => {
  event.preventDefault();
  account();
});
$("usage-form").addEventListener("change", account);
$("hear-record").onclick = record;
$("hear-file").addEventListener("change", () => { recorded = null; });
translatePage();
choose(TABS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "write");
await fetchState();
