/* axe over every page: CONSOLE_PAGES (a list with commas), in one language, theme and width each. */
import { expect, faults, login, url, WIDTHS } from "./browser.mjs";

async function walk(page) {
  const found = [];
  await page.goto(url);
  await page.locator("#user").waitFor();
  for (const f of await faults(page)) found.push(`login: ${f}`);
  await login(page);
  await page.waitForURL(/#\/overview$/);
  for (const at of process.env.CONSOLE_PAGES.split(",")) {
    await page.goto(`${url}#${at}`);
    await page.locator("main h1").waitFor();
    await page.locator("main .skeleton").first().waitFor({ state: "detached" });
    for (const f of await faults(page)) found.push(`${at}: ${f}`);
    if (await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)) found.push(`${at}: wider than the screen`);
  }
  expect(!found.length, found.join("\n"));
}

function one(locale, scheme, width) {
  const test = (page) => walk(page);
  return Object.assign(test, { locale, scheme, width });
}
export const english_light_wide = one("en-GB", "light", WIDTHS.wide);
export const english_light_phone = one("en-GB", "light", WIDTHS.phone);
export const english_dark_wide = one("en-GB", "dark", WIDTHS.wide);
export const english_dark_phone = one("en-GB", "dark", WIDTHS.phone);
export const chinese_light_wide = one("zh-CN", "light", WIDTHS.wide);
export const chinese_light_phone = one("zh-CN", "light", WIDTHS.phone);
export const chinese_dark_wide = one("zh-CN", "dark", WIDTHS.wide);
export const chinese_dark_phone = one("zh-CN", "dark", WIDTHS.phone);
