// Pagewire's page: documents on one side, a conversation about them on the other; each tab has one of its own.
// Text from files, models and the network enters the page as text nodes only, never as markup.

const POLL_MS = 600;
const RETRY_MS = 4000;
const LIST_LIMIT = 100;
const SILENCE_MS = 60_000; // the server sends a heartbeat every 15 s: a longer silence is a dead connection
const CONVERSATION = "pagewire-conversation"; // where the tab keeps the name of the one that the server knows
const LONG_PASSAGE = 280; // characters; about four lines
const UNREACHABLE = "Pagewire cannot be reached. Check that it is still running and try again.";
const UNREADABLE = "The server sent something that this page does not understand. Reload the page and try again.";
const BROKEN = "The connection broke off before the answer was complete. Please ask again.";

const CUT_OFF = {
  // by the reason for which an answer ended, where that is not its own end
  length: "The answer was cut off at the limit of output tokens (PAGEWIRE_LLM_MAX_OUTPUT_TOKENS).",
  filtered: "The answer was cut off by the provider's filter. Ask in another way.",
  other: "The answer may not be complete: the language model stopped for another reason than its end.",
};

const byId = (id) => document.getElementById(id);
const rows = new Map(); // document id, or upload number until there is one → {record, its elements}
let nextCursor = null; // where the rest of the list starts
let uploads = 0;
let polling = false;
let running = null; // the AbortController of the answer that is being written
let conversation = null; // its name, from its first question on
let failed = false; // whether the answer that is shown ended with an error: such a one is no part of the conversation

// ---------------------------------------------------------------- small tools

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function makeButton(className, textContent, onClick) {
  const button = make("button", { type: "button", className, textContent });
  button.addEventListener("click", onClick);
  return button;
}

const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const announce = (text) => (byId("news").textContent = text);

/** Shows a problem, with a button if something can be done about it; an empty message takes it away. */
function showProblem(box, message, action = "", onAction = null) {
  box.hidden = !message;
  box.replaceChildren(make("p", { textContent: message }), ...(action ? [makeButton("", action, onAction)] : []));
}

// ---------------------------------------------------------------- the server

/** A failure whose message is meant for the person at the screen. */
class Problem extends Error {
  constructor(message, { status = 0, retryable = true } = {}) {
    super(message);
    Object.assign(this, { status, retryable });
  }
}

async function checkResponse(response) {
  if (response.ok) return response;
  const { status } = response;
  const body = await response.json().catch(() => null);
  const message = body?.error?.message ?? `The server answered with status ${status}. Please try again.`;
  throw new Problem(message, { status, retryable: status >= 500 || status === 429 });
}

async function callServer(path, options = {}) {
  const response = await fetch(path, { cache: "no-store", ...options }).catch((error) => {
    throw options.signal?.aborted ? error : new Problem(UNREACHABLE);
  });
  return checkResponse(response);
}

const readJson = (response) => response.json().catch(() => Promise.reject(new Problem(UNREADABLE)));
const pathOf = (id) => `/documents/${encodeURIComponent(id)}`;

/** XMLHttpRequest, because fetch does not tell how much has been sent. */
function sendFile(file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file);
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    request.onload = () => resolve(checkResponse(new Response(request.responseText, { status: request.status })));
    request.onerror = () => reject(new Problem(UNREACHABLE));
    request.open("POST", "/documents");
    request.send(form);
  });
}

// ---------------------------------------------------------------- documents

async function loadDocuments() {
  showProblem(byId("documents-problem"), "");
  try {
    const rest = nextCursor === null ? "" : `&cursor=${encodeURIComponent(nextCursor)}`;
    const response = await callServer(`/documents?limit=${LIST_LIMIT}${rest}`);
    const list = await readJson(response);
    nextCursor = list.next_cursor ?? null;
    for (const record of list.documents) showDocument(record.document_id, record, "append");
    byId("more").hidden = nextCursor === null;
    showScope();
    pollPending();
  } catch (error) {
    byId("documents-hint").hidden = true;
    showProblem(byId("documents-problem"), error.message, "Try again", loadDocuments);
  }
}

