/* The pictures of doc/console.md; scripts/screenshots runs it. PICTURES: the folder. */
import { join } from "node:path";
import { login, until, url } from "./browser.mjs";

const shot = (page, name) => page.screenshot({ path: join(process.env.PICTURES, `${name}.png`) });

export async function pictures(page) {
  await page.setViewportSize({ width: 1200, height: 760 });
  await login(page);
  await page.waitForURL(/#\/overview$/);
  const pages = [
    ["overview", "/overview", ".cards"],
    ["topics", "/topic/index", "tbody tr"],
    ["topic", "/topic/mail/send", ".figures"],
    ["failed", "/topic/mail/send/failed", ".jobs .pick"],
    ["queue", "/queue/mail", "pre"],
    ["form", "/add/topic?queue=mail", "main form"],
    ["start", "/start", ".steps"],
  ];
  for (const [name, at, there] of pages) {
    await page.goto(`${url}#${at}`);
    await page.locator(there).first().waitFor();
    await page.waitForTimeout(1200);
    await shot(page, name);
  }
  await page.goto(`${url}#/topic/mail/send/test`);
  await page.locator("form button[type=submit]").click();
  await until(async () => (await page.locator("[data-test=code]").count()) === 1, "the test has its answer");
  await shot(page, "test");
}
