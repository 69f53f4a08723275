/* The retry workbench of mail/send. Its failed jobs are of five kinds, and each scenario acts on its own kind alone:
 * 34 with SMTP, 12 with a user, 5 with a quota, 4 held, 3 to be edited, 12 that are slow. */
import { act, expect, faults, login, until, url, WIDTHS } from "./browser.mjs";

const AT = "#/topic/mail/send/failed";
const dead = async (page) => Number(await act(page, "/dead"));
const button = (page, name) => page.getByRole("button", { name, exact: true });
const row = (page) => page.locator(".jobs .pick");
const text = (page) => page.innerText("main");

async function open(page, query = "", who) {
  await login(page, `${AT}${query}`, who);
  await row(page).first().waitFor();
}

export async function groups_have_exact_counts(page) {
  await open(page);
  const real = JSON.parse(await act(page, "/groups"));
  const groups = page.locator(".groups tbody tr");
  await until(async () => (await groups.count()) === real.length, "each error has a row");
  const seen = (await groups.allInnerTexts()).map((x) => x.split(/\s+/).slice(0, 2).join(" "));
  expect(seen.sort().join() === real.map((x) => x.join(" ")).sort().join(), `the counts are those of the broker: ${seen}`);
  await button(page, `Replay all ${real.reduce((n, [count]) => n + count, 0)}…`).waitFor();
}

export async function pages_have_addresses(page) {
  await open(page, "?set=dead");
  const n = Number(await act(page, "/dead"));
  const first = Math.min(50, n);
  await until(async () => (await row(page).count()) === first, "a page has 50 jobs");
  if (n <= 50) return;
  await button(page, "Next page").click();
  await until(async () => (await row(page).count()) === n - 50, "the next page has the others");
  await page.goBack();
  await until(async () => (await row(page).count()) === 50, "Back leads to the first page");
}

export async function a_filter_is_in_the_address(page) {
  await open(page);
  await page.fill("#f-match", "QUOTA");
  await page.keyboard.press("Enter");
  await page.waitForURL(/match=QUOTA/);
  await until(async () => (await row(page).count()) === 5, "the jobs that match");
  await page.fill("#f-match", "no such text");
  await page.keyboard.press("Enter");
  await until(async () => /No failed job matches/.test(await text(page)), "the page says that none matches");
  expect(await button(page, "Replay the 0 that match…").isDisabled(), "nothing can be replayed");
  await page.goBack();
  await until(async () => (await row(page).count()) === 5 && (await page.inputValue("#f-match")) === "QUOTA", "Back has the filter before");
}

export async function nothing_moves_that_is_read(page) {
  await open(page, "?code=511");
  await until(async () => (await row(page).count()) === 12, "twelve jobs");
  await row(page).nth(3).click();
  await page.getByText("user").first().waitFor();
  const before = await row(page).allInnerTexts();
  const box = await row(page).nth(3).boundingBox();
  await act(page, "/more");
  await until(async () => /2 more have failed since/.test(await text(page)), "the page says that there are more");
  expect((await row(page).allInnerTexts()).join() === before.join(), "the rows are the same");
  expect((await row(page).nth(3).boundingBox()).y === box.y, "the open one is where it was");
  await button(page, "Read again").click();
  await until(async () => (await row(page).count()) === 14, "read again, they are there");
}

export async function the_exact_set_is_replayed(page) {
  await open(page);
  await page.locator(".groups .pick", { hasText: "SMTP" }).click();
  await page.waitForURL(/signature=/);
  await button(page, "Replay the 34 that match…").click();
  const dialog = page.getByRole("dialog");
  await until(async () => /34 jobs match/.test(await dialog.innerText()), "the dialog has the number");
  await act(page, "/mend/smtp");
  const others = (await dead(page)) - 34;
  await dialog.getByRole("button", { name: "Replay 34 jobs" }).click();
  await until(async () => /done: 34 of 34/.test(await text(page)), "the act is done");
  await until(async () => (await dead(page)) === others, "the others lie where they were");
  let handled = [];
  await until(async () => (handled = (await act(page, "/handled")).split("\n").filter(Boolean)).length >= 34, "all of them ran");
  expect(handled.length === 34 && handled.every((x) => JSON.parse(x).kind === "smtp"), "they and no others ran");
  expect(new Set(handled).size === 34, "each once");
}