async function addFiles(files) {
  const batch = [...files].map((file) => [file, `upload-${++uploads}`]);
  for (const [file, key] of batch) showDocument(key, { filename: file.name, status: "uploading", share: 0 });
  for (const [file, key] of batch) await addFile(file, key); // one after the other: each has the whole line
}

async function addFile(file, key) {
  const upload = { filename: file.name, status: "uploading" };
  try {
    const response = await sendFile(file, (share) => showDocument(key, { ...upload, share }));
    const { document_id, duplicate } = await readJson(response);
    const record = await readJson(await callServer(pathOf(document_id)));
    forgetDocument(key);
    showDocument(document_id, record);
    announce(duplicate ? `${file.name} was here already` : `${file.name} uploaded`);
    pollPending();
  } catch (error) {
    showDocument(key, { ...upload, status: "not added", failure: { detail: error.message } });
  }
}

/** Follows every document that is not final; one loop however many there are. */
async function pollPending() {
  const listPending = () => [...rows].filter(([, row]) => isPending(row)).map(([id]) => id);
  if (polling) return;
  polling = true;
  let pause = POLL_MS;
  while (listPending().length) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    try {
      for (const id of listPending()) await refreshDocument(id);
      if (pause === RETRY_MS) showProblem(byId("documents-problem"), "");
      pause = POLL_MS;
    } catch (error) {
      showProblem(byId("documents-problem"), `${error.message} This page keeps trying by itself.`);
      pause = RETRY_MS;
    }
  }
  polling = false;
}

async function refreshDocument(id) {
  try {
    const record = await readJson(await callServer(pathOf(id)));
    if (rows.has(id)) showDocument(id, record); // it may have been deleted while the answer was on its way
  } catch (error) {
    if (error.status !== 404) throw error;
    forgetDocument(id);
  }
}

async function deleteDocument(id) {
  const { filename, document_id } = rows.get(id).record;
  try {
    if (document_id) await callServer(pathOf(id), { method: "DELETE" });
  } catch (error) {
    if (error.status !== 404) return showProblem(byId("documents-problem"), `${filename}: ${error.message}`);
  }
  forgetDocument(id);
  announce(`${filename} removed`);
  byId("choose").focus(); // the button that had the focus is gone
}

function forgetDocument(id) {
  rows.get(id)?.item.remove();
  rows.delete(id);
  showScope();
}

// ---------------------------------------------------------------- a document's row

const isPending = ({ record }) => ["queued", "parsing", "embedding"].includes(record.status);
const isReady = ({ record }) => record.status === "ready";

function showDocument(id, record, place = "prepend") {
  const known = rows.get(id);
  const row = known ?? createRow(id, record);
  if (!known) byId("document-list")[place](row.item);
  if (known && known.record.status !== record.status) announce(`${record.filename}: ${record.status}`);
  rows.set(id, Object.assign(row, { record }));
  updateRow(row);
  showScope();
}

function createRow(id, { filename }) {
  const tick = make("input", { type: "checkbox", disabled: true });
  tick.addEventListener("change", showScope);
  const label = make("label", {}, tick, make("span", { className: "name", textContent: filename }));
  const badge = make("span", { className: "badge" });
  const detail = make("span", { className: "detail" });
  const bar = make("progress", { max: 1, ariaLabel: `Progress of ${filename}` });
  const notes = make("ul", { className: "notes" });
  const parts = [label, createDelete(id, filename), make("p", {}, badge, detail), bar, notes];
  const item = make("li", { className: "row" }, ...parts);
  return { item, tick, badge, detail, bar, notes };
}

