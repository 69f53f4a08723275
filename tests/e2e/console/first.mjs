/* The first console: login, overview, topics. CONSOLE_USER and CONSOLE_PASSWORD may see all. */
import { act, expect, faults, login, until, url, WIDTHS } from "./browser.mjs";

const { CONSOLE_USER: user, CONSOLE_PASSWORD: password } = process.env;

const text = (page) => page.innerText("main");

export async function a_login_leads_to_the_overview(page) {
  await login(page);
  await page.waitForURL(/#\/overview$/);
  await until(async () => /All 3 topics run/.test(await text(page)), "the overview says that all is well");
  expect((await text(page)).includes("main"), "the storage is listed");
}

export async function a_wrong_password_is_told_and_nothing_is_seen(page) {
  await page.goto(url);
  await page.fill("#user", user);
  await page.fill("#password", "wrong");
  await page.keyboard.press("Enter");
  await until(async () => /wrong/.test(await page.innerText("[role=alert]")), "the page says so");
  expect(/#\/login/.test(page.url()), "it stays at the login");
  const answer = await page.request.get(`${url}api/v1/topics`);
  expect(answer.status() === 401, "the API shows nothing");
}

export async function a_login_leads_to_the_page_that_was_asked_for(page) {
  await login(page, "#/topic/index?q=msg%2Freply&sort=-ready");
  await page.waitForURL(/#\/topic\/index\?/);
  await until(async () => (await page.locator("tbody tr").count()) === 1, "one topic matches");
  expect((await page.inputValue("#q")) === "msg/reply", "the filter of the address is in the field");
}

export async function a_login_does_not_lead_to_another_host(page) {
  await login(page, "#/login?next=//evil.example/");
  await page.waitForURL(/#\/overview$/);
}

export async function a_logout_ends_the_session(page) {
  await login(page);
  await page.waitForURL(/#\/overview$/);
  const cookies = await page.context().cookies();
  expect(cookies.length === 1 && cookies[0].httpOnly && cookies[0].sameSite === "Strict", "one cookie, not for scripts");
  await page.locator("header summary").click();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL(/#\/login/);
  await page.context().addCookies(cookies);
  await page.goto(`${url}#/topic/index`);
  await page.reload();
  await page.waitForURL(/#\/login/);
}

export async function figures_are_live(page) {
  await login(page, "#/topic/index");
  const row = page.locator("tbody tr", { hasText: "held/topic" });
  await row.waitFor();
  const ready = async () => Number(await row.locator('td[data-label="Ready"]').innerText());
  const before = await ready();
  await act(page, "/");
  await until(async () => (await ready()) === before + 3, "three more jobs are ready, and nobody reloaded the page");
}

export async function what_is_typed_stays_while_figures_come(page) {
  await login(page, "#/topic/index");
  await page.locator("tbody tr").first().waitFor();
  await page.fill("#q", "held");
  await page.waitForTimeout(3000);
  expect((await page.inputValue("#q")) === "held", "the text is still there");
  expect((await page.evaluate(() => document.activeElement?.id)) === "q", "the field has the focus");
}

export async function both_languages(page) {
  await login(page);
  await page.waitForURL(/#\/overview$/);
  await page.locator("header summary").click();
  await page.selectOption("header select >> nth=0", "zh");
  await until(async () => /全部 3 个 topic 运行正常/.test(await text(page)), "the overview is Chinese");
  expect((await page.getAttribute("html", "lang")) === "zh-CN", "the page says its language");
  await page.reload();
  await until(async () => /概览/.test(await text(page)), "the language stays");
}
both_languages.locale = "en-GB";

export async function a_chinese_browser_gets_chinese(page) {
  await page.goto(url);
  await until(async () => /用户名/.test(await text(page)), "the login is Chinese");
}
a_chinese_browser_gets_chinese.locale = "zh-CN";

async function no_faults(page) {
  const found = [];
  await page.goto(url);
  await page.locator("#user").waitFor();
  found.push(...(await faults(page)));
  await login(page);
  await page.waitForURL(/#\/overview$/);
  await page.locator(".cards table").first().waitFor();
  found.push(...(await faults(page)));
  await page.goto(`${url}#/topic/index`);
  await page.locator("tbody tr").first().waitFor();
  found.push(...(await faults(page)));
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  if (wide) found.push("the page is wider than the screen");
  expect(!found.length, found.join("\n"));
}
export const axe_light = (page) => no_faults(page);
export const axe_dark = (page) => no_faults(page);
axe_dark.scheme = "dark";
export const axe_phone = (page) => no_faults(page);
axe_phone.width = WIDTHS.phone;

export async function keyboard_alone(page) {
  await page.goto(url);
  await page.locator("#user").waitFor();
  expect((await page.evaluate(() => document.activeElement?.id)) === "user", "the first field has the focus");
  await page.keyboard.type(user);
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/overview$/);
  await page.locator("nav a", { hasText: "Topics" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/topic\/index/);
  await until(() => page.evaluate(() => document.activeElement?.tagName === "MAIN"), "the new page has the focus");
}

export async function a_broker_that_stops_is_told_and_comes_back(page) {
  await login(page, "#/topic/index");
  await page.locator("tbody tr").first().waitFor();
  await page.fill("#q", "msg");
  await act(page, "/stop");
  await until(async () => /No connection to the broker/.test(await page.innerText(".banners")), "the page says so", 60000);
  await act(page, "/start");
  await until(async () => /Live/.test(await text(page)), "it is live again", 60000);
  expect((await page.inputValue("#q")) === "msg", "the filter is still there");
}
