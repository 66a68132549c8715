// What was spent, what may be, and by whom: /v1/usage, /v1/budgets and /v1/keys as tables.

// Columns of units; only those are shown that came.
const UNITS = [
  "calls", "input_tokens", "cached_input_tokens", "output_tokens", "characters", "audio_seconds", "image_features",
];
const STATES = ["active", "expired", "revoked"];
const $ = (id) => document.getElementById(id);

async function read(path, key, Refused, say) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const response = await fetch(path, { headers }).catch(() => null);
  if (!response) throw new Refused(say("unreachable"));
  const said = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(said.error?.message ?? `HTTP ${response.status}`);
  return said;
}

// To the cent from a dollar on; what costs less is told to the millionth.
function dollars(nano) {
  const value = nano / 1e9;
  const most = Math.abs(value) < 1 ? 6 : 2;
  return value.toLocaleString("en", { style: "currency", currency: "USD", maximumFractionDigits: most });
}

function cell(row, content, name = "td") {
  const made = document.createElement(name);
  if (name === "th") made.scope = row.parentNode.tagName === "THEAD" ? "col" : "row";
  made.append(content);
  row.append(made);
  return made;
}

// `columns` are pairs of a heading and what makes a cell of a row: text, or a meter.
function table(rows, columns, caption, empty) {
  if (!rows.length) {
    const none = document.createElement("p");
    none.textContent = empty;
    return none;
  }
  const made = document.createElement("table");
  made.createCaption().textContent = caption;
  const head = made.createTHead().insertRow();
  for (const [heading] of columns) cell(head, heading, "th");
  const body = made.createTBody();
  for (const one of rows) {
    const row = body.insertRow();
    columns.forEach(([, of], at) => cell(row, of(one), at ? "td" : "th"));
  }
  return made;
}

function meter(value, most, label) {
  const made = document.createElement("meter");
  made.max = Math.max(most, 1);
  made.value = value;
  made.setAttribute("aria-label", label);
  return made;
}

// Bars are of money; where nothing cost any, of calls.
function sums(rows, first, say, caption) {
  const measure = rows.some((one) => one.cost_nano) ? "cost_nano" : "calls";
  const most = Math.max(...rows.map((one) => one[measure]));
  const units = UNITS.filter((name) => rows.some((one) => one[name]));
  const bar = (one) => meter(one[measure], most, say(measure === "calls" ? "calls" : "cost"));
  const columns = [
    first,
    ["", bar],
    [say("cost"), (one) => dollars(one.cost_nano)],
    ...units.map((name) => [say(name), (one) => one[name].toLocaleString(document.documentElement.lang)]),
  ];
  if (rows.some((one) => one.unknown_nano)) columns.push([say("unsettled"), (one) => dollars(one.unknown_nano)]);
  return table(rows, columns, caption, say("no_calls"));
}

// Fetch and show everything; Refused where the server does not let us.
export async function showUsage(say, key, Refused) {
  const since = $("usage-since").value;
  const by = $("usage-by").value;
  const [days, groups, budgets, keys] = await Promise.all([
    `/v1/usage?by=day&since=${since}`,
    `/v1/usage?by=${by}&since=${since}`,
    "/v1/budgets",
    "/v1/keys",
  ].map((path) => read(path, key, Refused, say)));
  const named = (one) => (by === "key" ? one.key_name || one.key : one[by]) || say("nobody");
  const newest = days.usage.toReversed();
  $("usage-days").replaceChildren(sums(newest, [say("day"), (one) => one.day], say, say("per_day")));
  $("usage-groups").replaceChildren(
    sums(groups.usage, [say(`by_${by}`), named], say, say("per_group", { what: say(`by_${by}`) })));
  $("usage-budgets").replaceChildren(table(budgets.budgets, [
    [say("budget"), (one) => (one.scope === "total" ? say("everything") : `${say(`by_${one.scope}`)}${one.for.slice(one.scope.length)}`)],
    [say("period"), (one) => (one.now === "ever" ? say("ever") : one.now)],
    ["", (one) => meter(one.spent_nano + one.held_nano, one.cap_nano, say("spent"))],
    [say("spent"), (one) => dollars(one.spent_nano)],
    [say("held"), (one) => dollars(one.held_nano)],
    [say("left"), (one) => dollars(one.left_nano)],
    [say("cap"), (one) => dollars(one.cap_nano)],
  ], say("budgets"), say("no_budgets")));
  $("usage-keys").replaceChildren(table(keys.keys, [
    [say("name"), (one) => one.name || one.id],
    [say("state"), (one) => (STATES.includes(one.state) ? say(one.state) : one.state)],
    [say("may"), (one) => rules(one) || say("all")],
    [say("expires"), (one) => one.expires?.slice(0, 10) ?? "–"],
  ], say("keys"), say("no_keys")));
}

function rules(key) {
  return Object.entries({ ...key.allowed, ...key.limits })
    .map(([name, value]) => `${name}: ${[value].flat().join(", ")}`)
    .join("; ");
}