function updateRow(row) {
  const { record, item, tick, badge, detail, bar, notes } = row;
  item.dataset.status = badge.textContent = record.status;
  detail.textContent = describeProgress(record);
  tick.disabled = !isReady(row);
  bar.hidden = !isPending(row) && record.status !== "uploading";
  if (record.status === "queued") bar.removeAttribute("value"); // nothing to measure yet
  else bar.value = measureProgress(record);
  notes.replaceChildren(...describeNotes(record).map((textContent) => make("li", { textContent })));
}

function describeProgress({ status, pages_done, pages_total, chunks_done, chunks_total }) {
  if (status === "queued") return "waiting its turn";
  if (status === "parsing") return pages_total ? `page ${pages_done} of ${pages_total}` : "opening the file";
  if (status === "embedding") return chunks_total ? `passage ${chunks_done} of ${chunks_total}` : "";
  return status === "ready" ? count(pages_total, "page") : "";
}

/** Reading is the short part of the work and embedding the long one; the bar does not start again between them. */
function measureProgress({ share, pages_done, pages_total, chunks_done, chunks_total }) {
  if (share !== undefined) return share;
  return (pages_total ? (0.3 * pages_done) / pages_total : 0) + (chunks_total ? (0.7 * chunks_done) / chunks_total : 0);
}

function describeNotes({ failure, warnings = [] }) {
  const describe = ({ detail, pages }) => `${detail}${describePages(pages ?? [])}`;
  return [...(failure ? [{ ...failure, pages: failure.page ? [failure.page] : [] }] : []), ...warnings].map(describe);
}

function describePages(pages) {
  const listed = pages.slice(0, 8).join(", ") + (pages.length > 8 ? ", …" : "");
  return pages.length ? ` (page${pages.length === 1 ? "" : "s"} ${listed})` : "";
}

/** Deleting cannot be undone, so the button asks once more, in place. */
function createDelete(id, filename) {
  const setArmed = (armed) => {
    button.classList.toggle("armed", armed);
    button.textContent = armed ? "Really delete?" : "Delete";
    button.ariaLabel = `${button.textContent} ${filename}`;
  };
  const button = makeButton("delete", "", () => {
    const armed = button.classList.contains("armed") || !rows.get(id).record.document_id;
    if (armed) deleteDocument(id);
    else setArmed(true);
  });
  button.addEventListener("blur", () => setArmed(false));
  setArmed(false);
  return button;
}

// ---------------------------------------------------------------- what a question is asked of

const listTicked = () => [...rows.values()].filter((row) => isReady(row) && row.tick.checked);

function showScope() {
  byId("scope").textContent = describeScope([...rows.values()].filter(isReady).length, listTicked());
  byId("documents-hint").textContent = "No documents yet. Add a PDF to begin.";
  byId("documents-hint").hidden = rows.size > 0;
}

function describeScope(ready, ticked) {
  if (ticked.length === 1) return `Asks only ${ticked[0].record.filename}.`;
  if (ticked.length > 1) return `Asks only the ${ticked.length} ticked documents.`;
  if (nextCursor !== null) return "Asks all ready documents. Tick some to ask only those.";
  if (ready > 1) return `Asks all ${ready} ready documents. Tick some to ask only those.`;
  if (ready === 1) return "Asks your one ready document.";
  return rows.size ? "You can ask as soon as a document is ready." : "Add a PDF first.";
}

// ---------------------------------------------------------------- Server-Sent Events

/** Takes text in any portions and calls `onEvent(name, data)` for each event, as the WHATWG standard says. */
export function createEventParser(onEvent) {
  let [unfinished, afterCr, name, data] = ["", false, "", []];
  function takeLine(line) {
    if (line === "") {
      const event = [name || "message", data];
      [name, data] = ["", []];
      if (event[1].length) onEvent(event[0], event[1].join("\n"));
      return;
    }
    const [, field, value] = /^([^:]*)(?:: ?)?([^]*)$/.exec(line);
    if (field === "data") data.push(value);
    else if (field === "event") name = value;
  }
  return function feed(text) {
    if (!text) return;
    // A CR ended its line at once; an LF that opens the next portion belongs to the same line end.
    const lines = (unfinished + (afterCr ? text.replace(/^\n/, "") : text)).split(/\r\n|\n|\r/);
    afterCr = text.endsWith("\r");
    unfinished = lines.pop();
    lines.forEach(takeLine);
  };
}

