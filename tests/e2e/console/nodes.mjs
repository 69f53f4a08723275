/* The page of a topic that the nodes a and b run. */
import { act, expect, faults, login, until } from "./browser.mjs";

export async function each_node_has_a_row(page) {
  await login(page, "#/topic/mail/send");
  const rows = page.getByRole("region", { name: "On each node" }).locator("tbody tr");
  await until(async () => (await rows.count()) === 2, "two nodes");
  await until(async () => (await rows.allInnerTexts()).every((x) => /running/.test(x) && /0 \/ 10/.test(x)), "both run it");
  const found = await faults(page);
  expect(!found.length, found.join("\n"));
  await act(page, "/kill");
  await until(async () => /away[^]*Last heard of/.test(await rows.nth(1).innerText()), "b is away, and since when");
  expect(/running/.test(await rows.first().innerText()), "a goes on");
  await rows.nth(1).getByRole("link", { name: "b" }).click();
  await page.waitForURL(/#\/cluster\/node\/b$/);
}
