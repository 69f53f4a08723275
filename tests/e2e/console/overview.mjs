/* The pages of the whole. mail/send works, mail/fails has three dead jobs, nobody listens for mail/nofpm; news/all is another
 * system's. vera sees the system shop alone. */
import { act, expect, faults, login, until, url, WIDTHS } from "./browser.mjs";

const text = (page) => page.innerText("main");
const button = (page, name) => page.getByRole("button", { name, exact: true });
const PAGES = [
  ["/overview", "p.word"],
  ["/start", ".steps"],
  ["/system/index", ".cards section"],
  ["/cluster/index", "tbody tr"],
  ["/cluster/node/a", "tbody tr"],
  ["/pool/index", "tbody tr"],
  ["/client/index", "select"],
  ["/storage/index", ".cards section"],
  ["/plugin/index", "tbody tr"],
];

async function open(page, at, sign, who) {
  await login(page, `#${at}`, who);
  await page.locator(`main ${sign}`).first().waitFor();
}

export async function the_overview_says_why_not_and_leads_there(page) {
  await open(page, "/overview", ".problems li");
  expect(/^■ The workers of mail\/nofpm cannot be reached/.test(await page.innerText("main p.word")), `one sentence says it, not ${await page.innerText("main p.word")}`);
  const first = page.locator(".problems li").first();
  expect(/What to do: Start the workers/.test(await first.innerText()), "and what to do");
  expect((await page.locator(".figures dd").last().innerText()) === "3", "three jobs are dead");
  await first.getByRole("link", { name: "mail/nofpm" }).click();
  await page.waitForURL(/#\/topic\/mail\/nofpm$/);
  await page.goBack();
  await page.locator(".figures dd").last().getByRole("link").click();
  await page.waitForURL(/#\/topic\/index\?sort=-dead$/);
  await until(async () => (await page.locator("tbody tr").first().innerText()).includes("mail/fails"), "the topic with dead jobs is the first");
}

export async function the_overview_never_asks_for_the_list_of_topics(page) {
  const asked = [];
  page.on("request", (r) => asked.push(new URL(r.url()).pathname));
  await open(page, "/overview", ".problems li");
  expect(asked.some((p) => p.endsWith("/api/v1/topics/summary")), "it asks for the sums");
  expect(!asked.some((p) => p.endsWith("/api/v1/topics")), "and for no list");
}

export async function a_system_has_numbers_that_lead_on(page) {
  await open(page, "/system/index", ".cards section");
  const shop = page.locator(".cards section", { hasText: "shop" });
  expect(/2 of 3 topics run/.test(await shop.innerText()), "one of its topics does not run");
  await shop.getByRole("link", { name: "3", exact: true }).first().click();
  await page.waitForURL(/#\/topic\/index\?system=shop/);
  await until(async () => (await page.locator("tbody tr").count()) === 3, "its three topics, and no other");
}

export async function the_counts_of_a_storage_lead_to_its_lists(page) {
  const card = page.locator(".cards section", { has: page.getByRole("heading", { name: "main" }) });
  const rows = page.locator("tbody tr[data-row]");
  await open(page, "/storage/index", ".cards section");
  for (const [kind, n] of [["queue", 1], ["topic", 3]]) {
    await card.locator(`a[href*="/${kind}/index"]`).click();
    await page.waitForURL(new RegExp(`#/${kind}/index\\?storage=main$`));
    await until(async () => (await rows.count()) === n, `${n} of main, and none of other`);
    await page.getByRole("button", { name: "No longer only main" }).click();
    await until(async () => (await rows.count()) === n + 1, "without the filter the one of other, too");
    await page.goto(`${url}#/storage/index`);
  }
}

export async function a_server_is_added_by_lines_for_its_file(page) {
  await open(page, "/cluster/index", "tbody tr");
  await button(page, "Add a server").click();
  await page.fill("#server-name", "10.0.0.7");
  await until(async () => /10\.0\.0\.7 is an address/.test(await page.innerText("dialog[open]")), "an address is no name, and the dialog says so");
  await page.fill("#server-name", "web7");
  const lines = await page.innerText("dialog[open]");
  expect(/node = web7/.test(lines) && /root@web7:/.test(lines) && /storage main/.test(lines), "the lines have its name and the storage");
  await page.keyboard.press("Escape");
  await until(async () => !(await page.locator("dialog[open]").count()), "Escape closes it");
}

export async function a_node_is_drained_and_taken_back(page) {
  await open(page, "/cluster/node/a", "tbody tr");
  expect(/cannot reach php-fpm/.test(await text(page)), "a pool says why it cannot be used");
  expect(await button(page, "Forget").isDisabled(), "who lives is not forgotten");
  await page.locator("summary", { hasText: "Log" }).click();
  await until(async () => /pepperbusd|mail\/nofpm/.test(await page.locator("pre.log").innerText()), "its log is shown");
  await button(page, "Drain").click();
  await page.locator("dialog[open]").getByRole("button", { name: "Drain", exact: true }).click();
  await until(async () => (await act(page, "/drained")) === "True", "the broker drains");
  await button(page, "Take back").click();
  await until(async () => (await act(page, "/drained")) === "False", "and runs again");
  await button(page, "Drain").waitFor();
}

/* Near the end (they run by name): the storage stays full. */
export async function what_a_full_storage_refuses_is_told(page) {
  await open(page, "/storage/index", ".cards section");
  const other = page.locator(".cards section", { hasText: "other.sock" });
  expect(/(Redis|Valkey) \d+\.\d+/.test(await other.innerText()), "the server is named");
  expect(!(await other.locator(".notice-bad").count()), "it refuses nothing");
  await act(page, "/full");
  await other.locator(".notice-bad li").first().waitFor();
  expect(/memory/i.test(await other.locator(".notice-bad").innerText()), "it says that memory is what is missing");
}

/* The last one: the storage of what nodes share stays away. */
export async function what_cannot_be_read_is_not_called_empty(page) {
  await open(page, "/overview", "p.word");
  await act(page, "/away");
  for (const [at, sign] of [["/audit/index", "nothing was done"], ["/act/index", "nothing was done"], ["/config/index", "there is no revision"]]) {
    await page.goto(`${url}#${at}`);
    await until(async () => /cannot be read at the moment/.test(await text(page)), `${at} says that it cannot be read`);
    expect(!(await text(page)).toLowerCase().includes(sign), `${at} says what it cannot know`);
  }
}

export async function a_connection_of_a_producer_is_seen_and_ended(page) {
  await open(page, "/client/index", "tbody tr");
  const row = page.locator("tbody tr", { hasText: "news" });
  await row.getByRole("button", { name: "End" }).click();
  await page.locator("dialog[open]").getByRole("button", { name: "End", exact: true }).click();
  await until(async () => (await row.count()) === 0, "it is gone");
  expect((await act(page, "/producer")) === "ended", "and its socket is closed");
}

export async function first_steps_know_what_is_done(page) {
  await open(page, "/start?topic=mail%2Fsend", ".steps li");
  await until(async () => (await page.inputValue("main select")) === "mail/send", "the topic of the address is chosen");
  const done = await page.locator(".steps li.done h2").allInnerTexts();
  expect(["A system", "A storage", "A queue", "A topic"].every((s) => done.some((d) => d.startsWith(s))), `not done: ${done}`);
  expect(!done.some((d) => d.startsWith("Break")), "mail/send has never failed");
  await page.locator("main select").selectOption("mail/fails");
  await until(async () => (await page.locator(".steps li.done h2").allInnerTexts()).some((d) => d.startsWith("Break")), "mail/fails has");
}

export async function a_viewer_is_offered_nothing_and_refused_nothing(page) {
  const refused = [];
  page.on("response", (r) => r.status() === 403 && refused.push(r.url()));
  await open(page, "/overview", ".problems li", "vera");
  for (const [at, sign] of PAGES) {
    await page.goto(`${url}#${at}`);
    await page.locator(`main ${sign}`).first().waitFor();
    expect(!(await page.locator("main a[href^='#/add/'], main a[href^='#/edit/']").count()), `${at} offers a form`);
    await until(async () => !(await page.locator("main .skeleton").count()), `${at} waits for what never comes`);
    expect(!/news\/all|press/.test(await text(page)), `${at} shows another system`);
  }
  expect(!refused.length, `refused: ${refused.join(" ")}`);
}

/* The densest of them: a browser test of one area takes 20 s at most. */
async function no_faults(page) {
  const found = [];
  await open(page, "/overview", ".problems li");
  const word = await page.locator("main .word[role=status]").innerText();
  expect(/[\u4e00-\u9fff]/.test(word) === (await page.evaluate(() => document.documentElement.lang)).startsWith("zh"), `the first problem is told in the page's language: ${word}`);
  for (const [at, sign] of PAGES.filter(([at]) => /overview|start|node|storage/.test(at))) {
    await page.goto(`${url}#${at}`);
    await page.locator(`main ${sign}`).first().waitFor();
    found.push(...(await faults(page)).map((f) => `${at}: ${f}`));
    if (await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)) found.push(`${at}: the page is wider than the screen`);
  }
  expect(!found.length, found.join("\n"));
}
export const axe_dark_phone_chinese = (page) => no_faults(page);
axe_dark_phone_chinese.scheme = "dark";
axe_dark_phone_chinese.width = WIDTHS.phone;
axe_dark_phone_chinese.locale = "zh-CN";
