/* A real browser for the console's tests: Debian's Chromium by Playwright.
 *
 *   node run.mjs SCENARIO.mjs [TEST...]      with CONSOLE_URL and what the scenario wants in the environment
 *
 * A scenario exports functions; each is a test with a page of its own. One line of JSON a test goes to standard
 * output: {name, ok, why}. A test fails as well if its page breaks the policy (CSP), logs an error, or asks
 * another host for anything.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { url, WIDTHS } from "./browser.mjs";

const require = createRequire(join(process.env.CONSOLE_APP, "package.json"));
const { chromium } = require("playwright-core");
const home = new URL(url);

async function one(browser, name, fn) {
  const context = await browser.newContext({
    viewport: { width: fn.width ?? WIDTHS.wide, height: 900 },
    locale: fn.locale ?? "en-GB",
    colorScheme: fn.scheme ?? "light",
    timezoneId: "Asia/Shanghai",
    ignoreHTTPSErrors: true, // the proxy of a test has a certificate of its own making
  });
  const wrong = [];
  context.on("request", (r) => {
    const u = new URL(r.url());
    if (u.protocol !== "data:" && u.host !== home.host) wrong.push(`asked ${r.url()}`);
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15000 * Number(process.env.SLOW ?? 1));
  page.setDefaultNavigationTimeout(15000 * Number(process.env.SLOW ?? 1));
  page.on("pageerror", (e) => wrong.push(`error in the page: ${e.message}`));
  page.on("console", (m) => {
    // The browser itself notes each answer of 400 and more, and each stream that breaks: those are the tests' own doing.
    if (m.type() === "error" && !/Failed to load resource|net::ERR/.test(m.text())) wrong.push(`console: ${m.text()}`);
  });
  await page.addInitScript(() => {
    window.__broken = [];
    document.addEventListener("securitypolicyviolation", (e) => window.__broken.push(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
  });
  try {
    await fn(page);
    for (const b of await page.evaluate(() => window.__broken)) wrong.push(`CSP: ${b}`);
    if (wrong.length) throw new Error(wrong.join("\n"));
    console.log(JSON.stringify({ name, ok: true }));
  } catch (e) {
    const at = process.env.SHOTS ? join(process.env.SHOTS, `${name}.png`) : null;
    if (at) await page.screenshot({ path: at, fullPage: true }).catch(() => null);
    console.log(JSON.stringify({ name, ok: false, why: [e.message, ...wrong, at ?? ""].join("\n") }));
  } finally {
    await context.close();
  }
}

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"],
});
try {
  const scenario = await import(pathToFileURL(process.argv[2]).href);
  const wanted = process.argv.slice(3);
  for (const [name, fn] of Object.entries(scenario))
    if (typeof fn === "function" && (!wanted.length || wanted.includes(name))) await one(browser, name, fn);
} finally {
  await browser.close();
}
