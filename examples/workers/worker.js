// A worker in Node, without an SDK: doc/worker-protocol.md in code. It uses the standard library only.
//
//   node worker.js 127.0.0.1:8080   run_type = http   entry = http://127.0.0.1:8080/
//
// With PEPPERBUS_SIGNING_KEY in its environment it refuses requests without a valid signature.
"use strict";
const http = require("node:http");
const { createHmac, timingSafeEqual } = require("node:crypto");

// The application: gets the bytes that the producer added. An exception is a failed attempt.
async function greet(content) {
  const name = content.toString();
  if (!name) throw new Error("nobody to greet");
  return `hello ${name}`;
}

const topics = new Map([["example/greet", greet]]);

// --- the protocol ---

// Content that is not valid UTF-8 comes as base64.
const contentOf = (job) => Buffer.from(job.content, job.encoding === "base64" ? "base64" : "utf8");

async function run(handler, job) {
  try {
    return { id: job.id, code: 200, msg: await handler(contentOf(job)) };
  } catch (error) {
    return { id: job.id, code: 500, msg: String(error) };
  }
}

// The answer to a ping, or to the jobs of one request.
async function answer(type, path, jobs) {
  const handler = topics.get(path);
  if (!handler) return { code: 404, msg: `this worker does not serve ${path}` };
  if (type === "ping") return { code: 200, msg: "", topics: [...topics.keys()] };
  const outcomes = await Promise.all(jobs.map((job) => run(handler, job)));
  return outcomes.length === 1 ? outcomes[0] : { code: 207, jobs: outcomes };
}

function isSigned(header, body, path, key, tolerance = 300) {
  const parts = header.split(",").map((part) => part.trim().split("=", 2));
  const stamp = (parts.find(([name]) => name === "t") ?? [])[1] ?? "";
  if (!/^\d{1,15}$/.test(stamp) || Math.abs(Date.now() / 1000 - Number(stamp)) > tolerance) return false;
  const right = createHmac("sha256", key).update(`${stamp}\nform\n${path}\n`).update(body).digest();
  return parts.some(([name, hex]) => name === "v2" && /^[0-9a-f]{64}$/.test(hex ?? "") &&
    timingSafeEqual(right, Buffer.from(hex, "hex")));
}

// --- run_type = http ---

const key = process.env.PEPPERBUS_SIGNING_KEY ?? "";

async function handle(request, response) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces);
  const form = new URLSearchParams(body.toString("latin1"));
  const send = (status, headers, text) => response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8", ...headers }).end(text);
  if (form.get("IS_PEPPER_BUS_REQUEST") !== "true") return send(400, {}, "this is no request of a Pepperbus");
  const path = `${form.get("queue")}/${form.get("topic")}`;
  if (key && !isSigned(request.headers["x-pepperbus-signature"] ?? "", body, path, key))
    return send(403, { Code: 403 }, "the request has no valid signature");
  const said = await answer(form.get("type"), path, JSON.parse(form.get("jobs") ?? "[]"));
  const headers = { Code: said.code };
  if (said.topics) headers["Consume-Topics"] = said.topics.join(",");
  return send(200, headers, said.jobs ? JSON.stringify(said.jobs) : said.msg);
}

const [host, port] = (process.argv[2] ?? "127.0.0.1:8080").split(":");
const server = http.createServer((request, response) =>
  handle(request, response).catch((error) => response.writeHead(500).end(String(error))));
server.keepAliveTimeout = 75000; // longer than the pool's idle_timeout: see doc/http.md
server.listen(Number(port), host);
