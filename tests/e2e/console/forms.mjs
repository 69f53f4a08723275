/* Every form of the console with every kind of bad input: an error beside its field, the focus on the first one, the input
 * kept, and nothing sent. The forms of sections are made from the option tables, and so are their cases: an option of a
 * text that has no line in BAD fails. */
import { act, expect, login, until, url } from "./browser.mjs";

const place = JSON.parse(process.env.CONSOLE_FORMS); // what the test's broker has
const button = (page, name) => page.getByRole("button", { name, exact: true });
const dialog = (page) => page.locator("dialog[open]");
const HTML = `<img src=x onerror="window.__run=1">`;
const LONG = "x".repeat(129);

/* --- one field --- */

/** Waits until `field` says what is wrong with it, and has the focus where it is the first; its text. */
async function wrong(page, field, what, first = true) {
  const said = () =>
    field.evaluate((e) => {
      const ids = (e.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id.endsWith("fault"));
      const root = e.getRootNode();
      return e.getAttribute("aria-invalid") === "true" ? ids.map((id) => root.getElementById(id)?.textContent ?? "").join("\n") : "";
    });
  await until(async () => (await said()).trim(), `${what}: an error beside the field`);
  if (first) await until(() => field.evaluate((e) => e.getRootNode().activeElement === e), `${what}: the focus is on it`);
  return said();
}
/** What is sent meanwhile, and is taken. */
function watch(page) {
  const sent = [];
  const on = (r) => {
    if (r.request().method() !== "GET" && r.ok() && !/\/check$|\/session/.test(r.url())) sent.push(`${r.request().method()} ${r.url()}`);
  };
  page.on("response", on);
  return { none: (what) => expect(!sent.length, `${what}: sent ${sent.join(", ")}`), end: () => page.off("response", on) };
}
async function harmless(page) {
  expect(!(await page.evaluate(() => window.__run)), "no HTML of a value was run");
  expect(!(await page.locator('img[src="x"]').count()), "no HTML of a value is in the page");
}
const revision = (page) => page.evaluate(() => fetch("./api/v1/config/shared").then((r) => r.json()).then((x) => x.head));

/* --- forms of sections --- */

const ANY = []; // any line of text is good
const NOWHERE = ["nowhere"];
const BAD = {
  "*.title": ANY,
  "*.comment": ["one line\nand another"],
  "node.systems": ["nowhere", "mail, nowhere"],
  "storage.system": NOWHERE,
  "storage.address": ["::", "1.2.3.4:99999", "10.0.0.1", "host:port", ""],
  "storage.username": ["ann"],
  "storage.password": ["$y$j9T$abcdefgh$abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq"],
  "pool.run_type": ["nowhere", "exec", ""],
  "pool.cgi.address": ["x", "host:1", "127.0.0.1:99999", ""],
  "pool.cgi.status": ["x"],
  "pool.cgi.status_path": ["status"],
  "pool.http.address": ["x y", "127.0.0.1:0"],
  "queue.system": NOWHERE,
  "queue.password": [""],
  "topic.storage": NOWHERE,
  "topic.run_type": ["nowhere", "exec"],
  "topic.pool": NOWHERE,
  "topic.password": ANY,
  "topic.signing_key": ["short"],
  "topic.cgi.entry": ["relative.php", "中文.php", ""],
  "topic.http.entry": ["ftp://x/y", "not an address", ""],
  "topic.http.host": ["a b"],
  "topic.http.header": ["bad"],
  "topic.http.authorization": ANY,
  "topic.http.content_type": ANY,
  "topic.http.client_key_password": ANY,
  "topic.pull.connect": ANY,
  "topic.pull.pull_password": ANY,
  "topic.pull.env": ANY,
  "topic.pull.umask": ANY,
  "alert.when": ["bogus", "ready > many for 1m", "ready > 5 for 5 parsecs", ""],
  "alert.topic": ["mail/nowhere", "nowhere", ""],
  "alert.queue": NOWHERE,
  "alert.system": NOWHERE,
  "alert.webhook": ["ftp://x/y", "x", "http://user:pw@host/x"],
  "alert.webhook_secret": ["short"],
};
const HUGE = "99999999999999999999";
const OF_TYPE = {
  number: ["many", "1.5", HUGE],
  duration: ["soon", "5 parsecs", "-1s", `${HUGE}d`],
  size: ["big", "5 parsecs", "-1", `${HUGE}gb`],
  "range of durations": ["soon", "1s..nope", "10m..1s"],
};
/* What makes each form whole; a key of another target is taken out where one target alone may be. */
const WHOLE = {
  system: {},
  node: {},
  storage: { address: "127.0.0.1:1" },
  "pool.cgi": { run_type: "cgi", address: "127.0.0.1:9000" },
  "pool.http": { run_type: "http" },
  "pool.pull": { run_type: "pull" },
  queue: { password: "long-enough-password", system: "mail" },
  "topic.cgi": { pool: "php", run_type: "cgi", entry: "/srv/app/Worker.php" },
  "topic.http": { pool: "", run_type: "http", entry: "http://127.0.0.1:8080/job" },
  "topic.pull": { pool: "", run_type: "pull" },
  alert: { when: "ready > 5 for 1m", topic: "mail/send" },
};
const SET = { "alert.queue": { topic: "" }, "alert.system": { topic: "" } };