export async function a_replay_is_undone(page) {
  await act(page, "/pause");
  await open(page, "?code=514");
  const before = await dead(page);
  await button(page, "Replay the 4 that match…").click();
  await button(page, "Replay 4 jobs").click();
  await until(async () => (await dead(page)) === before - 4, "they wait to run");
  await page.getByRole("button", { name: /^Undo \(/ }).click();
  await until(async () => (await dead(page)) === before, "they are dead again");
  await act(page, "/resume");
}

export async function a_purge_needs_the_name_and_can_be_undone(page) {
  await open(page, "?code=512");
  const before = await dead(page);
  await button(page, "Purge the 5 that match…").click();
  const purge = button(page, "Purge 5 jobs");
  await purge.waitFor();
  expect(await purge.isDisabled(), "without the name there is no purge");
  await page.keyboard.press("Escape");
  expect((await dead(page)) === before, "Esc does nothing to the jobs");
  expect(await button(page, "Purge the 5 that match…").evaluate((b) => b === document.activeElement), "the focus is where it was");
  await button(page, "Purge the 5 that match…").click();
  await purge.waitFor();
  await page.getByLabel("Type “mail/send” to confirm").fill("mail/send");
  await purge.click();
  await until(async () => (await dead(page)) === before - 5, "they are gone");
  await page.getByRole("button", { name: /^Undo \(/ }).click();
  await until(async () => (await dead(page)) === before, "they are back");
}

export async function a_job_is_replayed_with_another_content(page) {
  await open(page, "?code=515");
  await row(page).first().click();
  const origin = (await row(page).first().innerText()).match(/\d{15,}/)[0];
  await button(page, "Edit and replay…").click();
  const field = page.getByRole("dialog").locator(".cm-content");
  await until(async () => /"edit"/.test(await field.innerText()), "the whole content is there");
  await field.fill('{"kind": "smtp", "n": 12345678901234567890');
  await page.locator(".fault", { hasText: "was JSON, and is not any more" }).waitFor();
  await field.fill('{"kind": "unknown", "n": 12345678901234567890}');
  await button(page, "Replay with this content").click();
  await until(async () => /runs edited/.test(await text(page)), "the row says what was done");
  await page.locator(".opened").getByRole("link", { name: /^\d{15,}$/ }).click();
  await page.waitForURL(/#\/job\/\d+$/);
  await until(async () => /12345678901234567890/.test(await text(page)), "the copy has failed, with its content as it was typed");
  await page.getByRole("link", { name: origin }).waitFor(); // it says which job it is a copy of
}

export async function progress_is_told_by_events(page) {
  await open(page, "?code=516");
  const before = await dead(page);
  await button(page, "Replay the 12 that match…").click();
  await page.getByLabel("At most so many jobs a second").fill("2");
  await button(page, "Replay 12 jobs").click();
  const progress = page.locator(".act [role=status]");
  const done = async () => Number((await progress.innerText()).match(/^(\d+) of/)?.[1] ?? 0);
  await until(async () => (await done()) >= 2, "it goes on");
  await page.route("**/api/v1/acts/*", (route) => route.abort());
  const then = await done();
  await until(async () => (await done()) > then, "it goes on for who asks nothing");
  await page.unroute("**/api/v1/acts/*");
  await until(async () => /done: 12 of 12/.test(await text(page)), "the act is done");
  await until(async () => (await dead(page)) === before, "they have failed again");
}

export async function a_text_finds_jobs_of_all_topics(page) {
  await login(page, "#/job/index");
  await page.fill("#job-q", "quota of");
  await page.keyboard.press("Enter");
  await page.getByText(/found/).first().waitFor();
  await page.getByRole("link", { name: /^\d{15,}$/ }).first().click();
  await page.waitForURL(/#\/job\/\d+$/);
  await until(async () => /quota of/.test(await text(page)), "the job's page has its error");
}

export async function a_viewer_sees_and_cannot_act(page) {
  await login(page, AT, "vera");
  await row(page).first().waitFor();
  await row(page).first().click();
  await page.getByText("You may not see the contents of jobs").first().waitFor();
  expect(!(await page.getByRole("button", { name: /Replay|Purge|Import|Edit/ }).count()), "there is nothing that the broker would refuse");
}

async function no_faults(page) {
  const found = [];
  await open(page);
  await row(page).first().click();
  await button(page, "Purge…").waitFor();
  found.push(...(await faults(page)));
  await page.getByRole("button", { name: /^Purge all/ }).click();
  await page.getByLabel("Type “mail/send” to confirm").waitFor();
  found.push(...(await faults(page)));
  await page.keyboard.press("Escape");
  for (const at of ["#/job/index?q=user", "#/act/index", "#/topic/mail/send/jobs?state=dead"]) {
    await page.goto(`${url}${at}`);
    await page.locator("main table tbody tr").first().waitFor();
    found.push(...(await faults(page)));
  }
  if (await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)) found.push("the page is wider than the screen");
  expect(!found.length, found.join("\n"));
}
export const axe_dark_phone = (page) => no_faults(page);
axe_dark_phone.scheme = "dark";
axe_dark_phone.width = WIDTHS.phone;
