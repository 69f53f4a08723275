/* The page of a topic of the queue mail. send works, slow is never asked by a job; fails has three dead jobs; stranger is
 * registered by no file (404), nofile has none (500), and nobody listens for nofpm (502). */
import { act, expect, faults, login, until, url, WIDTHS } from "./browser.mjs";

const at = (topic, rest = "") => `#/topic/mail/${topic}${rest}`;
const button = (page, name) => page.getByRole("button", { name, exact: true });
const editor = (page) => page.locator(".cm-content");
const text = (page) => page.innerText("main");
const code = (page) => page.locator("[data-test=code]");

async function open(page, topic, rest, who) {
  await login(page, at(topic, rest), who);
  await page.getByRole("heading", { level: 1, name: `mail/${topic}` }).waitFor();
}
async function send(page, content) {
  await editor(page).fill(content);
  await button(page, "Send").click();
}

export async function a_test_says_what_each_answer_means(page) {
  await open(page, "send", "/test");
  for (const [topic, answer, chapter] of [
    ["send", 200, "All is well"],
    ["stranger", 404, "A topic is unregistered"],
    ["nofile", 500, "Jobs fail"],
    ["nofpm", 502, "A topic is unreachable"],
  ]) {
    await page.goto(`${url}${at(topic, "/test")}`);
    await page.getByRole("heading", { level: 1, name: `mail/${topic}` }).waitFor();
    if (answer !== 404) await send(page, `{"to": "${topic}", "n": 12345678901234567890}`);
    else await button(page, "Ping").click(); // this file runs any job: a ping tells what it registers
    await code(page).waitFor();
    expect((await code(page).innerText()) === String(answer), `${topic} answers ${answer}, not ${await code(page).innerText()}`);
    expect((await text(page)).includes(chapter), `it says what to do about ${answer}`);
  }
  expect((await act(page, "/handled")).split("\n").includes('{"to": "send", "n": 12345678901234567890}'), "the worker had what was typed");
}

export async function what_was_sent_is_kept_in_this_browser(page) {
  await open(page, "send", "/test");
  for (const n of [1, 2, 1]) {
    await send(page, `{"n":${n}}`);
    await page.locator("aside li", { hasText: `{"n":${n}}` }).waitFor();
    await code(page).waitFor();
  }
  await page.reload();
  const kept = page.locator("aside section").first().locator("li");
  await until(async () => (await kept.allInnerTexts()).join() === '{"n":1},{"n":2}', "each once, the newest first");
  await kept.nth(1).getByRole("button").click();
  await until(async () => (await editor(page).innerText()).includes('{"n":2}'), "a click fills the editor");
  await button(page, "Format").click();
  await until(async () => /\n\s+"n": 2\n/.test(await editor(page).innerText()), "it is laid out");
  await editor(page).fill('{"n":');
  await page.getByText(/This is no JSON/).waitFor();
  await editor(page).fill("any text");
  await until(async () => !/This is no JSON/.test(await text(page)), "any text is a job");
}

export async function a_test_goes_on_while_one_looks_elsewhere(page) {
  await open(page, "slow", "/test");
  await send(page, "wait");
  await page.getByText(/Running for/).waitFor();
  await page.getByRole("navigation", { name: "Parts of the topic" }).getByRole("link", { name: "Overview" }).click();
  await page.waitForURL(/#\/topic\/mail\/slow$/);
  await act(page, "/go");
  await page.goBack();
  await code(page).waitFor();
  expect((await code(page).innerText()) === "200", "its answer is there");
}

export async function a_ping_runs_no_job(page) {
  await open(page, "send", "/test");
  const before = await act(page, "/handled");
  await button(page, "Ping").click();
  await code(page).waitFor();
  expect((await code(page).innerText()) === "200", "the worker registers the topic");
  expect((await act(page, "/handled")) === before, "no job has run");
}

export async function thirty_megabytes_do_not_freeze_the_page(page) {
  await open(page, "send", "/test");
  await editor(page).waitFor();
  await editor(page).evaluate((field) => {
    const data = new DataTransfer();
    data.setData("text/plain", `["${"x".repeat(30 * 1024 * 1024)}"]`);
    field.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
  });
  await page.getByText(/too large to be edited here/).waitFor();
  expect((await text(page)).length < 20_000, "the page has its beginning alone");
  await button(page, "Empty the field").click();
  await editor(page).fill("small again");
}

export async function a_topic_is_paused_with_a_reason(page) {
  await open(page, "send");
  await page.locator(".uplot").first().waitFor();
  await button(page, "Pause").click();
  await page.getByLabel(/Reason/).fill("deploy of shop 7");
  await page.getByRole("dialog").getByRole("button", { name: "Pause", exact: true }).click();
  await until(async () => /deploy of shop 7/.test(await text(page)), "the page says why");
  expect((await act(page, "/pause")) === "deploy of shop 7", "and the broker does");
  await button(page, "Resume").first().click();
  await until(async () => (await act(page, "/pause")) === "", "it runs again");
}

export async function errors_are_grouped(page) {
  await open(page, "fails", "/errors");
  const group = page.locator("table").first().locator("tbody tr");
  await until(async () => (await group.count()) === 1 && /^3\s+510/.test(await group.first().innerText()), "three users that are not found are one error");
  await group.getByRole("link").first().click();
  await page.waitForURL(/failed\?signature=/);
  await page.getByText("Replay the 3 that match").waitFor();
}

export async function a_viewer_tests_nothing(page) {
  await open(page, "send", "/test", "vera");
  await page.getByText("Your role may not run jobs.").waitFor();
  expect(await button(page, "Send").isDisabled(), "Send is off");
  expect(!(await button(page, "Pause").count()), "there is no pause");
}

async function no_faults(page) {
  const found = [];
  await open(page, "fails");
  for (const [tab, sign] of [["", ".uplot"], ["/test", ".cm-content"], ["/errors", "table"], ["/settings", "table"]]) {
    await page.goto(`${url}${at("fails", tab)}`);
    await page.locator(`main ${sign}`).first().waitFor();
    found.push(...(await faults(page)));
    if (await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)) found.push(`${tab}: the page is wider than the screen`);
    if (process.env.LOOK) await page.screenshot({ path: `${process.env.LOOK}/phone-dark${tab.replace("/", "-")}.png`, fullPage: true });
  }
  expect(!found.length, found.join("\n"));
}
export const axe_dark_phone = (page) => no_faults(page);
axe_dark_phone.scheme = "dark";
axe_dark_phone.width = WIDTHS.phone;