/** Reads until `onEvent` returns true for a last event; false when the stream ended without one. */
async function readEvents(response, onEvent, onSilence) {
  let ended = false;
  let timer;
  const feed = createEventParser((name, data) => (ended ||= onEvent(name, data)));
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  try {
    while (!ended) {
      timer = setTimeout(onSilence, SILENCE_MS);
      const { done, value } = await reader.read();
      clearTimeout(timer);
      if (done) break;
      feed(decoder.decode(value, { stream: true }));
    }
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
  return ended;
}

// ---------------------------------------------------------------- the conversation

/** Not `randomUUID`, which browsers have for https and localhost only. */
const drawName = () => [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(36)).join("-");

/** Remembers in this tab which conversation to come back to; null: none. A tab that may keep nothing forgets it. */
function rememberConversation(name) {
  try {
    if (name) sessionStorage.setItem(CONVERSATION, name);
    else sessionStorage.removeItem(CONVERSATION);
  } catch {
    // nothing is lost but the way back after a reload
  }
}

async function resumeConversation() {
  let name = null;
  try {
    name = sessionStorage.getItem(CONVERSATION);
  } catch {
    return;
  }
  if (!name) return;
  try {
    const { turns } = await readJson(await callServer(`/conversations/${encodeURIComponent(name)}`));
    if (conversation) return; // somebody was quicker with a question
    conversation = name;
    for (const { question, answer } of turns) addEarlier(question, answer);
    byId("welcome").hidden = true;
  } catch (error) {
    if (error.status === 404) rememberConversation(null);
  }
}

function beginAnew() {
  running?.abort();
  running = conversation = null;
  rememberConversation(null);
  for (const id of ["earlier", "answer", "sources"]) byId(id).replaceChildren();
  for (const id of ["earlier", "result", "begin-anew", "stop"]) byId(id).hidden = true;
  byId("asked").textContent = "";
  byId("answer").ariaBusy = "false";
  byId("welcome").hidden = false;
  byId("question").focus();
}

function addEarlier(question, answer) {
  const paragraphs = [question, answer].map((textContent) => make("p", { textContent }));
  byId("earlier").append(make("li", {}, ...paragraphs));
  byId("earlier").hidden = byId("begin-anew").hidden = false;
}

/** Moves the question that was shown up to make room for the next one. */
function putAnswerAway() {
  const [asked, answer] = [byId("asked").textContent, byId("answer").textContent.trim()];
  if (answer && !failed) addEarlier(asked, answer);
}

// ---------------------------------------------------------------- question and answer

async function ask(question) {
  running?.abort();
  conversation ??= drawName();
  putAnswerAway();
  const run = (running = new AbortController());
  const answer = startAnswer(question);
  const onEvent = (name, data) => showEvent(answer, name, data);
  try {
    const response = await callServer("/query/stream", createQuery(question, run.signal));
    if (!(await readEvents(response, onEvent, () => run.abort("silence")))) throw new Problem(BROKEN);
  } catch (error) {
    if (running === run) showAnswerProblem(error, run.signal, question);
  } finally {
    if (running === run) finishAnswer(answer);
  }
}

function createQuery(question, signal) {
  const ticked = listTicked().map(({ record }) => record.document_id);
  const documents = ticked.length && { document_ids: ticked };
  const query = { question, conversation_id: conversation, include: ["passages"], ...documents };
  const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
  return { method: "POST", headers, body: JSON.stringify(query), signal };
}

function startAnswer(question) {
  failed = false;
  byId("welcome").hidden = true;
  byId("result").hidden = false;
  byId("asked").textContent = question;
  byId("searched").textContent = "";
  byId("begin-anew").hidden = false;
  byId("timings").textContent = "";
  showProblem(byId("answer-problem"), "");
  showSources([]);
  showState("Looking for passages…");
  byId("answer").replaceChildren();
  byId("answer").ariaBusy = "true"; // a screen reader then reads the answer once, when it is whole
  byId("stop").hidden = false;
  return createAnswerWriter(byId("answer"));
}

function finishAnswer(answer) {
  running = null;
  answer.flush();
  byId("answer").ariaBusy = "false";
  if (document.activeElement === byId("stop")) byId("question").focus();
  byId("stop").hidden = true;
}

/** True for the last event of a stream; events of names that we do not know are skipped unread. */
function showEvent(answer, name, data) {
  if (name === "passages") {
    showSources(JSON.parse(data).passages);
    showState("Writing the answer…");
  } else if (name === "token") {
    answer.write(JSON.parse(data).token);
  } else if (name === "sources") {
    showEnd(answer, JSON.parse(data));
  } else if (name === "error") {
    const { message, retryable } = JSON.parse(data).error;
    throw new Problem(message, { retryable });
  }
  return name === "sources";
}

function showEnd(answer, end) {
  const { sources, citations = [], timings_ms, usage, finish_reason, cached, standalone_question } = end;
  rememberConversation(conversation);
  byId("searched").textContent = standalone_question ? `Searched for: ${standalone_question}` : "";
  showSources(sources, true);
  answer.flush();
  answer.unlinkUncited(sources);
  answer.showSupport(citations);
  for (const { n, text } of sources) markEvidence(n, text, citations);
  showState("");
  showProblem(byId("answer-problem"), CUT_OFF[finish_reason] ?? "");
  byId("timings").textContent = describeTimings(timings_ms, usage, cached);
}

function showAnswerProblem(error, signal, question) {
  if (signal.aborted && signal.reason !== "silence") {
    if (byId("answer").textContent) rememberConversation(conversation); // which keeps it as far as it got
    return showState("Stopped. The answer is not complete.");
  }
  failed = true;
  showState(byId("answer").textContent ? "The answer is not complete." : "");
  const { message, retryable } = error instanceof Problem ? error : new Problem(BROKEN);
  showProblem(byId("answer-problem"), message, retryable ? "Ask again" : "", () => ask(question));
}

function showState(text) {
  byId("state").textContent = text;
}

function describeTimings(timings, usage, cached) {
  const show = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
  const parts = cached ? ["answered before"] : [];
  if (timings.retrieval != null) parts.push(`passages in ${show(timings.retrieval)}`);
  if (timings.first_token != null) parts.push(`first word after ${show(timings.first_token)}`);
  parts.push(`done in ${show(timings.total)}`, [...new Set([usage.provider, usage.model])].join(" "));
  return parts.join(" · ");
}

const DIGIT_ZEROS = ["0", "٠", "۰", "०", "０"]; // ascending
const NUMBER = /([0-9０-９٠-٩۰-۹०-९]+)/;
/** A marker in any form that the server lets through: what its numbers stand in, then what only describes the place. */
const MARKER =
  /([[【［](?:[\s,;、，；&^#:~\-‐-―−〜～0-9０-９٠-٩۰-۹०-९]|(?:and|passages?|sources?|documents?|docs?)(?![a-z]))+)((?:†|(?:pages?|pp?)(?![a-z]))[^\][【】［］\n]{0,80})?([\]】］])(?!\()/giu;
const UNFINISHED_MARKER = /[[【［][\s\d,;-]{0,60}$/;

function readDigits(digits) {
  const read = (digit) => digit.codePointAt(0) - DIGIT_ZEROS.findLast((zero) => zero <= digit).codePointAt(0);
  return Number([...digits].map(read).join(""));
}

/** Whether a bracket behind this part of a line is code: it stands between backticks, or behind a name of one letter. */
const isInCode = (line) => line.split("`").length % 2 === 0 || /(?:^|[^\p{L}\p{N}'’.])\p{L}$|_$/u.test(line);

/** Appends tokens as text, as they are, and makes links of the numbers in markers, also when they come in pieces. */
export function createAnswerWriter(box) {
  let held = ""; // may be the beginning of a marker
  let line = "";
  let fenced = false;
  const writeText = (text) => {
    if (box.lastChild instanceof Text) box.lastChild.appendData(text);
    else if (text) box.append(text);
    const lines = (line + text).split("\n");
    for (const ended of lines.slice(0, -1)) if (/^\s*(?:```|~~~)/.test(ended)) fenced = !fenced;
    line = lines.at(-1);
  };
  const writeLink = (digits) => {
    const n = readDigits(digits);
    const link = { className: "cite", href: `#source-${n}`, textContent: digits, ariaLabel: `Source ${n}` };
    box.append(make("a", link));
    line += digits;
  };
  const writeMarker = ([marker, numbers, place = "", end]) => {
    const parts = numbers.split(NUMBER); // every second part is a number
    const found = parts.filter((_, i) => i % 2);
    const isText = fenced || isInCode(line) || !found.length || found.some((digits) => digits.length > 3);
    if (isText) return writeText(marker);
    parts.forEach((part, i) => (i % 2 ? writeLink(part) : writeText(part)));
    writeText(place + end);
  };
  const write = (token) => {
    const text = held + token;
    held = UNFINISHED_MARKER.exec(text)?.[0] ?? "";
    const ready = text.slice(0, text.length - held.length);
    let written = 0;
    for (const match of ready.matchAll(MARKER)) {
      writeText(ready.slice(written, match.index));
      writeMarker(match);
      written = match.index + match[0].length;
    }
    writeText(ready.slice(written));
  };
  const flush = () => {
    writeText(held);
    held = "";
  };
  /** What the server did not count was no citation, whatever it looks like. */
  const unlinkUncited = (sources) => {
    const cited = new Set(sources.filter((source) => source.cited).map(({ n }) => `#source-${n}`));
    for (const link of box.querySelectorAll("a")) if (!cited.has(link.hash)) link.replaceWith(link.textContent);
  };
  /** Says at each link whether the passage holds what it is cited for. Places count code points, as Python does. */
  const showSupport = (citations) => {
    const chars = [...box.textContent];
    let position = 0;
    for (const node of box.childNodes) {
      const isHere = ({ n, start, end }) => node.hash === `#source-${n}` && start <= position && position < end;
      const { supported, missing } = citations.find(isHere) ?? {};
      position += [...node.textContent].length;
      if (supported !== false) continue;
      const items = missing.map(({ start, end }) => `“${chars.slice(start, end).join("")}”`);
      node.classList.add("unsupported");
      node.title = `Not in the passage: ${items.join(", ")}`;
      node.ariaLabel += `. ${node.title}`;
    }
  };
  return { write, flush, unlinkUncited, showSupport };
}

// ---------------------------------------------------------------- sources

/** Shows passages when they arrive and, as `final` sources, which of them the answer cites. */
function showSources(sources, final = false) {
  const list = byId("sources");
  if (!final) list.replaceChildren();
  for (const source of sources) {
    const item = byId(`source-${source.n}`) ?? list.appendChild(createSource(source));
    item.classList.toggle("cited", final && source.cited);
    item.dataset.supported = source.supported ?? "";
  }
  const cited = sources.filter((source) => source.cited).length;
  byId("sources-title").textContent = final ? `Sources: ${cited} of ${sources.length} cited` : "Passages found";
  byId("sources-part").hidden = sources.length === 0;
}

function createSource({ n, document_id, title, page, text, best_sentence, ocr, ocr_confidence }) {
  const part = (className, textContent) => make("span", { className, textContent });
  const labels = Object.entries({ cited: "cited", true: "supported", false: "not supported" });
  const badges = labels.map(([kind, label]) => part(`badge ${kind}-badge`, label));
  if (ocr) badges.push(part("badge ocr-badge", `read from a picture, ${Math.round(100 * ocr_confidence)} % sure`));
  const href = `/documents/${encodeURIComponent(document_id)}/file#page=${page}`;
  const link = make("a", { className: "title", href, target: "_blank", rel: "noopener", textContent: title });
  const name = make("span", {}, link, part("page", `page ${page}`), ...badges);
  const head = make("p", { className: "source-head" }, part("number", n), name);
  const passage = make("p", { className: "passage", id: `passage-${n}` });
  markSpans(passage, text, best_sentence ? [best_sentence] : [], "strong");
  const item = make("li", { id: `source-${n}`, tabIndex: -1 }, head, passage);
  if (text.length > LONG_PASSAGE) item.append(createExpander(passage));
  return item;
}

/** Marks in a passage the figures, dates, names and quotes that the answer took from it. */
function markEvidence(n, text, citations) {
  const spans = citations.flatMap((citation) => (citation.n === n ? citation.evidence : []));
  if (spans.length > 0) markSpans(byId(`passage-${n}`), text, spans, "mark");
}

/** Fills a passage with its text, of which some spans stand in elements of that name. */
function markSpans(passage, text, spans, name) {
  const [chars, pieces] = [[...text], []];
  let shown = 0;
  for (const { start, end } of spans.sort((one, other) => one.start - other.start)) {
    if (end <= shown) continue;
    pieces.push(chars.slice(shown, start).join(""));
    pieces.push(make(name, { textContent: chars.slice(Math.max(shown, start), end).join("") }));
    shown = end;
  }
  passage.replaceChildren(...pieces, chars.slice(shown).join(""));
}

function createExpander(passage) {
  const setOpen = (open) => {
    passage.classList.toggle("clamped", !open);
    button.textContent = open ? "Show less" : "Show the whole passage";
    button.ariaExpanded = String(open);
  };
  const button = makeButton("link", "", () => setOpen(passage.classList.contains("clamped")));
  button.setAttribute("aria-controls", passage.id);
  setOpen(false);
  return button;
}

// ---------------------------------------------------------------- what people do

function listenToFiles() {
  byId("choose").addEventListener("click", () => byId("files").click());
  byId("files").addEventListener("change", ({ target }) => {
    addFiles(target.files);
    target.value = ""; // so that the same file can be chosen again
  });
  byId("more").addEventListener("click", loadDocuments);
}

function listenToDrops() {
  const panel = byId("documents");
  for (const name of ["dragover", "drop"]) {
    // Also beside the panel: a PDF that misses it must not replace the page.
    window.addEventListener(name, (event) => event.dataTransfer.types.includes("Files") && event.preventDefault());
  }
  panel.addEventListener("dragover", () => panel.classList.add("dropping"));
  panel.addEventListener("dragleave", (event) => {
    if (!panel.contains(event.relatedTarget)) panel.classList.remove("dropping");
  });
  panel.addEventListener("drop", (event) => {
    panel.classList.remove("dropping");
    addFiles(event.dataTransfer.files);
  });
}

function listenToForm() {
  byId("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const question = byId("question").value.trim();
    if (question) ask(question);
  });
  byId("question").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("ask-form").requestSubmit();
  });
  byId("stop").addEventListener("click", () => running?.abort());
  byId("begin-anew").addEventListener("click", beginAnew);
}

listenToFiles();
listenToDrops();
listenToForm();
loadDocuments();
resumeConversation();
