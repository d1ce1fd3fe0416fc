"use strict";

// Asks for status.json once a second and shows it. What is null there is unknown: it is
// shown as a dash, and its curve has a gap.

const EVERY_MS = 1000;
const PATIENCE_MS = 6000;
const SHOWN_MS = 3 * 60 * 1000;
const RATE_MS = 10 * 1000;
// While something moves the relay reports every second; an older report says nothing of a rate.
const REPORT_MS = 3 * 1000;
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
    idle: reading.state === "idle",
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
  at: Date.now(), idle: false, reported: null, written: null, waiting: null,
  end: null, applied: null, relay: null, projector: null,
});

/** How fast `field` grew over the last ten seconds of the relay's reports. */
function growth(field) {
  const last = history[history.length - 1];
  if (!last || !known(last[field]) || !known(last.reported)) return null;
  // Nothing was written, and all of it is applied.
  if (last.idle) return 0;
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
  // The age of the oldest grows by itself: by a second a second if nothing moves at all.
  if (moved > 0.9 * (last.at - first.at) / 1000) return ", and nothing moves";
  if (moved > 1) return " and falling further behind";
  if (moved < -1) return " and catching up";
  return " and holding there";
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

const WORDS = {
  ok: "in time", late: "late", silent: "silent", unknown: "unknown",
  stuck: "stuck", absent: "does not run", blocked: "waits", away: "MongoDB away",
};

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

function refused(id, value, isCapped) {
  const target = element(id);
  mark(target, known(value) ? (value > 0 ? "late" : "ok") : "unknown");
  write(target.querySelector("b"), known(value) && value === 0 ? "none" : whole(value) + (isCapped ? " or more" : ""));
}

const plural = (number, one) => `${whole(number)} ${one}${number === 1 ? "" : "s"}`;

/** What was refused or is missing, in a line each; what is not known is not said. */
function notices(reading) {
  const said = [];
  const { rewound, lost, outbox } = reading;
  if (rewound) {
    said.push(`MongoDB was put back to an earlier state (noticed ${ago(age(reading, rewound.noticed_at))}: ${rewound.reason}). `
      + "Until outboxctl verify --repair has run, MySQL drops new versions. Runbook: MongoDbWentBack.");
  }
  if (lost.length) {
    const offsets = lost.reduce((sum, each) => sum + each.to_offset - each.from_offset, 0);
    const first = `${lost[0].topic}[${lost[0].partition}] ${lost[0].from_offset} to ${lost[0].to_offset - 1}`;
    const more = lost.length > 1 ? ` and ${lost.length - 1} more ranges` : "";
    said.push(`${plural(offsets, "offset")} of Kafka were deleted before the projector had read them: ${first}${more}. `
      + "Run outboxctl verify --repair. Runbook: ProjectorRecordsLost.");
  }
  if (reading.dead_letters > 0) {
    said.push(`${plural(reading.dead_letters, "event")} could not be applied and lie in the dead-letter topic: outboxctl dlq list. Runbook: DeadLetters.`);
  }
  if (outbox && outbox.dead > 0) {
    said.push(`${plural(outbox.dead, "event")} could not be published and lie in outbox_dead. Runbook: OutboxEventDead.`);
  }
  return said;
}

/** Nothing moves, or a server or a process is away. */
function stuck(reading) {
  const { relay, projector } = reading;
  const waits = "Writes go on; their events wait in the outbox.";
  switch (reading.held_up_at) {
    case "mongodb":
      return ["MongoDB does not answer", "Writes are refused with 503 until it is back. Nothing else is known from here.",
        "Look: outboxctl status, and the log of MongoDB. Runbook: MongoDbUnreachable."];
    case "kafka":
      return ["Stuck: the relay does not get on with Kafka",
        `For ${duration(age(reading, relay.obstacle.since))}: ${relay.obstacle.reason}. ${waits}`,
        "Look: the brokers, and /ready of the relay. Runbook: KafkaUnreachable."];
    case "relay":
      if (relay.state === "blocked") {
        return ["Stuck at the relay", `For ${duration(age(reading, relay.obstacle.since))}: ${relay.obstacle.reason}. ${waits}`,
          "Look: /ready of the relay. Runbook: RelayLagHigh."];
      }
      return ["Stuck: no relay reports",
        `The last report came ${ago(age(reading, relay.reported_at))}. ${waits}`,
        "Look: does a relay run, and reach MongoDB? Runbook: RelayMissing, RelayNoLeader."];
    default:
      if (projector.state === "absent") {
        return ["Stuck: no projector runs", "Its consumer group has no member. What is written waits in Kafka.",
          "Look: start a projector; its log says why it ended. Runbook: ProjectorMissing."];
      }
      return ["Stuck at the projector",
        `${known(projector.lag_seconds) ? `MySQL is ${duration(projector.lag_seconds)} behind` : "MySQL is behind"}, and nothing moves. `
        + `${plural(projector.instances, "instance")} of the projector ${projector.instances === 1 ? "is" : "are"} in the group.`,
        "Look: /ready of the projector; it names the server that it waits for. Runbook: MySqlUnreachable, ProjectorStale."];
  }
}

function unknown(reading) {
  const { relay } = reading;
  switch (reading.held_up_at) {
    case "relay":
      return relay.reported_at
        ? ["Unknown: the relay has proved nothing yet", "It reports, but cannot say how far it is. That is so for a moment after a start."]
        : ["Unknown: no relay has reported", "What is written waits in the outbox until a relay publishes it.",
            "Look: does a relay run? Runbook: RelayMissing."];
    case "projector":
      return ["Unknown beyond Kafka", "The relay cannot tell yet how far MySQL is.",
        "Look: /ready of the projector. Runbook: ProjectorFreshnessUnknown."];
    default:
      return ["Unknown", "This api could not read the state of the pipeline.", "Look: the log of this api."];
  }
}

/** Headline, explanation, and what to look at first. */
function verdict(reading) {
  const { relay, projector, outbox } = reading;
  switch (reading.state) {
    case "flowing":
      return ["Flowing", `What is written is in MySQL ${duration(projector.lag_seconds)} later.`];
    case "idle": {
      const last = outbox && outbox.last_event_at;
      return known(last)
        ? ["Idle", `The last write was ${ago(age(reading, last))}. All that was written is in MySQL.`]
        : ["Idle", "The outbox holds no event: nothing was written lately."];
    }
    case "refused":
      return ["Some events were refused", "Data flows, but not all that was written is in MySQL."];
    case "damaged":
      return ["Data is missing or will be", "Data flows, but rows in MySQL are wrong until somebody repairs them."];
    case "late":
      return reading.held_up_at === "relay"
        ? ["Late at the relay", `Kafka is ${duration(relay.lag_seconds)} behind MongoDB${trend("relay")}.`,
            "Look: /ready of the relay. Runbook: RelayLagHigh."]
        : ["Late at the projector", `MySQL is ${duration(projector.lag_seconds)} behind${trend("projector")}.`,
            "Look: /ready of the projector. Runbook: ProjectorStale."];
    case "stuck":
      return stuck(reading);
    default:
      return unknown(reading);
  }
}

function say(state, [headline, detail, advice], said) {
  mark(element("verdict"), state);
  write("headline", headline);
  write("detail", detail);
  write("advice", advice || "");
  element("advice").hidden = !advice;
  const list = element("notices");
  said.forEach((text, index) => {
    if (!list.children[index]) list.appendChild(document.createElement("li"));
    write(list.children[index], text);
  });
  while (list.children.length > said.length) list.lastChild.remove();
  list.hidden = !said.length;
  document.title = `${headline} – Pipeline`;
}

function figures(reading) {
  const { documents, outbox, relay, projector, topics } = reading;
  const capped = (collection) => (reading.documents_capped.includes(collection) ? "+" : "");
  const all = documents ? whole(Object.values(documents).reduce((a, b) => a + b, 0)) : DASH;
  write("documents", all + (reading.documents_capped.length ? "+" : ""));
  const last = outbox ? outbox.last_event_at : null;
  write("last-write", outbox ? (last ? `last write ${ago(age(reading, last))}` : "no write yet") : "last write unknown");
  write("rate-written", rate(outbox && outbox.events_per_second));
  const more = outbox && outbox.waiting_is_capped ? " or more" : "";
  write("waiting", whole(outbox && outbox.waiting) + more);
  write("held", whole(outbox && outbox.records) + (outbox && outbox.records_are_capped ? "+" : ""));
  write("published", whole(sum(topics, "end")));
  const old = relay.state === "silent" || relay.state === "blocked" ? `, as reported ${ago(age(reading, relay.reported_at))}` : "";
  write("topic-count", topics ? `in ${topics.length} topics${old}` : "topics unknown");
  write("behind", whole(sum(topics, "to_go")));
  write("topics-as-of", old ? `The last three columns were ${old.slice(5)}. ` : "");
  write("applied-age", ago(projector.lag_seconds));
  write("lag-relay", duration(relay.lag_seconds));
  write("lag-projector", duration(projector.own_lag_seconds));
  write("instances", known(projector.instances) ? plural(projector.instances, "instance") : "instances unknown");

  hop("hop-api", reading.mongodb, reading.mongodb === "ok" ? "ready" : undefined);
  hop("hop-relay", relay.state, relay.state === "blocked" ? `waits for ${relay.obstacle.server}` : undefined);
  hop("hop-projector", projector.state);
  refused("dead-events", outbox ? outbox.dead : null, false);
  refused("dead-letters", reading.dead_letters, reading.dead_letters_are_capped);

  const names = { user: "users", supplier: "suppliers", product: "products", order: "orders", post: "posts" };
  const by = new Map((topics || []).map((topic) => [topic.topic, topic]));
  const rows = Object.entries(names).map(([topic, collection]) => {
    const at = by.get(topic) || {};
    return [topic, whole(documents && documents[collection]) + capped(collection), whole(at.end), whole(at.applied), whole(at.to_go)];
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
  say(reading.state, verdict(reading), notices(reading));
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
  say("unknown", ["Unknown: the api does not answer", `${problem} ${since}`.trim(), "Look: does an api run? Runbook: ApiMissing."], []);
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