/** The numbers of "1 to 100000" are the ends of what is good. */
function beyond(key) {
  const [, least, most] = /^(-?\d+) (?:to (\d+)|or more)$/.exec(key.range) ?? [];
  return [...(least !== undefined ? [String(Number(least) - 1)] : []), ...(most ? [String(Number(most) + 1)] : [])];
}
function casesOf(kind, key) {
  if (key.name === "title" || key.name === "comment") return BAD[`*.${key.name}`];
  if (key.type === "choice" || key.type === "yes or no") return ANY;
  const named = BAD[key.run_type ? `${kind}.${key.run_type}.${key.name}` : `${kind}.${key.name}`];
  if (named) return named;
  const typed = OF_TYPE[key.type];
  if (!typed) throw new Error(`no case for [${kind}] ${key.name}${key.run_type ? ` of ${key.run_type}` : ""} (${key.type}): give it a line in BAD`);
  return [...typed, ...(key.type === "number" ? beyond(key) : [])];
}
const field = (page, name) => page.locator(`form [name="${name}"]`);
const save = (page) => page.locator("form button[type=submit]");
async function fill(page, name, value) {
  const f = field(page, name);
  if (await f.evaluate((e) => e.tagName === "SELECT")) await f.selectOption(value);
  else await f.fill(value);
}
async function whole(page, form) {
  const [kind] = form.split(".");
  await page.goto(`${url}#/add/${kind}?fresh=${form}`);
  await page.locator("#section-name").waitFor();
  if (kind === "topic") await page.selectOption("#section-queue", "mail");
  for (const [k, v] of Object.entries(WHOLE[form])) await fill(page, k, v);
  await page.fill("#section-name", "fresh");
}
async function keysOf(page, form) {
  const [kind, type] = form.split(".");
  const all = await page.evaluate(() => fetch("./api/v1/options").then((r) => r.json()));
  return all.kinds[kind].filter((k) => !k.local && !k.deprecated && (k.run_type === null || k.run_type === type));
}
/** Each key of a form, with each of its bad values. */
async function every_key(page, form) {
  const [kind] = form.split(".");
  const sent = watch(page);
  await whole(page, form);
  const more = page.locator("details.more");
  if (await more.count()) await more.locator("summary").click();
  for (const key of await keysOf(page, form)) {
    await field(page, key.name).waitFor();
    const bad = casesOf(kind, key);
    if (key.type === "choice" || key.type === "yes or no") {
      const choices = key.type === "choice" ? key.choices : ["yes", "no"];
      const there = await field(page, key.name).locator("option").evaluateAll((all) => all.map((o) => o.value));
      expect(there.join() === ["", ...choices].join(), `${form} ${key.name}: nothing but ${choices} can be chosen: ${there}`);
    }
    if (!bad.length) continue;
    for (const [k, v] of Object.entries(SET[`${kind}.${key.name}`] ?? {})) await fill(page, k, v);
    for (const value of bad) {
      const what = `${form} ${key.name} = ${JSON.stringify(value)}`;
      await fill(page, key.name, value);
      const answered = value.includes("\n") ? null : page.waitForResponse((r) => /\/check$/.test(r.url()) && r.request().postData().includes(JSON.stringify(value).slice(1, -1)));
      await save(page).click();
      await answered;
      /* Without a run type a form has other fields: theirs may be wrong as well. */
      const said = await wrong(page, field(page, key.name), what, key.name !== "run_type");
      expect(!/shared configuration:\d|^warning: /m.test(said), `${what}: it says it in its own words: ${said}`);
      expect((await field(page, key.name).inputValue()) === value, `${what}: the input stays`);
      expect(page.url().includes("#/add/"), `${what}: the form stays`);
    }
    for (const [k] of Object.entries(SET[`${kind}.${key.name}`] ?? {})) await fill(page, k, WHOLE[form][k]);
    await fill(page, key.name, WHOLE[form][key.name] ?? "");
  }
  sent.none(form);
  sent.end();
}
const NAMES = ["", "a b", "a/b", "a.%2e", "a#b", "a?b", "..", "中文", HTML, '"quoted"', "a]b", LONG];
async function every_name(page, form) {
  const [kind] = form.split(".");
  const sent = watch(page);
  await whole(page, form);
  const taken = place.taken[kind];
  for (const name of [...NAMES, ...taken]) {
    await page.fill("#section-name", name);
    await save(page).click();
    await wrong(page, page.locator("#section-name"), `${kind} named ${name}`);
    expect((await page.inputValue("#section-name")) === name, `${kind} named ${name}: the input stays`);
  }
  await harmless(page);
  sent.none(`names of ${kind}`);
  sent.end();
}
async function sections(page, forms) {
  await login(page, "#/overview");
  await page.locator("nav#pages").waitFor();
  const before = await revision(page);
  for (const form of forms) {
    await every_key(page, form);
    await every_name(page, form);
  }
  expect((await revision(page)) === before, "nothing has changed");
}
/* In two parts: one test has its bound. */
export const each_form_of_a_section_alert_to_queue = (page) => sections(page, Object.keys(WHOLE).filter((x) => !x.startsWith("topic")));
export const each_form_of_a_topic = (page) => sections(page, Object.keys(WHOLE).filter((x) => x.startsWith("topic")));

