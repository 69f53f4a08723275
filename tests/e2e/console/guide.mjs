/* The guide's whole way by clicks: a system, a storage, a queue, a topic, tests of 200, 404, 500 and 502, a broken worker
 * and its replay. The same in both languages: what is looked for are fields, addresses and numbers. */
import { act, expect, login, until, url } from "./browser.mjs";

const main = (page) => page.innerText("main");
const save = (page) => page.locator("form button[type=submit]").click();
const field = (page, name) => page.locator(`form [name=${name}]`);

async function more(page) {
  if (!(await page.locator("details.more[open]").count())) await page.locator("details.more summary").click();
}
async function edit(page, topic, values) {
  await page.goto(`${url}#/edit/topic/${topic}`);
  await field(page, "entry").waitFor();
  for (const [name, value] of Object.entries(values)) {
    if (!(await field(page, name).isVisible())) await more(page);
    await field(page, name).fill(value);
  }
  await save(page);
  await page.waitForURL(new RegExp(`#/topic/${topic}$`));
}
async function tested(page, topic, code, what) {
  await page.goto(`${url}#/topic/${topic}/test`);
  const button = page.locator("form button[type=submit]");
  for (;;) {
    await button.click();
    const shown = page.locator("[data-test=code]");
    await shown.waitFor();
    if ((await shown.innerText()) === String(code)) break;
    await page.waitForTimeout(300); // the node may not run the change yet
    if (what.tries-- === 0) throw new Error(`the test says ${await shown.innerText()}, not ${code}`);
  }
}

async function guide(page, name) {
  const queue = `shop-${name}`, topic = `${queue}/mail`;
  const place = JSON.parse(await act(page, "/places"));
  await login(page);
  await page.waitForURL(/#\/overview$/);
  await page.locator("a[href='#/start']").first().click();
  await page.locator("a[href='#/add/system']").click();

  await page.fill("#section-name", `system-${name}`);
  await save(page);
  await page.waitForURL(/#\/system\/index$/);
  await until(async () => (await main(page)).includes(`system-${name}`), "the system has a card");

  await page.goto(`${url}#/add/storage`);
  await page.fill("#section-name", `redis-${name}`);
  await field(page, "address").fill("nonsense");
  await until(async () => (await page.locator("form .fault").count()) > 0, "a bad address is told beside its field while one types");
  await field(page, "address").fill(place.redis[name]);
  await save(page);
  await page.waitForURL(/#\/storage\/index$/);
  await until(async () => /redis-/.test(await main(page)) && (await page.locator(".cards .bad").count()) === 0, "the storage is ready");

  await page.goto(`${url}#/add/queue`);
  await page.fill("#section-name", queue);
  if (name === "zh") await page.locator(".field .button-small").first().click();
  else await field(page, "password").fill("a secret of producers");
  const password = await field(page, "password").inputValue();
  expect(password.length >= 20, "a password that was made has 20 letters");
  await field(page, "system").fill(`system-${name}`);
  await save(page);
  await page.waitForURL(new RegExp(`#/queue/${queue}$`));
  await until(async () => (await main(page)).includes(password), "the password is shown, filled in");
  await page.reload();
  await until(async () => /PASSWORD/.test(await main(page)), "it is shown once");
  expect(!(await main(page)).includes(password), "a reload does not show it again");

  await until(async () => (await page.locator(`a[href='#/add/topic?queue=${queue}']`).count()) > 0, "a topic can be added");
  await page.locator(`a[href='#/add/topic?queue=${queue}']`).first().click();
  await page.fill("#section-name", "mail");
  await field(page, "pool").fill("local");
  await field(page, "entry").waitFor(); // a key of the pool's run type
  await field(page, "entry").fill(`${place.workers}/AnyTopicWorker.php`);
  await field(page, "attempts").fill("1");
  await more(page);
  await field(page, "storage").fill("main");
  await save(page);
  await page.waitForURL(new RegExp(`#/topic/${topic}$`));

  const tries = () => ({ tries: 40 });
  await tested(page, topic, 200, tries());
  await edit(page, topic, { entry: `${place.workers}/HelloWorker.php` });
  await tested(page, topic, 404, tries());
  await edit(page, topic, { entry: `${place.workers}/NoSuchWorker.php` });
  await tested(page, topic, 500, tries());
  await edit(page, topic, { pool: "gone", entry: `${place.workers}/AnyTopicWorker.php` });
  await tested(page, topic, 502, tries());

  await edit(page, topic, { pool: "local", entry: `${place.workers}/BrokenWorker.php` });
  await page.goto(`${url}#/start?topic=${encodeURIComponent(topic)}`);
  await page.locator("ol.steps > li > button").click();
  await page.goto(`${url}#/topic/${topic}/failed`);
  await until(async () => /SMTP connect/.test(await main(page)), "the failed jobs say why", 60000);
  await until(async () => (await act(page, `/dead/${topic}`)) === "3", "three of them are dead", 60000);
  await page.reload(); // what is read stays as it was read
  await until(async () => (await page.locator(".jobs .pick").count()) === 3, "each is in the list");
  await edit(page, topic, { entry: `${place.workers}/AnyTopicWorker.php` });
  await tested(page, topic, 200, tries());
  await page.goto(`${url}#/topic/${topic}/failed`);
  await page.locator(".jobs .pick").first().waitFor();
  await page.getByRole("button", { name: /3/ }).filter({ hasText: /replay|重放/i }).first().click();
  await page.locator("dialog[open] button[type=submit]").click();
  await until(async () => (await act(page, `/dead/${topic}`)) === "0", "they were replayed", 60000);
  await page.goto(`${url}#/overview`);
  await until(async () => (await page.locator(".is-well").count()) === 1, "all is well again", 60000);
}

export const the_whole_way_in_english = (page) => guide(page, "en");
the_whole_way_in_english.locale = "en-GB";
export const the_whole_way_in_chinese = (page) => guide(page, "zh");
the_whole_way_in_chinese.locale = "zh-CN";

/* Goes on by Tab until the element in focus is the wanted one. */
async function tab(page, wanted) {
  for (let i = 0; i < 120; i++) {
    if (await page.evaluate(([sel, text]) => document.activeElement?.matches(sel) && (document.activeElement.textContent ?? "").includes(text), wanted)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`the keyboard does not reach ${wanted.join(" ")}`);
}

export async function keyboard_alone_from_login_to_replay(page) {
  await page.goto(url);
  await page.locator("#user").waitFor();
  await page.keyboard.type(process.env.CONSOLE_USER);
  await page.keyboard.press("Tab");
  await page.keyboard.type(process.env.CONSOLE_PASSWORD);
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/overview$/);
  await page.locator(".figures").waitFor();
  await tab(page, ["nav a", "Topics"]);
  await page.keyboard.press("Enter");
  await page.locator("tbody tr", { hasText: "keys/mail" }).waitFor();
  await tab(page, ["tbody a", "keys/mail"]);
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/topic\/keys\/mail/);
  await page.locator(".tabs a").first().waitFor();
  await tab(page, [".tabs a", "Failed jobs"]);
  await page.keyboard.press("Enter");
  await page.locator(".jobs .pick").first().waitFor();
  await act(page, "/mend");
  await tab(page, ["main button", "Replay all 2"]);
  await page.keyboard.press("Enter");
  await page.locator("dialog[open] button[type=submit]:not([disabled])").waitFor();
  await tab(page, ["dialog button[type=submit]", ""]);
  await page.keyboard.press("Enter");
  await until(async () => (await act(page, "/handled")) === "2", "both were handled", 60000);
}
