"use strict";

// Asks for status.json once a second and shows it. What is null there is unknown: it is
// shown as a dash, and its curve has a gap.

const EVERY_MS = 1000;
const PATIENCE_MS = 6000;
const SHOWN_MS = 3 * 60 * 1000;
const RATE_MS = 10 * 1000;
// The relay reports every 10 s when nothing changes; after twice that it says nothing of now.
const REPORT_MS = 20 * 1000;
const DASH = "—";

/** What was read, oldest first, never longer than what is shown. */
const history = [];
let shown = {};

const element = (id) => document.getElementById(id);

/** Writes only what differs, so that nothing is announced or repainted for nothing. */
function write(where, text) {
  const target = typeof where === "string" ? element(where) : where;
  if (target.textContent !== text) target.textContent = text;
}

function mark(target, state) {
  if (target.dataset.state !== state) target.dataset.state = state;
}

const known = (value) => value !== null && value !== undefined;

function whole(value) {
  return known(value) ? Math.round(value).toLocaleString("en-GB") : DASH;
}

function rate(value) {
  if (!known(value)) return DASH;
  return value < 10 ? value.toFixed(1) : whole(value);
}

function duration(seconds) {
  if (!known(seconds)) return DASH;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

const ago = (seconds) => (known(seconds) ? `${duration(seconds)} ago` : DASH);

const clock = (moment) => new Date(moment).toLocaleTimeString("en-GB");

/** Seconds from `moment` to the moment of the reading, both by the server's clocks. */
function age(reading, moment) {
  return known(moment) ? Math.max(0, (Date.parse(reading.at) - Date.parse(moment)) / 1000) : null;
}

function sum(topics, field) {
  if (!topics || topics.some((topic) => !known(topic[field]))) return null;
  return topics.reduce((total, topic) => total + topic[field], 0);
}

/** One reading as the curves need it. */
function sample(reading) {
  const outbox = reading.outbox;
  return {
    at: Date.now(),
    reported: reading.relay.reported_at ? Date.parse(reading.relay.reported_at) : null,
    written: outbox ? outbox.events_per_second : null,
    waiting: outbox ? outbox.waiting : null,
    end: sum(reading.topics, "end"),
    applied: sum(reading.topics, "applied"),
    relay: reading.relay.lag_seconds,
    projector: reading.projector.own_lag_seconds,
  };
}

const nothing = () => ({
  at: Date.now(), reported: null, written: null, waiting: null,
  end: null, applied: null, relay: null, projector: null,
});

/** How fast `field` grew over the last ten seconds of the relay's reports. */
function growth(field) {
  const last = history[history.length - 1];
  if (!last || !known(last[field]) || !known(last.reported)) return null;
  // A report that does not come says nothing about what happens meanwhile.
  if (last.at - arrival(last.reported) > REPORT_MS) return null;
  let first = null;
  for (let i = history.length - 2; i >= 0; i -= 1) {
    const each = history[i];
    if (!known(each[field]) || !known(each.reported)) break;
    first = each;
    if (last.reported - each.reported >= RATE_MS) break;
  }
  if (!first || last.reported - first.reported < 900) return null;
  const grown = last[field] - first[field];
  return grown < 0 ? null : (grown * 1000) / (last.reported - first.reported);
}

/** When this page first saw the report of that moment. */
function arrival(reported) {
  return history.find((each) => each.reported === reported).at;
}

/** A lag that moves: over the last ten seconds it grew or shrank by a second or more. */
function trend(field) {
  const last = history[history.length - 1];
  const first = history.find((each) => last.at - each.at <= RATE_MS && known(each[field]));
  if (!first || !known(last[field]) || last.at - first.at < 3000) return "";
  const moved = last[field] - first[field];
  if (moved > 1) return "and falling further behind";
  if (moved < -1) return "and catching up";
  return "and holding there";
}

function remember(each) {
  history.push(each);
  each.published = growth("end");
  each.arrived = growth("applied");
  while (history[0].at < each.at - SHOWN_MS) history.shift();
}

const SVG = "http://www.w3.org/2000/svg";

/** Draws one curve; what is unknown is a gap. `format` words it for those who cannot see it. */
function curve(id, field, label, format) {
  const svg = element(id);
  const now = Date.now();
  const values = history.map((each) => each[field]).filter(known);
  const peak = values.length ? Math.max(...values) : null;
  const top = Math.max(peak || 0, 1);
  const x = (each) => (600 * (1 - (now - each.at) / SHOWN_MS)).toFixed(1);
  const y = (value) => (38 - (35 * value) / top).toFixed(1);
  let line = "";
  let area = "";
  let run = [];
  const close = () => {
    if (run.length > 1) {
      const points = run.map((each) => `${x(each)} ${y(each[field])}`).join("L");
      line += `M${points}`;
      area += `M${x(run[0])} 39L${points}L${x(run[run.length - 1])} 39Z`;
    }
    run = [];
  };
  let before = null;
  for (const each of history) {
    if (!known(each[field]) || (before && each.at - before.at > 4 * EVERY_MS)) close();
    if (known(each[field])) run.push(each);
    before = each;
  }
  close();
  if (!svg.firstChild) {
    svg.setAttribute("viewBox", "0 0 600 40");
    svg.setAttribute("preserveAspectRatio", "none");
    for (const kind of ["floor", "area", "curve"]) {
      svg.appendChild(document.createElementNS(SVG, "path")).setAttribute("class", kind);
    }
    svg.children[0].setAttribute("d", "M0 39H600");
  }
  svg.children[1].setAttribute("d", area);
  svg.children[2].setAttribute("d", line);
  const last = history.length ? history[history.length - 1][field] : null;
  const words = known(last) ? format(last) : "unknown";
  const most = known(peak) ? `, at most ${format(peak)}` : "";
  svg.setAttribute("aria-label", `${label}, last three minutes: now ${words}${most}`);
  return peak;
}

const WORDS = { ok: "in time", late: "late", silent: "silent", unknown: "unknown" };

function hop(id, state, word) {
  const target = element(id);
  mark(target, state);
  write(target.querySelector(".word"), word || WORDS[state]);
}

function cells(row, texts) {
  texts.forEach((text, index) => {
    if (!row.children[index]) {
      const cell = document.createElement(index ? "td" : "th");
      if (!index) cell.scope = "row";
      row.appendChild(cell);
    }
    write(row.children[index], text);
  });
}

function table(id, rows) {
  const body = element(id);
  rows.forEach((texts, index) => {
    if (!body.children[index]) body.appendChild(document.createElement("tr"));
    cells(body.children[index], texts);
  });
  while (body.children.length > rows.length) body.lastChild.remove();
}

function refused(id, value) {
  const target = element(id);
  mark(target, known(value) ? (value > 0 ? "late" : "ok") : "unknown");
  write(target.querySelector("b"), known(value) && value === 0 ? "none" : whole(value));
}

/** Headline, explanation, and what to look at first. */
function verdict(reading) {
  const { relay, projector, outbox } = reading;
  switch (reading.state) {
    case "flowing":
      return ["Flowing", `What is written is in MySQL ${duration(projector.lag_seconds)} later.`];
    case "idle": {
      const last = outbox && outbox.last_event_at;
      const when = known(last) ? `The last write was ${ago(age(reading, last))}.` : "Nothing was written yet.";
      return ["Idle", `${when} All that was written is in MySQL.`];
    }
    case "late":
      return reading.held_up_at === "relay"
        ? ["Late at the relay", `Kafka is ${duration(relay.lag_seconds)} behind MongoDB ${trend("relay")}.`,
            "Look: does the relay reach Kafka? Runbook: RelayLagHigh."]
        : ["Late at the projector", `MySQL is ${duration(projector.lag_seconds)} behind ${trend("projector")}.`,
            "Look: does the projector reach MySQL? Runbook: ProjectorStale."];
    case "stuck":
      return ["Stuck at the relay",
        `No relay has reported for ${duration(age(reading, relay.reported_at))}. Writes go on; their events wait in the outbox.`,
        "Look: does a relay run, and reach MongoDB and Kafka? Runbook: RelayMissing, RelayNoLeader."];
    default:
      break;
  }
  switch (reading.held_up_at) {
    case "mongodb":
      return ["Unknown: MongoDB does not answer", "Nothing can be said about the pipeline from here. Writes are refused with 503 until MongoDB is back.",
        "Look: outboxctl status, and the log of MongoDB."];
    case "relay":
      return relay.reported_at
        ? ["Unknown: the relay has proved nothing yet", "It reports, but cannot say how far it is. That is so for a moment after a start."]
        : ["Unknown: no relay has reported", "What is written waits in the outbox until a relay publishes it.",
            "Look: does a relay run? Runbook: RelayMissing."];
    default:
      return ["Unknown beyond Kafka", "The relay cannot tell how far MySQL is. Has a projector ever run?",
        "Look: does a projector run? Runbook: ProjectorMissing, ProjectorFreshnessUnknown."];
  }
}

function say(state, [headline, detail, advice]) {
  mark(element("verdict"), state);
  write("headline", headline);
  write("detail", detail);
  write("advice", advice || "");
  element("advice").hidden = !advice;
  document.title = `${headline} – Pipeline`;
}

function figures(reading) {
  const { documents, outbox, relay, projector, topics } = reading;
  write("documents", documents ? whole(Object.values(documents).reduce((a, b) => a + b, 0)) : DASH);
  const last = outbox ? outbox.last_event_at : null;
  write("last-write", outbox ? (last ? `last write ${ago(age(reading, last))}` : "no write yet") : "last write unknown");
  write("rate-written", rate(outbox && outbox.events_per_second));
  const more = outbox && outbox.waiting_is_capped ? " or more" : "";
  write("waiting", whole(outbox && outbox.waiting) + more);
  write("held", whole(outbox && outbox.records));
  write("published", whole(sum(topics, "end")));
  const old = relay.state === "silent" ? `, as reported ${ago(age(reading, relay.reported_at))}` : "";
  write("topic-count", topics ? `in ${topics.length} topics${old}` : "topics unknown");
  // Of a projector that nobody tells of, what stands in the table is what it was.
  write("behind", projector.state === "unknown" ? DASH : whole(sum(topics, "to_go")));
  write("topics-as-of", old ? `The last three columns were ${old.slice(5)}. ` : "");
  write("applied-age", ago(projector.lag_seconds));
  write("lag-relay", duration(relay.lag_seconds));
  write("lag-projector", duration(projector.own_lag_seconds));

  hop("hop-api", reading.mongodb, reading.mongodb === "ok" ? "ready" : undefined);
  hop("hop-relay", relay.state);
  hop("hop-projector", projector.state);
  refused("dead-events", outbox ? outbox.dead : null);
  refused("dead-letters", reading.dead_letters);

  const names = { user: "users", supplier: "suppliers", product: "products", order: "orders", post: "posts" };
  const by = new Map((topics || []).map((topic) => [topic.topic, topic]));
  const rows = Object.entries(names).map(([topic, collection]) => {
    const at = by.get(topic) || {};
    return [topic, whole(documents && documents[collection]), whole(at.end), whole(at.applied), whole(at.to_go)];
  });
  table("topics", rows);

  element("shards").hidden = relay.shards.length < 2;
  table("shard-rows", relay.shards.map((shard) =>
    [shard.shard, ago(age(reading, shard.reported_at)), ago(age(reading, shard.proven_at))]));
}

function curves() {
  const perSecond = (unit) => (value) => `${rate(value)} ${unit} a second`;
  curve("spark-written", "written", "Events written", perSecond("events"));
  const peak = curve("spark-waiting", "waiting", "Events that wait for the relay", whole);
  write("peak-waiting", whole(peak));
  curve("spark-relay", "relay", "Kafka behind MongoDB", duration);
  curve("spark-published", "published", "Offsets published", perSecond("offsets"));
  curve("spark-projector", "projector", "MySQL behind Kafka", duration);
  curve("spark-applied", "arrived", "Offsets applied", perSecond("offsets"));
  const now = history[history.length - 1];
  write("rate-published", rate(now.published));
  write("rate-applied", rate(now.arrived));
}

function show(reading) {
  shown = reading;
  remember(sample(reading));
  document.body.classList.remove("stale");
  say(reading.state, verdict(reading));
  figures(reading);
  curves();
  write("live", "live");
  write("at", clock(reading.at));
}

/** The figures that stand there are old: they stay, marked as such. */
function lost(problem) {
  remember(nothing());
  document.body.classList.add("stale");
  ["hop-api", "hop-relay", "hop-projector"].forEach((id) => hop(id, "unknown"));
  ["dead-events", "dead-letters"].forEach((id) => mark(element(id), "unknown"));
  ["lag-relay", "lag-projector"].forEach((id) => write(id, DASH));
  const since = shown.at ? `The figures below are of ${clock(shown.at)}.` : "";
  say("unknown", ["Unknown: the api does not answer", `${problem} ${since}`.trim(), "Look: does an api run? Runbook: ApiMissing."]);
  curves();
  write("live", "not live; last");
}

async function ask() {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const answer = await fetch("status.json", { cache: "no-store", signal: patience });
  if (!answer.ok) throw new Error(`It answered ${answer.status}.`);
  return answer.json();
}

async function poll() {
  // Nobody looks: nobody asks.
  if (!document.hidden) {
    let reading = null;
    try {
      reading = await ask();
    } catch (error) {
      lost(error.message.startsWith("It answered") ? error.message : "No answer came.");
    }
    if (reading) show(reading);
  }
  setTimeout(poll, EVERY_MS);
}

element("shop").textContent = `of ${location.host}`;
poll();