/** The short one of `make check`. */
export async function some_fields_of_a_topic(page) {
  await login(page, "#/overview");
  await page.locator("nav#pages").waitFor();
  /* A new option has its case here as well. */
  for (const form of Object.keys(WHOLE)) for (const key of await keysOf(page, form)) casesOf(form.split(".")[0], key);
  const types = await page.evaluate(() => fetch("./api/v1/options").then((r) => r.json()).then((x) => x.shared_run_types));
  for (const type of types) expect(`topic.${type}` in WHOLE && `pool.${type}` in WHOLE, `run type ${type} has no form here`);
  const sent = watch(page);
  await whole(page, "topic.cgi");
  await page.fill("#section-name", "");
  await fill(page, "pool", "nowhere");
  await fill(page, "entry", "relative.php");
  await fill(page, "timeout", "5 parsecs");
  await fill(page, "comment", "one\ntwo");
  await save(page).click();
  await wrong(page, page.locator("#section-name"), "no name");
  await wrong(page, field(page, "comment"), "two lines", false);
  await page.fill("#section-name", "中文");
  await fill(page, "comment", HTML);
  await save(page).click();
  await wrong(page, page.locator("#section-name"), "a Chinese name");
  await page.fill("#section-name", "fresh");
  await save(page).click();
  await wrong(page, field(page, "timeout"), "no duration", false);
  await fill(page, "timeout", "30s");
  await fill(page, "entry", "/srv/app/Worker.php");
  await save(page).click();
  expect(/there is no \[pool nowhere\]/.test(await wrong(page, field(page, "pool"), "no such pool")), "it says what is not there");
  for (const [name, value] of Object.entries({ pool: "nowhere", entry: "/srv/app/Worker.php", timeout: "30s", comment: HTML }))
    expect((await field(page, name).inputValue()) === value, `${name} stays`);
  await harmless(page);
  sent.none("a topic that is wrong");
  sent.end();
  await save(page).click(); // what is not there may come: a second press saves it
  await page.waitForURL(/#\/topic\/mail\/fresh$/);
  await harmless(page);
}

/** Two people change the same section: nothing is overwritten, and nothing that was typed is lost. */
export async function two_people_change_one_section(page) {
  await login(page, "#/edit/system/both");
  await field(page, "title").fill(`mine ${HTML}`);
  await act(page, "/other");
  await save(page).click();
  await page.getByText(/Somebody else has changed the configuration/).waitFor();
  expect((await field(page, "title").inputValue()) === `mine ${HTML}`, "what I typed stays");
  expect((await act(page, "/title")) === "theirs", "what they saved stays");
  await button(page, "Save mine upon theirs").click();
  await page.waitForURL(/#\/system\/index/);
  expect((await act(page, "/title")) === `mine ${HTML}`, "mine is saved once I said so");
  await page.getByText(`mine ${HTML}`).first().waitFor();
  await harmless(page);
}

export async function an_address_that_is_wrong_makes_no_form(page) {
  await login(page, "#/add/user");
  await page.getByText("no form for sections of the kind user").waitFor();
  await page.goto(`${url}#/add/storage?evil=1&address=10.0.0.1:1&__proto__=x`);
  await until(async () => (await field(page, "address").inputValue()) === "10.0.0.1:1", "a key of the form is filled in");
  await page.goto(`${url}#/edit/queue/${encodeURIComponent("a/b%.#?中")}`);
  await page.getByText(/there is no \[queue a\/b%\.#\?中\]/).waitFor();
}

/* --- people --- */

export async function a_login_and_ones_own_password(page) {
  await page.goto(url);
  await page.locator("#user").waitFor();
  const enter = button(page, "Log in");
  await enter.click();
  await wrong(page, page.locator("#user"), "no user");
  await wrong(page, page.locator("#password"), "no password", false);
  await page.fill("#user", HTML);
  await enter.click();
  await wrong(page, page.locator("#password"), "no password");
  await page.fill("#password", `${HTML} 中文 x`);
  await enter.click();
  await page.getByText("The user or the password is wrong.").waitFor();
  expect((await page.inputValue("#user")) === HTML, "the user stays");
  await harmless(page);
  await page.fill("#user", process.env.CONSOLE_USER);
  await page.fill("#password", process.env.CONSOLE_PASSWORD);
  await enter.click();
  await page.locator("nav#pages").waitFor();

  const sent = watch(page);
  await page.locator("header summary").click();
  await button(page, "Change the password").click();
  const [old, fresh, again] = [0, 1, 2].map((n) => dialog(page).locator("input[type=password]").nth(n));
  const go = dialog(page).locator("button[type=submit]");
  await go.click();
  await wrong(page, old, "no old password");
  await wrong(page, fresh, "no new password", false);
  await old.fill("not the old one");
  await fresh.fill("短");
  await go.click();
  await wrong(page, fresh, "a short password");
  await fresh.fill("x".repeat(600));
  await go.click();
  await wrong(page, fresh, "a long password");
  await fresh.fill("another long password");
  await again.fill("another long passwort");
  await go.click();
  await wrong(page, again, "two passwords");
  expect((await old.inputValue()) === "not the old one", "it stays");
  sent.none("a password");
  sent.end();
}

export async function users_and_tokens(page) {
  await login(page, "#/user/index");
  await button(page, "Add a user").click();
  let sent = watch(page);
  const name = dialog(page).locator("input.input").first();
  const go = dialog(page).locator("button[type=submit]");
  for (const bad of ["", "a b", "a/b", "中文", HTML, "a%b", LONG, "admin", "novice"]) {
    await name.fill(bad);
    await go.click();
    await wrong(page, name, `a user named ${bad}`);
    expect((await name.inputValue()) === bad, "it stays");
  }
  await name.fill("fresh");
  await dialog(page).getByLabel("type one").check();
  const typed = dialog(page).getByLabel("Password", { exact: true });
  for (const bad of ["", "short", "x".repeat(600)]) {
    await typed.fill(bad);
    await go.click();
    await wrong(page, typed, `a password of ${bad.length}`);
  }
  await typed.fill("long enough 中文");
  await dialog(page).getByLabel("Some systems").check();
  const systems = dialog(page).getByLabel("Names of systems, with commas between");
  for (const bad of ["", "a/b", HTML]) {
    await systems.fill(bad);
    await go.click();
    await wrong(page, systems, `systems ${bad}`);
    expect((await systems.inputValue()) === bad, "it stays");
  }
  await harmless(page);
  sent.none("a user");
  sent.end();

  await page.goto(`${url}#/token/index`);
  await button(page, "Make a token").click();
  sent = watch(page);
  for (const bad of ["", "   ", LONG, "名".repeat(50)]) {
    await name.fill(bad);
    await go.click();
    await wrong(page, name, `a token named ${bad}`);
    expect((await name.inputValue()) === bad, "it stays");
  }
  sent.none("a token");
  sent.end();
  await name.fill(HTML);
  await go.click();
  await button(page, "Close").last().click();
  await page.getByText(HTML).waitFor();
  await harmless(page);
}

export async function an_alert_is_silenced_and_a_topic_paused(page) {
  await login(page, "#/alert/index");
  await button(page, "Silence").first().click();
  const sent = watch(page);
  const reason = dialog(page).getByLabel(/Reason/);
  const go = dialog(page).locator("button[type=submit]");
  for (const bad of ["", "  ", "因".repeat(86)]) {
    await reason.fill(bad);
    await go.click();
    await wrong(page, reason, `a reason of ${bad.length}`);
    expect((await reason.inputValue()) === bad, "it stays");
  }
  await dialog(page).getByRole("button", { name: "Cancel" }).click();
  await page.goto(`${url}#/topic/mail/send`);
  await button(page, "Pause").click();
  await reason.fill("x".repeat(401));
  await go.click();
  await wrong(page, reason, "a long reason");
  sent.none("a reason");
  sent.end();
  await reason.fill(HTML);
  await go.click();
  await page.getByText(HTML).first().waitFor();
  await harmless(page);
  await button(page, "Resume").first().click();
}

/* --- the configuration --- */

export async function configurations_that_are_wrong(page) {
  await login(page, "#/config/index?tab=files");
  const text = page.locator("#text");
  await text.waitFor();
  const sent = watch(page);
  const before = await revision(page);
  for (const bad of ["", "[bogus", "[queue x]\npasswordd = 1\n", "[queue 中文]\n", `[queue ${HTML}]\n`, "key = value\n", "[topic mail/x]\nworkers = many\n", "{not json\n", '{"kind": "queue"}\n']) {
    await text.fill(bad);
    await (bad.startsWith("{") ? button(page, "Import") : button(page, "Check")).click();
    await wrong(page, text, `the text ${bad}`);
    expect((await text.inputValue()) === bad, "it stays");
  }
  await page.fill("#why", "c".repeat(1025));
  await text.fill("[system both]\n");
  await button(page, "Check").click();
  await wrong(page, page.locator("#why"), "a long comment");
  await harmless(page);
  sent.none("a configuration");
  expect((await revision(page)) === before, "nothing has changed");
  sent.end();

  await page.goto(`${url}#/config/index/1`);
  await page.locator("#from").waitFor();
  for (const bad of ["999999", "-5"]) {
    await page.fill("#from", bad);
    await page.locator("#from").blur();
    await until(async () => (await page.locator("main .notice-bad, main [aria-invalid=true]").count()) > 0, `compared with ${bad}: it says what is wrong`);
  }
}

export async function queues_from_a_file_that_is_wrong(page) {
  await login(page, "#/queue/index");
  await button(page, "Import").click();
  const text = page.locator("#import-text");
  const go = dialog(page).getByRole("button", { name: "Import", exact: true });
  const sent = watch(page);
  for (const bad of ["", "no json", '{"kind": "queue"', '{"x": 1}']) {
    await text.fill(bad);
    await go.click();
    await wrong(page, text, `the file ${bad}`);
    expect((await text.inputValue()) === bad, "it stays");
  }
  await text.fill(['{"kind": "queue", "name": "a/b", "values": {"password": "long-enough-password"}}', `{"kind": "queue", "name": ${JSON.stringify(HTML)}, "values": {}}`].join("\n"));
  await go.click();
  await until(async () => (await dialog(page).locator("td.error").count()) === 2, "each row says what is wrong with it");
  await harmless(page);
  sent.none("queues");
  sent.end();
}

/* --- failed jobs --- */

export async function filters_and_acts_of_failed_jobs(page) {
  await login(page, "#/topic/mail/broken/failed");
  await page.locator("#f-code").waitFor();
  const sent = watch(page);
  await page.locator("form.filter details summary").click();
  for (const [id, bad] of [
    ["f-code", ["abc", "1e3", "1.5", "99999999999"]],
    ["f-match", ["错".repeat(86)]],
    ["f-body", ["x".repeat(257)]],
    ["f-node", [LONG]],
    ["f-least", ["-1", "many"]],
    ["f-most", ["2.5"]],
  ]) {
    for (const value of bad) {
      await page.fill(`#${id}`, value);
      await button(page, "Apply").click();
      await wrong(page, page.locator(`#${id}`), `${id} ${value}`);
      expect((await page.inputValue(`#${id}`)) === value, "it stays");
      expect(!/[?&](code|match|body|node|attempts)/.test(page.url()), `${id} ${value}: it is no filter`);
    }
    await page.fill(`#${id}`, "");
  }
  await page.fill("#f-match", `50% /.#?中 ${HTML}`);
  await button(page, "Apply").click();
  await page.getByText("No failed job matches").waitFor();
  await page.reload();
  await until(async () => (await page.inputValue("#f-match")) === `50% /.#?中 ${HTML}`, "the filter outlives a reload");
  await harmless(page);
  await page.goto(`${url}#/topic/mail/broken/failed`);
  await page.getByRole("button", { name: /^Replay (all|the) \d/ }).click();
  const rate = dialog(page).getByLabel(/At most so many/);
  await dialog(page).getByRole("button", { name: /^Replay \d+ jobs/ }).waitFor();
  for (const bad of ["0", "-1", "1.5", "1e", "fast", "1000001"]) {
    await rate.fill(bad);
    await dialog(page).locator("button[type=submit]").click();
    await wrong(page, rate, `a rate of ${bad}`);
    expect((await rate.inputValue()) === bad, "it stays");
  }
  await button(page, "Cancel").click();
  await button(page, "Import…").click();
  const file = dialog(page).locator("input[type=file]");
  await button(page, "Import").click();
  await wrong(page, file, "no file");
  await file.setInputFiles({ name: "empty.jsonl", mimeType: "text/plain", buffer: Buffer.from("") });
  await button(page, "Import").click();
  await wrong(page, file, "an empty file");
  sent.none("failed jobs");
  sent.end();
  await file.setInputFiles({ name: "wrong.jsonl", mimeType: "text/plain", buffer: Buffer.from(`{"id": "x"}\n${HTML}\n`) });
  await button(page, "Import").click();
  await dialog(page).getByText(/2 lines: 0 imported/).waitFor();
  expect((await dialog(page).locator(".faults li").count()) === 2, "each line says what is wrong with it");
  await harmless(page);
}

/** The content is kept to the byte but for what is typed; what is no JSON any more is not sent by mistake. */
export async function a_failed_job_is_edited(page) {
  await login(page, `#/topic/mail/broken/failed?job=${place.job}`);
  await button(page, "Edit and replay…").click();
  const field = dialog(page).locator(".cm-content");
  const go = button(page, "Replay with this content");
  await until(async () => /12345678901234567890/.test(await field.innerText()), "the whole content is there");
  expect(await go.isDisabled(), "unchanged it is a plain replay");
  const sent = watch(page);
  await field.press("Control+End");
  await field.pressSequentially(",");
  expect(/line 4, column 2/.test(await wrong(page, field, "a comma too many", false)), "the line and the column");
  await go.click();
  await dialog(page).locator(".fault", { hasText: "Press again" }).waitFor();
  await wrong(page, field, "a comma too many");
  await field.press("Backspace");
  await until(async () => !(await dialog(page).locator(".fault").count()), "it is JSON again");
  await until(() => go.isDisabled(), "the very bytes of before: nothing has changed");
  await button(page, "Compact").click();
  await until(async () => (await field.innerText()).trim() === place.compact, "no space between the parts");
  await button(page, "Format").click();
  await until(async () => /\n {2}"n": 12345678901234567890/.test(await field.innerText()), "laid out");
  await button(page, "As it was").click();
  await until(() => go.isDisabled(), "as it was");
  await field.fill("");
  await go.click();
  expect(/needed/.test(await wrong(page, field, "no content")), "it has to have some");
  sent.none("an edited job");
  sent.end();
  await button(page, "As it was").click();
  await field.press("Control+Home");
  await field.press("ArrowRight");
  await field.pressSequentially(" ");
  await go.click();
  const done = page.locator(".opened .notice", { hasText: "runs edited" });
  await done.waitFor();
  const id = (await done.innerText()).match(/\d{10,}/)[0];
  const content = () => page.evaluate((job) => fetch(`./api/v1/topics/mail/broken/retry/${job}`).then((r) => r.json()).then((x) => x.content), id);
  await until(async () => (await content()) === place.edited, `job ${id} has the line ends, the tab and the number as they were`);
}

/* --- the broker goes away while a form is open --- */

export async function the_broker_restarts_while_forms_are_open(page) {
  await login(page, "#/edit/system/kept");
  await field(page, "title").fill("typed 中文");
  const typed = async (when) => {
    expect((await field(page, "title").inputValue()) === "typed 中文", `${when}: what was typed stays`);
    expect(page.url().includes("#/edit/system/kept"), `${when}: the form stays`);
  };
  await act(page, "/away");
  await save(page).click();
  await page.locator("main [role=alert]").first().waitFor();
  await typed("Redis is away");
  await act(page, "/back");
  await act(page, "/stop");
  await save(page).click();
  await page.getByText("The broker does not answer.").first().waitFor();
  await typed("the broker is stopped");
  await act(page, "/start");
  await typed("the broker is back");
  await until(async () => {
    if (page.url().includes("#/system/index")) return true;
    await save(page).click({ timeout: 2000 }).catch(() => null);
    return page.waitForURL(/#\/system\/index/, { timeout: 1000 }).then(() => true, () => false);
  }, "it is saved once the broker is back");
  expect((await act(page, "/kept")) === "typed 中文", "as it was typed");
}

export async function the_broker_restarts_while_a_dialog_is_open(page) {
  await login(page, `#/topic/mail/broken/failed?job=${place.other}`);
  await button(page, "Edit and replay…").click();
  const content = dialog(page).locator(".cm-content");
  await until(async () => /other/.test(await content.innerText()), "the content is there");
  await content.fill('{"kind": "typed"}');
  await act(page, "/stop");
  await button(page, "Replay with this content").click();
  await dialog(page).getByText("The broker does not answer.").waitFor();
  await act(page, "/start");
  expect((await content.innerText()).trim() === '{"kind": "typed"}', "what was typed stays");
  await until(async () => {
    if (!(await dialog(page).count())) return true;
    await button(page, "Replay with this content").click({ timeout: 2000 }).catch(() => null);
    await page.waitForTimeout(300);
    return !(await dialog(page).count());
  }, "it is sent once the broker is back");
  await until(async () => (await act(page, "/handled")).includes('{\\"kind\\": \\"typed\\"}'), "as it was typed");
}
