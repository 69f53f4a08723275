/* A page that is open for CONSOLE_LIVE seconds while jobs come and fail: nothing that is read, selected or open moves, and
 * its memory does not grow. */
import { expect, login, until, url } from "./browser.mjs";

const SECONDS = Number(process.env.CONSOLE_LIVE);

async function heap(page, cdp) {
  await cdp.send("HeapProfiler.collectGarbage");
  const { metrics } = await cdp.send("Performance.getMetrics");
  return metrics.find((m) => m.name === "JSHeapUsedSize").value / 1e6;
}

export async function live(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable");
  await login(page, "#/topic/mail/send/failed");
  const row = page.locator(".jobs .pick");
  await row.first().waitFor();
  await row.nth(2).click();
  await page.locator(".jobs .opened pre").first().waitFor();
  await page.fill("#f-match", "typed and not sent");
  await page.evaluate(() => getSelection().selectAllChildren(document.querySelector(".jobs .opened pre")));
  const rows = await row.allInnerTexts();
  const box = JSON.stringify(await row.nth(2).boundingBox());
  const read = await page.evaluate(() => getSelection().toString());
  await page.waitForTimeout(15000); // what a page loads at first is there
  const before = await heap(page, cdp);
  const sizes = [];
  for (let t = 15; t < SECONDS; t += 15) {
    await page.waitForTimeout(15000);
    sizes.push(await heap(page, cdp));
  }
  expect((await row.allInnerTexts()).join() === rows.join(), "the rows are those that were read");
  expect(JSON.stringify(await row.nth(2).boundingBox()) === box, "the open job is where it was");
  expect((await page.evaluate(() => getSelection().toString())) === read, "what was selected is selected");
  expect((await page.inputValue("#f-match")) === "typed and not sent", "what was typed is there");
  const last = Math.min(...sizes.slice(-3));
  console.log(`# memory of the page: ${before.toFixed(1)} MB, after ${SECONDS} s ${last.toFixed(1)} MB`);
  expect(last < before * 1.2 + 1, `the memory of the page grew from ${before.toFixed(1)} to ${last.toFixed(1)} MB`);

  await page.goto(`${url}#/topic/index`);
  await page.locator("tbody tr").first().waitFor();
  const first = await page.locator("tbody tr").first().innerText();
  await until(async () => (await page.locator("tbody tr").first().innerText()) !== first, "the figures of the list move");
}
